//! Construction of a trainer: from a configuration, from user-supplied parts, as one of several processes.

use super::{Counters, TrainError, Trainer, state::inexact_resume};
use crate::{
    Footprint, Learner,
    agent::{build_actor, build_critic, check_kind, obs_norm},
    collect::{collector_reason, start},
    config::{Distribution, ModuleKind, RunConfig},
    metrics::Metrics,
    parts,
    random::worker_seed,
    settings::{Horizon, ensure},
};
use burn::tensor::Device;
use std::sync::Arc;
use uphill_core::{
    normalize::{ObsNorm, RewardScaler},
    peers::{Alone, Peers},
    policy::{Actor, Critic},
};
use uphill_envs::BatchEnv;

impl Trainer {
    /// A new run of a registered environment with the configured networks.
    pub fn new(config: RunConfig, device: &Device) -> Result<Self, TrainError> {
        config.validate()?;
        Footprint::addressable(&config, &uphill_envs::spec(&config.env)?)?;
        let options = config.batch_options();
        let workers = config.algo.settings().workers();
        let make = |_| {
            let copies = config.num_envs / workers;
            uphill_envs::make_with(&config.env, copies, device, options)
        };
        let envs = (0..workers).map(make).collect::<Result<Vec<_>, _>>()?;
        let actor = build_actor(&config, envs[0].spec(), device)?;
        let critic = build_critic(&config, envs[0].spec(), device);
        let network = &config.network;
        let own = matches!(network.module, ModuleKind::Own(_))
            || matches!(network.distribution, Distribution::Own(_));
        let trainer = Self::of(config, envs, actor, critic)?;
        if own {
            let agent = (&trainer.actor, &trainer.critic);
            parts::check_agent(&trainer.config, trainer.envs[0].as_ref(), agent)?;
        }
        Ok(trainer)
    }

    /// A new run with user-supplied environment, actor and critic. They must be on the same device; `env.num_envs()`
    /// must equal `config.num_envs`, and `config.env` the name in its specification.
    ///
    /// Both networks use one observation normaliser: the actor's, or if it has none, the one that `config.normalize`
    /// configures.
    ///
    /// # Errors
    /// A description of what does not fit: a network whose width differs from that of the observations or the
    /// distribution (each network makes one pass over a few observations of the environment), a module that computes a
    /// different perceptron from the one it describes, an algorithm without support for networks with memory, and
    /// settings that would have no effect: `frames`, `random_ages`, `host_steps`, and a `network` that does not
    /// describe these networks.
    pub fn from_parts(
        config: RunConfig,
        env: Box<dyn BatchEnv>,
        actor: Actor,
        critic: Critic,
    ) -> Result<Self, TrainError> {
        Self::from_workers(config, vec![env], actor, critic)
    }

    /// [`from_parts`](Self::from_parts) for an algorithm with several workers: one batch of environments for each.
    pub fn from_workers(
        config: RunConfig,
        envs: Vec<Box<dyn BatchEnv>>,
        actor: Actor,
        critic: Critic,
    ) -> Result<Self, TrainError> {
        let trainer = Self::of(config, envs, actor, critic)?;
        let agent = (&trainer.actor, &trainer.critic);
        parts::check(&trainer.config, &trainer.envs, agent)?;
        if let Some(cause) = trainer.slower_path() {
            tracing::warn!("{cause}");
        }
        Ok(trainer)
    }

    fn of(
        config: RunConfig,
        mut envs: Vec<Box<dyn BatchEnv>>,
        mut actor: Actor,
        mut critic: Critic,
    ) -> Result<Self, TrainError> {
        config.validate()?;
        let workers = config.algo.settings().workers();
        ensure(envs.len() == workers, "algo.workers", || {
            format!(
                "is {workers}, but there are environments for {}",
                envs.len()
            )
        })?;
        let copies: usize = envs.iter().map(|env| env.num_envs()).sum();
        ensure(copies == config.num_envs, "num_envs", || {
            format!(
                "is {}, but the environment has {copies} copies",
                config.num_envs
            )
        })?;
        for (worker, env) in envs.iter_mut().enumerate() {
            env.reset(worker_seed(config.seed, worker));
        }
        let env = &envs[0];
        check_kind(&actor.kind, env.spec(), &config.network)?;
        let device = actor.net.device();
        let features = env.spec().normalized_width();
        let fresh = || obs_norm(&config, features, &device);
        actor.obs_norm = actor.obs_norm.take().or_else(fresh);
        let fits = |norm: &ObsNorm| norm.features() == features;
        ensure(actor.obs_norm.as_ref().is_none_or(fits), "env", || {
            format!("the actor's normaliser has to cover {features} columns of the observation")
        })?;
        critic.obs_norm = actor.obs_norm.clone();
        let reward_scaler =
            (config.normalize.reward).then(|| RewardScaler::new(config.num_envs, &device));
        if let Some(inexact) = inexact_resume(&envs) {
            tracing::warn!("{inexact}");
        }
        let steps = match config.algo.settings().horizon() {
            Horizon::Steps(steps) => Some(steps),
            Horizon::Episodes { .. } => None,
        };
        let collector = collector_reason((&actor, &critic), envs[0].as_mut(), steps);
        Ok(Self {
            collector,
            learner: config.algo.settings().build(&actor, &critic),
            memory: start(&actor, &critic, config.num_envs),
            reward_scaler,
            counters: Counters::default(),
            metrics: Metrics::default(),
            peers: Arc::new(Alone),
            config,
            envs,
            actor,
            critic,
        })
    }

    /// This run as one of several processes, which train one agent on `num_envs` copies each. Restarts the
    /// environments, so that every process has different copies; to be called before the first [`step`](Self::step), or
    /// before [`restore`](Self::restore).
    ///
    /// # Errors
    ///
    /// For A3C, whose workers share parameters in the memory of one process.
    pub fn among(mut self, peers: Arc<dyn Peers>) -> Result<Self, TrainError> {
        let workers = self.envs.len();
        ensure(
            peers.size() == 1 || matches!(self.learner, Learner::Synchronous(_)),
            "algo.name",
            || "a3c trains in one process; a2c does the same in several".to_owned(),
        )?;
        for (worker, env) in self.envs.iter_mut().enumerate() {
            env.reset(worker_seed(
                self.config.seed,
                peers.rank() * workers + worker,
            ));
        }
        self.peers = peers;
        Ok(self)
    }
}
