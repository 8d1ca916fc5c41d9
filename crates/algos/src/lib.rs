//! Policy-gradient algorithms, one file each, with trainer, rollouts, checkpoints and configuration.
//!
//! ```text
//! RunConfig ─> Trainer { BatchEnv, Actor, Critic, Algorithm }
//!                │ step()
//!                ├─ collect()   T steps or whole episodes       => Collected: Rollout [T, N, ..]
//!                ├─ learn()     scales rewards, if configured
//!                │              runs the algorithm's update
//!                │              updates observation moments     => Learned, still on the device
//!                └─ report()    reads metrics, counts           => Report
//! ```
//!
//! Several trainers that differ only in their seeds can be combined into one [`Cohort`] on a GPU, which takes their
//! steps together.
//!
//! A3C's workers collect and update on separate threads; a step of its trainer is a fixed number of updates.
//!
//! The caller owns the loop around [`Trainer::step`], or around the three calls that it is made of, where there is
//! something to do between them; there are no callbacks.

pub mod a2c;
pub mod a3c;
mod agent;
pub mod checkpoint;
mod cohort;
pub mod collect;
pub mod config;
pub mod critic_fit;
pub mod descent;
mod device_collect;
mod diverged;
pub mod episodes;
pub mod eval;
pub mod footprint;
mod host_collect;
pub mod lab;
pub mod metrics;
mod no_spread;
pub mod npg;
pub mod optimizer;
pub mod own;
mod parts;
pub mod policy_gradient;
mod policy_step;
pub mod ppo;
pub mod random;
mod registry;
pub mod reinforce;
pub mod settings;
pub mod train;
pub mod trpo;
pub mod trust_region;
pub mod vpg;

pub use agent::{agent_params, build_actor, build_critic, dist_kind};
pub use checkpoint::{Checkpoint, CheckpointError};
pub use cohort::Cohort;
pub use config::{ConfigError, NetworkConfig, NormalizeConfig, RunConfig};
pub use diverged::{Cause, Diverged, First, Last, StepOfUpdate};
pub use footprint::Footprint;
pub use metrics::{Measured, Metrics};
pub use own::{NetworkRequest, register_distribution, register_network};
pub use registry::{
    ALGORITHMS, AlgoConfig, Custom, CustomSettings, algorithms, register_algorithm,
};
pub use settings::{Demands, Horizon, SequenceUse, Settings};
pub use train::{Collected, Learned, Report, StepError, TrainError, Trainer};

use random::Order;
use std::{
    any::Any,
    sync::atomic::{AtomicBool, Ordering},
};
use uphill_core::{
    peers::Peers,
    policy::{Actor, Critic},
    rollout::Rollout,
};

/// Iteration, progress and seed of an update, with its processes and stop flag.
#[derive(Clone, Copy, Debug)]
pub struct UpdateContext<'a> {
    /// Number of iterations finished before this one.
    pub iteration: u64,
    /// Fraction of the step budget spent before this iteration, 0 to 1. Schedules depend on it.
    pub progress: f64,
    /// The run's seed.
    pub seed: u64,
    /// The processes that train the agent together; [`Alone`](uphill_core::peers::Alone) for a single one.
    pub peers: &'a dyn Peers,
    /// Set when the iteration is to be abandoned: the results of the update will be discarded.
    pub stop: &'a AtomicBool,
}

impl UpdateContext<'_> {
    /// Whether to end the update early. Algorithms check it wherever more than a few seconds may pass.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Random order of the samples in an epoch of the update.
    pub fn order(&self, epoch: usize) -> Order {
        Order {
            seed: self.seed,
            iteration: self.iteration,
            epoch,
        }
    }
}

/// A synchronous algorithm: learns from one rollout at a time. Its optimiser is its only state.
pub trait Algorithm: Send + Any {
    /// Runs one iteration of learning: changes the parameters of actor and critic.
    fn update(
        &mut self,
        actor: &mut Actor,
        critic: &mut Critic,
        rollout: Rollout,
        context: UpdateContext<'_>,
    ) -> Measured;

    /// Reason why updates of this agent use Burn's operations one by one although fused loops or kernels would be
    /// several times faster; `None` if they do not, or if it is unknown.
    fn slower_path(&self, actor: &Actor, critic: &Critic) -> Option<&'static str> {
        let _ = (actor, critic);
        None
    }

    /// Adds the optimiser state to a checkpoint.
    fn save(&self, checkpoint: &mut Checkpoint);

    /// Restores the optimiser state from a checkpoint.
    fn load(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError>;
}

/// An algorithm with its optimiser state, by the way it collects experience.
pub enum Learner {
    /// Learns from one rollout of all copies at a time.
    Synchronous(Box<dyn Algorithm>),
    /// Collects experience itself, on several threads.
    Asynchronous(Box<a3c::A3c>),
}
