//! Policy-gradient algorithms, one file each, and what happens around an update.
//!
//! ```text
//! RunConfig ─> Trainer { BatchEnv, Actor, Critic, Algorithm }
//!                │ step()
//!                ├─ collect   T steps of N copies          => Rollout [T, N, ..]
//!                ├─ scale     rewards, if asked for
//!                ├─ update    the algorithm's one page     => Metrics
//!                └─ normalise learn from the observations  => Report
//! ```
//!
//! The caller owns the loop around [`Trainer::step`]; there are no callbacks.

mod agent;
pub mod checkpoint;
pub mod collect;
pub mod config;
pub mod episodes;
pub mod eval;
pub mod metrics;
pub mod optimizer;
pub mod ppo;
pub mod random;
pub mod train;

pub use agent::{agent_params, build_actor, build_critic, dist_kind};
pub use checkpoint::{Checkpoint, CheckpointError};
pub use config::{ConfigError, NetworkConfig, NormalizeConfig, RunConfig};
pub use metrics::Metrics;
pub use train::{Diverged, Report, TrainError, Trainer};

use serde::{Deserialize, Serialize};
use uphill_core::{
    policy::{Actor, Critic},
    rollout::Rollout,
};

/// When and with which randomness an update happens.
#[derive(Clone, Copy, Debug)]
pub struct UpdateContext {
    /// Iterations finished before this one.
    pub iteration: u64,
    /// Share of the step budget spent before this iteration, 0 to 1. Schedules follow it.
    pub progress: f64,
    /// The run's seed.
    pub seed: u64,
}

/// What an algorithm does with a rollout. It owns its optimiser state and nothing else.
pub trait Algorithm: Send {
    /// Steps per copy in one rollout, `T`.
    fn steps(&self) -> usize;

    /// Discount γ, which reward scaling has to share.
    fn gamma(&self) -> f64;

    /// One iteration of learning: changes the parameters of actor and critic.
    fn update(
        &mut self,
        actor: &mut Actor,
        critic: &mut Critic,
        rollout: Rollout,
        context: UpdateContext,
    ) -> Metrics;

    /// Adds the optimiser state to a checkpoint.
    fn save(&self, checkpoint: &mut Checkpoint);

    /// Takes the optimiser state back.
    fn load(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError>;
}

/// An algorithm and its settings: the `[algo]` table of a configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum AlgoConfig {
    /// Proximal policy optimisation with a clipped surrogate.
    Ppo(ppo::PpoConfig),
}

/// Name and one-line description of every algorithm.
pub const ALGORITHMS: &[(&str, &str)] = &[(
    "ppo",
    "proximal policy optimisation, clipped surrogate (arXiv:1707.06347)",
)];

impl AlgoConfig {
    /// The named algorithm with its paper's settings.
    pub fn default_for(name: &str) -> Option<Self> {
        match name {
            "ppo" => Some(Self::Ppo(ppo::PpoConfig::default())),
            _ => None,
        }
    }

    /// As it is called in a configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ppo(_) => "ppo",
        }
    }

    /// Steps per copy in one rollout, `T`.
    pub fn steps(&self) -> usize {
        match self {
            Self::Ppo(config) => config.steps,
        }
    }

    /// Samples per gradient step with `num_envs` copies.
    pub fn minibatch(&self, num_envs: usize) -> usize {
        match self {
            Self::Ppo(config) => config.steps * num_envs / config.minibatches.max(1),
        }
    }

    /// Checks every setting, alone and against the number of copies.
    pub fn validate(&self, num_envs: usize) -> Result<(), ConfigError> {
        match self {
            Self::Ppo(config) => config.validate(num_envs),
        }
    }

    /// The algorithm, with fresh optimiser state for these networks.
    pub fn build(&self, actor: &Actor, critic: &Critic) -> Box<dyn Algorithm> {
        match self {
            Self::Ppo(config) => Box::new(ppo::Ppo::new(config.clone(), actor, critic)),
        }
    }
}
