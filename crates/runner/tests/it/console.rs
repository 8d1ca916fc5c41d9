//! Standard output and standard error that nobody reads, or that cannot be written to.

use crate::{CARTPOLE, Done, Sandbox, outcome};
use std::{fs::OpenOptions, process::Stdio};

/// What prints and how: quick ones of every command.
const COMMANDS: [&str; 10] = [
    "list",
    "eval run --episodes 2 --device flex",
    "eval run --episodes 2 --device flex --json",
    "train --resume run",
    "train --resume set",
    "train small.toml --device flex --out again",
    "train small.toml --device flex --seeds 2 --out set-again",
    "lab --env TinyMdp --trajectories 1 --repeats 2 --device flex --out lab",
    "bench small.toml --devices flex --rounds 1 --iterations 1",
    "ablate small.toml --seeds 1 --total-steps 128 --variants ppo --device flex --out ablate",
];

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("small.toml", CARTPOLE);
    for args in ["--out run", "--seeds 2 --out set"] {
        let train = format!("train small.toml --device flex --quiet {args}");
        sandbox.uphill(&train).succeeds();
    }
    sandbox
}

/// Where the reading end of a pipe is closed.
fn closed() -> Stdio {
    let (_, writer) = std::io::pipe().unwrap();
    writer.into()
}

#[test]
fn a_closed_pipe_is_no_error() {
    let sandbox = sandbox();
    for args in COMMANDS {
        let mut command = sandbox.command(args);
        let done = Done::of(&command.stdout(closed()).output().unwrap());
        // Drivers of GPUs may have errors of their own to tell.
        let said = &done.succeeds().stderr;
        for ours in ["panicked", "error: writing"] {
            assert!(!said.contains(ours), "{args}: {done:?}");
        }
    }
    assert!(outcome(&sandbox.path("run")) == outcome(&sandbox.path("again")));
}

/// As of `uphill train … 2>&1 | head -1`.
#[test]
fn a_run_that_nobody_listens_to_any_more_ends_well() {
    let sandbox = sandbox();
    for args in COMMANDS {
        let mut command = sandbox.command(args);
        command.env("RUST_LOG", "info");
        let status = command.stdout(closed()).stderr(closed()).status().unwrap();
        assert!(status.success(), "{args}: {status}");
    }
    assert!(outcome(&sandbox.path("run")) == outcome(&sandbox.path("again")));
}

#[cfg(target_os = "linux")]
#[test]
fn results_that_cannot_be_written_are_an_error() {
    let sandbox = sandbox();
    for args in COMMANDS {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = sandbox.command(args);
        let done = Done::of(&command.stdout(full).output().unwrap());
        let message = "error: writing to standard output: No space left on device";
        done.fails(1, &[message]);
    }
    assert!(outcome(&sandbox.path("run")) == outcome(&sandbox.path("again")));
}
