//! Trainer: a run in memory, with its state, errors and statistics.

mod build;
mod iteration;
mod state;

pub(crate) use iteration::Learners;
pub use iteration::{Collected, Learned, Report};
pub use state::load_actor;

use crate::{
    Diverged, Learner, UpdateContext,
    checkpoint::CheckpointError,
    collect::NEVER,
    config::{ConfigError, RunConfig},
    episodes::EpisodeStats,
    metrics::Metrics,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use uphill_core::{
    normalize::RewardScaler,
    peers::{Alone, Peers},
    policy::{Actor, Critic},
    rollout::Memory,
};
use uphill_envs::{BatchEnv, EnvError};

/// Errors of starting a run.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A setting is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The environment cannot be made.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// The checkpoint does not fit.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// Errors that stop an iteration. The trainer cannot continue; restore a checkpoint.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StepError {
    /// A loss or parameter is not finite.
    #[error(transparent)]
    Diverged(#[from] Diverged),
    /// The environment failed.
    #[error("stopped in iteration {iteration} (step {env_steps}): {error}")]
    Env {
        /// Iteration in which it happened, counted from 1.
        iteration: u64,
        /// Number of environment steps taken before it.
        env_steps: u64,
        /// Error of the environment.
        error: EnvError,
    },
}

/// A run: environments, actor, critic, algorithm and counters.
pub struct Trainer {
    pub(crate) config: RunConfig,
    /// One batch per worker.
    pub(crate) envs: Vec<Box<dyn BatchEnv>>,
    pub(crate) actor: Actor,
    pub(crate) critic: Critic,
    pub(crate) learner: Learner,
    /// Reason why rollouts are collected step by step on a device, if they are.
    collector: Option<&'static str>,
    /// States of networks with memory between rollouts.
    memory: Memory,
    pub(crate) reward_scaler: Option<RewardScaler>,
    counters: Counters,
    /// Metrics of the last iteration; empty at the start.
    metrics: Metrics,
    /// The processes that train the agent together.
    peers: Arc<dyn Peers>,
}

/// Counters, saved as JSON inside a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Counters {
    iteration: u64,
    env_steps: u64,
    stats: EpisodeStats,
}

impl Counters {
    /// The error of an environment in the iteration in progress.
    fn stopped_at(&self, error: &EnvError) -> StepError {
        StepError::Env {
            iteration: self.iteration + 1,
            env_steps: self.env_steps,
            error: error.clone(),
        }
    }
}

impl Trainer {
    /// Reason why this run uses Burn's operations one by one instead of fused CPU loops or GPU kernels, which are
    /// several times faster for small networks; `None` if it does not.
    pub fn slower_path(&self) -> Option<String> {
        let agent = (&self.actor, &self.critic);
        let cause = if self.config.network.fused {
            let of_updates = match &self.learner {
                Learner::Synchronous(algorithm) => algorithm.slower_path(agent.0, agent.1),
                Learner::Asynchronous(a3c) => a3c.slower_path(agent.0, agent.1),
            };
            of_updates.or(self.collector)?
        } else {
            "network.fused = false asks for it"
        };
        Some(format!(
            "this run takes the slower path, Burn's operations one by one: {cause}"
        ))
    }

    /// This run with a transparent wrapper, such as a clock or a recorder, around each of its batches of environments.
    #[must_use]
    pub fn around_envs(
        mut self,
        around: impl FnMut(Box<dyn BatchEnv>) -> Box<dyn BatchEnv>,
    ) -> Self {
        self.envs = self.envs.into_iter().map(around).collect();
        self
    }

    /// Context of the next update, and the number of steps that every copy has taken, which is the position in the
    /// stream of action noise.
    pub(crate) fn position(&self) -> (UpdateContext<'static>, u64) {
        let context = UpdateContext {
            iteration: self.counters.iteration,
            progress: self.counters.env_steps as f64 / self.config.total_steps as f64,
            seed: self.config.seed,
            peers: &Alone,
            stop: &NEVER,
        };
        (
            context,
            self.counters.env_steps / (self.config.num_envs * self.peers.size()) as u64,
        )
    }

    /// Whether the step budget is spent.
    pub fn finished(&self) -> bool {
        self.counters.env_steps >= self.config.total_steps
    }

    /// Configuration of the run.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// Specification of the environment.
    pub fn spec(&self) -> &uphill_envs::EnvSpec {
        self.envs[0].spec()
    }

    /// The policy.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The value function.
    pub fn critic(&self) -> &Critic {
        &self.critic
    }

    /// Number of finished iterations.
    pub fn iteration(&self) -> u64 {
        self.counters.iteration
    }

    /// Number of environment steps taken, over all copies.
    pub fn env_steps(&self) -> u64 {
        self.counters.env_steps
    }

    /// Statistics of finished episodes.
    pub fn episodes(&self) -> &EpisodeStats {
        &self.counters.stats
    }
}
