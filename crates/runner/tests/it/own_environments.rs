//! A program of one's own, with an environment that is stepped elsewhere: it may fail in the middle of a run, and nobody can
//! save its state.

use crate::{Done, Sandbox, device, outcome};
use std::{
    env,
    process::{self, Command, ExitCode},
};
use uphill::{
    burn::tensor::Device,
    envs::{
        Batch, BatchEnv, BatchOptions, CartPole, Copies, CopyRows, Described, EnvError, EnvSpec,
        EnvState, ObsMut, Seeds, Task, Threads, register,
    },
};

/// Arguments of the program, and the step in which its environment is lost, if it is.
const ARGS: &str = "UPHILL_TEST_ARGS";
const LOST_IN: &str = "UPHILL_TEST_LOST_IN";

/// CartPoles behind a connection.
struct Remote {
    inner: Threads<CartPole>,
    spec: EnvSpec,
    steps: u64,
    lost_in: Option<u64>,
}

impl Copies for Remote {
    fn spec(&self) -> &EnvSpec {
        &self.spec
    }

    fn count(&self) -> usize {
        self.inner.count()
    }

    fn reset(&mut self, which: &[bool], seeds: Seeds<'_>, obs: ObsMut<'_>) -> Result<(), EnvError> {
        self.inner.reset(which, seeds, obs)
    }

    fn step(
        &mut self,
        actions: &[f32],
        seeds: Seeds<'_>,
        into: CopyRows<'_>,
    ) -> Result<(), EnvError> {
        self.steps += 1;
        if self.lost_in == Some(self.steps) {
            return Err(EnvError::failed("Remote-v0", 2, "connection lost"));
        }
        self.inner.step(actions, seeds, into)
    }

    fn save(&self) -> Option<EnvState> {
        None
    }

    fn restore(&mut self, _: &EnvState, _: ObsMut<'_>) -> Result<(), EnvError> {
        unreachable!("there is nothing to restore")
    }
}

struct Connect;

impl Task for Connect {
    fn spec(&self) -> EnvSpec {
        EnvSpec {
            name: "Remote-v0".to_owned(),
            ..CartPole.spec()
        }
    }

    fn batch(
        &self,
        num_envs: usize,
        device: &Device,
        _: BatchOptions,
    ) -> Result<Box<dyn BatchEnv>, EnvError> {
        let lost_in = env::var(LOST_IN).ok();
        let remote = Remote {
            inner: Threads::new(CartPole, num_envs)?,
            spec: self.spec(),
            steps: 0,
            lost_in: lost_in.map(|step| step.parse().unwrap()),
        };
        Ok(Box::new(Batch::of(remote, device)?))
    }
}

/// The program itself, in a process of its own.
#[test]
#[ignore = "the tests below run it"]
fn program() {
    register("Remote-v0", |config| {
        config.no_options().map(|()| Box::new(Connect) as _)
    })
    .unwrap();
    let args = env::var(ARGS).unwrap();
    let code = uphill::run(["own_program"].into_iter().chain(args.split_whitespace()));
    // An exit code can be shown, not read.
    let is = |number: &u8| format!("{:?}", ExitCode::from(*number)) == format!("{code:?}");
    process::exit((0..=u8::MAX).find(is).unwrap().into());
}

/// The program with these arguments, whose environment is lost in the step `lost_in`.
fn own_program(sandbox: &Sandbox, args: &str, lost_in: Option<u64>) -> Done {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args([
            "own_environments::program",
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .env(ARGS, args)
        .env("UPHILL_CACHE_DIR", sandbox.path("cache"))
        .env_remove("RUST_LOG")
        .current_dir(sandbox.0.path());
    if let Some(step) = lost_in {
        command.env(LOST_IN, step.to_string());
    }
    Done::of(&command.output().unwrap())
}

/// Iterations of 16 steps of 4 copies, with a checkpoint after each.
const CONFIG: &str = r#"
env = "Remote-v0"
num_envs = 4
total_steps = 256
checkpoint_every = 64
[network]
hidden = [8]
[algo]
name = "ppo"
steps = 16
epochs = 2
minibatches = 2
learning_rate = 1e-3
"#;

const CANNOT_SAVE: &str = "environment `Remote-v0` cannot save its state: a run resumed from a checkpoint begins new episodes";

#[test]
fn a_run_whose_environment_fails_keeps_its_last_checkpoint_and_goes_on_from_there() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", CONFIG);
    let train = format!("train run.toml --device {} --quiet --out", device());
    // The connection is lost in the third iteration.
    let failed = own_program(&sandbox, &format!("{train} a"), Some(40));
    failed.fails(
        1,
        &[
            "stopped; a/checkpoints/latest/run.safetensors is from before",
            "stopped in iteration 3 (step 128)",
            "environment `Remote-v0` failed in step 40, at copy 2: connection lost",
        ],
    );
    let (_, rows) = outcome(&sandbox.path("a"));
    assert_eq!(rows.len(), 2);

    // What is kept is what a run of two iterations ends with.
    let short = format!("{train} b --set total_steps=128");
    own_program(&sandbox, &short, None).succeeds();
    let (_, of_short) = outcome(&sandbox.path("b"));
    assert_eq!(rows, of_short);

    // A connection that holds finishes the run.
    own_program(&sandbox, "train --resume a --quiet", None).succeeds();
    let (_, finished) = outcome(&sandbox.path("a"));
    assert_eq!((finished.len(), &finished[..2]), (4, &rows[..]));
}

#[test]
fn a_run_that_cannot_save_its_environment_says_so_and_begins_new_episodes() {
    let sandbox = Sandbox::new();
    sandbox.write("run.toml", CONFIG);
    let train = format!("train run.toml --device {} --quiet --out", device());
    for out in ["whole", "a", "b"] {
        let budget = if out == "whole" { 256 } else { 128 };
        let args = format!("{train} {out} --set total_steps={budget}");
        let done = own_program(&sandbox, &args, None);
        assert!(done.succeeds().stderr.contains(CANNOT_SAVE), "{done:?}");
    }
    for out in ["a", "b"] {
        let args = format!("train --resume {out} --set total_steps=256 --quiet");
        let done = own_program(&sandbox, &args, None);
        assert!(done.succeeds().stderr.contains(CANNOT_SAVE), "{done:?}");
    }
    // Up to the stop all are one run; afterwards those that were stopped are one, and another than the one that was not.
    let [whole, a, b] = ["whole", "a", "b"].map(|out| outcome(&sandbox.path(out)));
    assert_eq!(a, b);
    assert_eq!(whole.1[..2], a.1[..2]);
    assert_eq!((whole.1.len(), a.1.len()), (4, 4));
    assert!(whole.1[2..] != a.1[2..]);
}
