//! Iterations that take long are given up when the run is asked to stop.

use crate::{Done, Sandbox, outcome};
use std::{
    fs,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

fn start(sandbox: &Sandbox, args: &str) -> Child {
    let mut command = sandbox.command(args);
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Waits until `ready`, while the run goes on.
fn wait_until(child: &mut Child, ready: impl Fn() -> bool) {
    while !ready() {
        assert!(child.try_wait().unwrap().is_none(), "the run ended");
        sleep(Duration::from_millis(5));
    }
}

fn terminate(child: Child) -> Done {
    let kill = Command::new("kill").arg(child.id().to_string()).status();
    assert!(kill.unwrap().success());
    Done::of(&child.wait_with_output().unwrap())
}

/// A REINFORCE configuration of four copies.
fn reinforce(episodes: u32, total_steps: u64) -> String {
    format!(
        "env = \"CartPole-v1\"\nnum_envs = 4\ntotal_steps = {total_steps}\ncheckpoint_every = {total_steps}\n\
         [network]\nhidden = [8]\n[algo]\nname = \"reinforce\"\nepisodes = {episodes}\n"
    )
}

#[test]
fn a_first_iteration_that_takes_minutes_obeys_a_signal() {
    let sandbox = Sandbox::new();
    sandbox.write("episodes.toml", &reinforce(200_000, 1_000_000_000));
    for args in [
        "train episodes.toml",
        "train a3c-cartpole --set algo.updates=300000 --set total_steps=1000000000000",
        "train episodes.toml --seeds 3",
    ] {
        let mut child = start(&sandbox, &format!("{args} --device flex --out b"));
        let run = sandbox.path(if args.contains("seeds") {
            "b/seed-3"
        } else {
            "b"
        });
        let checkpoint = run.join("checkpoints/latest/run.safetensors");
        wait_until(&mut child, || checkpoint.exists());
        let before = fs::read(&checkpoint).unwrap();
        sleep(Duration::from_millis(300));
        let done = terminate(child);
        assert_eq!(done.code, 130, "{done:?}");
        assert!(done.stdout.contains("interrupted at step 0"), "{done:?}");
        assert!(before == fs::read(&checkpoint).unwrap(), "as it was before");
        fs::remove_dir_all(sandbox.path("b")).unwrap();
    }
}

/// No checkpoint is on disk when the signal comes, and the iteration that it finds is not waited for.
#[test]
fn a_run_of_long_iterations_that_is_stopped_and_resumed_ends_in_the_same_bits() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", &reinforce(2500, 900_000));
    sandbox
        .uphill("train run.toml --device flex --quiet --out a")
        .succeeds();
    let mut child = start(&sandbox, "train run.toml --device flex --out b");
    let metrics = sandbox.path("b/metrics.csv");
    let rows = || {
        fs::read_to_string(&metrics)
            .unwrap_or_default()
            .lines()
            .count()
    };
    wait_until(&mut child, || rows() > 1);
    sleep(Duration::from_millis(100));
    let done = terminate(child);
    assert_eq!(done.code, 130, "{done:?}");
    sandbox.uphill("train --resume b --quiet").succeeds();
    assert!(outcome(&sandbox.path("a")) == outcome(&sandbox.path("b")));
}
