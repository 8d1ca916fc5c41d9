//! Policy-gradient algorithms, one file each, and what happens around an update.
//!
//! ```text
//! RunConfig ─> Trainer { BatchEnv, Actor, Critic, Algorithm }
//!                │ step()
//!                ├─ collect   T steps or whole episodes    => Rollout [T, N, ..]
//!                ├─ scale     rewards, if asked for
//!                ├─ update    the algorithm's one page     => Measured
//!                └─ normalise learn from the observations  => Report
//! ```
//!
//! Several trainers that differ in their seeds alone are one [`Cohort`] on a GPU, which makes their steps at once.
//!
//! A3C's workers collect and update on their own threads; there a step is a fixed number of updates.
//!
//! The caller owns the loop around [`Trainer::step`]; there are no callbacks.

pub mod a2c;
pub mod a3c;
mod agent;
pub mod checkpoint;
#[cfg(feature = "gpu")]
mod cohort;
#[cfg(not(feature = "gpu"))]
#[path = "no_cohort.rs"]
mod cohort;
pub mod collect;
pub mod config;
pub mod critic_fit;
pub mod descent;
#[cfg(feature = "gpu")]
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
pub use train::{Report, StepError, TrainError, Trainer};

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

/// When and with which randomness an update happens.
#[derive(Clone, Copy, Debug)]
pub struct UpdateContext<'a> {
    /// Iterations finished before this one.
    pub iteration: u64,
    /// Share of the step budget spent before this iteration, 0 to 1. Schedules follow it.
    pub progress: f64,
    /// The run's seed.
    pub seed: u64,
    /// The processes that train the agent together; [`Alone`](uphill_core::peers::Alone) for one.
    pub peers: &'a dyn Peers,
    /// Raised when the iteration is to be given up: whatever the update comes to will be thrown away.
    pub stop: &'a AtomicBool,
}

impl UpdateContext<'_> {
    /// Whether to end the update early. To be asked wherever more than a few seconds may pass.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The random order of the samples in an epoch of the update.
    pub fn order(&self, epoch: usize) -> Order {
        Order {
            seed: self.seed,
            iteration: self.iteration,
            epoch,
        }
    }
}

/// What an algorithm does with a rollout. It owns its optimiser state and nothing else.
pub trait Algorithm: Send + Any {
    /// One iteration of learning: changes the parameters of actor and critic.
    fn update(
        &mut self,
        actor: &mut Actor,
        critic: &mut Critic,
        rollout: Rollout,
        context: UpdateContext<'_>,
    ) -> Measured;

    /// Why updates of this agent take Burn's operations one by one where fused loops or kernels would be several times
    /// faster; `None` if they do not, or nothing is known.
    fn slower_path(&self, actor: &Actor, critic: &Critic) -> Option<&'static str> {
        let _ = (actor, critic);
        None
    }

    /// Adds the optimiser state to a checkpoint.
    fn save(&self, checkpoint: &mut Checkpoint);

    /// Takes the optimiser state back.
    fn load(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError>;
}

/// An algorithm with its optimiser state, by how it meets its environments.
pub enum Learner {
    /// Learns from one rollout of all copies after the other.
    Synchronous(Box<dyn Algorithm>),
    /// Gathers experience itself, on several threads.
    Asynchronous(Box<a3c::A3c>),
}
