//! The program as its user meets it: run, read what it prints, look at what it wrote.

#![allow(clippy::unwrap_used)]

mod ablate;
mod bad_input;
mod bench;
mod console;
mod docs;
mod env_options;
mod faults;
mod interrupt;
mod lab;
mod limits;
mod list;
#[cfg(unix)]
mod long;
mod map;
mod own_environments;
mod resume;
mod run_files;
mod seeds;
#[cfg(unix)]
mod signals;
mod tidy;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
};

/// A small CartPole run of eight iterations.
const CARTPOLE: &str = r#"
env = "CartPole-v1"
num_envs = 4
total_steps = 1024
checkpoint_every = 256
[network]
hidden = [16]
[algo]
name = "ppo"
steps = 32
epochs = 2
minibatches = 2
"#;

/// Continuous actions with every normaliser on, sixteen iterations.
const PENDULUM: &str = r#"
env = "Pendulum-v1"
num_envs = 4
total_steps = 2048
checkpoint_every = 384
random_ages = true
[network]
hidden = [16]
[normalize]
obs = true
obs_clip = 5.0
reward = true
reward_clip = 5.0
[algo]
name = "ppo"
steps = 32
epochs = 2
minibatches = 2
optimizer = "separate"
"#;

/// Name of the device that `UPHILL_TEST_DEVICE` names; flex if it is not set.
fn device() -> String {
    std::env::var("UPHILL_TEST_DEVICE").unwrap_or_else(|_| "flex".to_owned())
}

/// A folder for one test, with the program run inside it.
struct Sandbox(tempfile::TempDir);

impl Sandbox {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// `uphill` with these arguments, separated by blanks.
    fn command(&self, args: &str) -> Command {
        let mut command = program();
        command
            .current_dir(self.0.path())
            .args(args.split_whitespace());
        command.env_remove("RUST_LOG");
        // What the user's own `uphill bench` found out must not matter here, nor be replaced.
        command.env("UPHILL_CACHE_DIR", self.path("cache"));
        command
    }

    fn uphill(&self, args: &str) -> Done {
        let output = self.command(args).output().unwrap();
        Done::of(&output)
    }
}

/// `uphill` with the default reaction to signals. Tests that run in the background ignore Ctrl-C, and so would the program.
fn program() -> Command {
    let program = env!("CARGO_BIN_EXE_uphill");
    static RESETS: LazyLock<bool> = LazyLock::new(|| {
        let tried = Command::new("env").args([RESET, "true"]).output();
        tried.is_ok_and(|output| output.status.success())
    });
    if !*RESETS {
        return Command::new(program);
    }
    let mut command = Command::new("env");
    command.args([RESET, program]);
    command
}

/// An option of GNU's `env`.
const RESET: &str = "--default-signal=HUP,INT,QUIT";

/// What a finished program left.
#[derive(Debug)]
struct Done {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Done {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// Panics unless it failed with `code` and said each of `parts` on standard error.
    #[track_caller]
    fn fails(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        for part in parts {
            assert!(self.stderr.contains(part), "no {part:?} in {}", self.stderr);
        }
    }

    #[track_caller]
    fn succeeds(&self) -> &Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

/// The latest checkpoint and the metrics without their two columns about time.
fn outcome(run: &Path) -> (Vec<u8>, Vec<Vec<String>>) {
    let checkpoint = fs::read(run.join("checkpoints/latest/run.safetensors")).unwrap();
    let mut reader = csv::Reader::from_path(run.join("metrics.csv")).unwrap();
    let header = reader.headers().unwrap().clone();
    let timed = |i: usize| matches!(&header[i], "wall_s" | "env_steps_per_s");
    let rows = reader.records().map(|row| {
        let row = row.unwrap();
        let cells = row.iter().enumerate().filter(|(i, _)| !timed(*i));
        cells.map(|(_, cell)| cell.to_owned()).collect()
    });
    (checkpoint, rows.collect())
}
