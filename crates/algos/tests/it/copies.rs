//! Environments that somebody else steps: a run with copies that fail, and with copies that cannot be saved.

use crate::{device::device, small};
use uphill_algos::{
    Checkpoint, RunConfig, StepError, Trainer, build_actor, build_critic,
    collect::collector_reason, eval::evaluate, reinforce::ReinforceConfig,
};
use uphill_envs::{
    Batch, BatchEnv, CartPole, Copies, CopyRows, EnvError, EnvSpec, EnvState, ObsMut, Seeds,
    Threads,
};

/// CartPoles behind a connection that is lost after some steps, and through which states cannot be seen.
struct Remote {
    inner: Threads<CartPole>,
    left: u32,
}

impl Copies for Remote {
    fn spec(&self) -> &EnvSpec {
        self.inner.spec()
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
        self.left = self.left.checked_sub(1).ok_or_else(lost)?;
        self.inner.step(actions, seeds, into)
    }

    fn save(&self) -> Option<EnvState> {
        None
    }

    fn restore(&mut self, _: &EnvState, _: ObsMut<'_>) -> Result<(), EnvError> {
        unreachable!("there is nothing to restore")
    }
}

fn lost() -> EnvError {
    EnvError::failed("CartPole-v1", None, "the worker of copies 0 to 3 ended")
}

fn remote(copies: usize, left: u32) -> Box<dyn BatchEnv> {
    let inner = Threads::new(CartPole, copies).unwrap();
    Box::new(Batch::of(Remote { inner, left }, &device()).unwrap())
}

fn trainer(config: RunConfig, left: u32) -> Trainer {
    let env = remote(config.num_envs, left);
    let actor = build_actor(&config, env.spec(), &device()).unwrap();
    let critic = build_critic(&config, env.spec(), &device());
    Trainer::from_parts(config, env, actor, critic).unwrap()
}

#[test]
fn a_run_whose_environment_fails_stops_with_what_it_had() {
    // 16 steps of 4 copies each time: the connection is lost in the third iteration.
    let mut trainer = trainer(small(), 40);
    for _ in 0..2 {
        trainer.step().unwrap();
    }
    let kept = trainer.save();
    let stopped = trainer.step().unwrap_err();
    assert_eq!(
        stopped,
        StepError::Env {
            iteration: 3,
            env_steps: 128,
            error: lost().in_step(41)
        }
    );
    assert_eq!(
        stopped.to_string(),
        "stopped in iteration 3 (step 128): environment `CartPole-v1` failed in step 41: the worker of copies 0 to 3 ended"
    );
    // Nothing has been learned from a broken rollout, and it stays broken.
    let (found, expected) = (trainer.save(), kept);
    let net = |checkpoint: &Checkpoint| checkpoint.net("actor", &trainer.actor().net).unwrap();
    assert_eq!(
        net(&found).flat().into_data(),
        net(&expected).flat().into_data()
    );
    assert!(trainer.step().is_err());
}

#[test]
fn whole_episodes_and_evaluations_do_not_wait_for_an_environment_that_failed() {
    let reinforce = ReinforceConfig::default();
    let config = RunConfig::new("CartPole-v1", 4, 100_000, reinforce.into());
    let mut trainer = trainer(config, 3);
    assert!(matches!(trainer.step(), Err(StepError::Env { .. })));

    let mut env = remote(2, 3);
    let found = evaluate(trainer.actor(), env.as_mut(), 4, 1, true);
    assert_eq!(found, Err(lost().in_step(4)));
}

#[test]
fn a_run_that_cannot_be_saved_whole_says_so_and_resumes_with_new_episodes() {
    let mut first = trainer(small(), u32::MAX);
    let note = first.inexact_resume().unwrap();
    assert!(
        note.contains("`CartPole-v1` cannot save its state"),
        "{note}"
    );
    first.step().unwrap();
    first.step().unwrap();
    let checkpoint = first.save();
    let file = tempfile::tempdir().unwrap();
    let path = file.path().join("latest.safetensors");
    checkpoint.write(&path).unwrap();

    let mut resumed = trainer(small(), u32::MAX);
    resumed.restore(&Checkpoint::read(&path).unwrap()).unwrap();
    assert_eq!(
        (resumed.iteration(), resumed.env_steps()),
        (2, first.env_steps())
    );
    assert_eq!(resumed.episodes(), first.episodes());
    // It goes on learning, twice in the same way: what is new is a function of the seed as well.
    let mut again = trainer(small(), u32::MAX);
    again.restore(&Checkpoint::read(&path).unwrap()).unwrap();
    let report = resumed.step().unwrap();
    assert_eq!(report, again.step().unwrap());
    assert_eq!(report.iteration, 3);

    // One that can says nothing.
    let whole = Trainer::new(small(), &device()).unwrap();
    assert_eq!(whole.inexact_resume(), None);
}

#[test]
fn a_run_with_memory_forgets_with_the_episodes_that_it_gives_up() {
    let mut config = small();
    config.network.memory = uphill_algos::config::MemoryKind::Gru;
    config.network.memory_width = 4;
    let mut first = trainer(config.clone(), u32::MAX);
    first.step().unwrap();
    let checkpoint = first.save();
    let state = |trainer: &Trainer| {
        let like = trainer.actor().net.start(4).unwrap();
        let saved = trainer.save().tensor("memory.actor", &like).unwrap();
        saved.into_data().iter::<f32>().collect::<Vec<_>>()
    };
    assert!(state(&first).iter().any(|x| *x != 0.0));
    let mut resumed = trainer(config, u32::MAX);
    resumed.restore(&checkpoint).unwrap();
    assert!(state(&resumed).iter().all(|x| *x == 0.0));
}

#[test]
fn a_collector_says_why_it_is_slow() {
    let mut config = small();
    let parts = |config: &RunConfig| {
        let env = remote(config.num_envs, u32::MAX);
        let actor = build_actor(config, env.spec(), &device()).unwrap();
        (actor, build_critic(config, env.spec(), &device()), env)
    };
    let (actor, critic, mut env) = parts(&config);
    for steps in [Some(8), None] {
        let reason = collector_reason((&actor, &critic), env.as_mut(), steps);
        assert_eq!(reason, None);
    }
    // A network that computes on tensors still acts on slices, one with memory does not.
    config.network.fused = false;
    let (actor, critic, mut env) = parts(&config);
    let reason = collector_reason((&actor, &critic), env.as_mut(), Some(8));
    assert_eq!(reason, None);
    config.network.memory = uphill_algos::config::MemoryKind::Gru;
    config.network.memory_width = 4;
    let (actor, critic, mut env) = parts(&config);
    let reason = collector_reason((&actor, &critic), env.as_mut(), Some(8)).unwrap();
    assert!(reason.contains("policy"), "{reason}");
}
