//! What a signal does to a run: nothing if it was ignored when the program started.

use crate::{Done, PENDULUM, Sandbox};
use std::{
    process::{Child, Command, Stdio},
    thread::sleep,
    time::Duration,
};

/// Under a shell that ignores `ignored`, as `nohup` and `&` in a script have it.
fn start(sandbox: &Sandbox, ignored: &str, args: &str) -> Child {
    let mut command = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_uphill");
    let ignoring = match ignored {
        "" => String::new(),
        signals => format!("trap '' {signals};"),
    };
    command
        .args(["-c", &format!("{ignoring} exec {program} {args}")])
        .current_dir(sandbox.path("."))
        .env_remove("RUST_LOG")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn send(signal: &str, to: &Child) {
    let mut kill = Command::new("kill");
    let status = kill.args(["-s", signal, &to.id().to_string()]).status();
    assert!(status.unwrap().success());
}

fn end(child: Child) -> Done {
    Done::of(&child.wait_with_output().unwrap())
}

fn rows(sandbox: &Sandbox) -> usize {
    let text = std::fs::read_to_string(sandbox.path("b/metrics.csv")).unwrap_or_default();
    text.lines().count()
}

fn wait_for(child: &mut Child, what: impl Fn() -> bool) {
    while !what() {
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        sleep(Duration::from_millis(2));
    }
}

#[test]
fn signals_ignored_at_the_start_stay_ignored() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", &PENDULUM.replace("2048", "1_000_000_000"));
    let train = "train run.toml --device flex --out b";
    let mut child = start(&sandbox, "HUP INT QUIT", train);
    wait_for(&mut child, || rows(&sandbox) > 3);
    for signal in ["HUP", "INT", "QUIT"] {
        send(signal, &child);
    }
    let before = rows(&sandbox);
    wait_for(&mut child, || rows(&sandbox) > before + 3);
    send("TERM", &child);
    let done = end(child);
    assert_eq!(done.code, 130, "{done:?}");
    let notice =
        "\nSIGTERM: stopping as soon as the work at hand is done; a second SIGTERM stops at once\n";
    assert!(done.stderr.contains(notice), "{done:?}");
    for other in ["SIGHUP", "SIGINT", "Ctrl-C"] {
        assert!(!done.stderr.contains(other), "{done:?}");
    }
}

#[test]
fn the_notice_says_which_signal_came() {
    let notices = [
        (
            "INT",
            "Ctrl-C (SIGINT): stopping as soon as the work at hand is done; Ctrl-C again stops at once",
        ),
        (
            "HUP",
            "SIGHUP (the terminal was closed): stopping as soon as the work at hand is done; SIGTERM stops at once",
        ),
    ];
    for (signal, notice) in notices {
        let sandbox = Sandbox::new();
        sandbox.write("run.toml", &PENDULUM.replace("2048", "1_000_000_000"));
        let mut child = start(&sandbox, "", "train run.toml --device flex --out b");
        wait_for(&mut child, || rows(&sandbox) > 3);
        send(signal, &child);
        let done = end(child);
        assert_eq!(done.code, 130, "{done:?}");
        assert!(done.stderr.contains(notice), "{done:?}");
        assert!(
            done.stdout.contains("go on with: uphill train --resume b"),
            "{done:?}"
        );
    }
}

/// One step of so many copies, and one pass over them, that a signal is not looked at for many seconds.
const LONG: &str = r#"
env = "Pendulum-v1"
num_envs = 1_000_000
total_steps = 1_000_000_000
[network]
hidden = [512, 512]
[algo]
name = "ppo"
steps = 1
epochs = 1
minibatches = 1
"#;

#[test]
fn a_second_signal_ends_a_long_iteration_at_once() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", LONG);
    let mut child = start(&sandbox, "", "train run.toml --device flex --out b");
    let checkpoint = sandbox.path("b/checkpoints/latest/run.safetensors");
    wait_for(&mut child, || checkpoint.is_file());
    let saved = std::fs::read(&checkpoint).unwrap();
    // Stopped, it gets both at once when it goes on.
    for signal in ["STOP", "INT", "TERM", "CONT"] {
        send(signal, &child);
    }
    let done = end(child);
    assert_eq!(done.code, 130, "{done:?}");
    assert!(!done.stdout.contains("go on"), "{done:?}");
    assert!(std::fs::read(&checkpoint).unwrap() == saved);
    let eval = "eval b --episodes 2 --device flex";
    sandbox.uphill(eval).succeeds();
}

/// As many as a terminal sends that is closed.
#[test]
fn several_hangups_are_one() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", &PENDULUM.replace("2048", "1_000_000_000"));
    let mut child = start(&sandbox, "", "train run.toml --device flex --out b");
    wait_for(&mut child, || rows(&sandbox) > 3);
    send("HUP", &child);
    // By now it may have ended.
    let pid = child.id().to_string();
    _ = (Command::new("kill")
        .args(["-s", "HUP", &pid])
        .stderr(Stdio::null()))
    .status();
    let done = end(child);
    assert_eq!(done.code, 130, "{done:?}");
    assert!(
        done.stdout.contains("go on with: uphill train --resume b"),
        "{done:?}"
    );
}

/// The parameters alone would take minutes.
#[test]
fn one_signal_ends_a_program_that_has_written_nothing() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", &PENDULUM.replace("[16]", "[6_000, 6_000]"));
    for seeds in ["", " --seeds 2"] {
        for signal in ["INT", "TERM", "HUP"] {
            let train = format!("train run.toml --device flex --out b{seeds}");
            let child = start(&sandbox, "", &train);
            sleep(Duration::from_millis(1000));
            send(signal, &child);
            let done = end(child);
            assert_eq!(done.code, 130, "{done:?}");
            assert_eq!(
                done.stdout,
                "interrupted before it began; nothing was written\n"
            );
            assert!(!sandbox.path("b").exists());
        }
    }
}
