//! Trait of all algorithm settings: horizon, discount, validation, construction.

mod range;

use crate::{Learner, config::ConfigError};
pub use range::{
    CLIP, COUNT, FROM_ONE, ITERATIONS, InRange, LOG_STD, NOT_NEGATIVE, PART, POSITIVE, Range,
    SHARE, SHRINKING,
};
use uphill_core::policy::{Actor, Critic};

/// Extent of one rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Horizon {
    /// This many steps of every copy, `T`, continuing where the last rollout stopped.
    Steps(usize),
    /// Whole episodes after a reset: exactly the first `per_env` of every copy. The rollout lasts until the last copy
    /// has finished; further steps of other copies count as environment steps but are not used, because using the
    /// episodes that finish first would favour short ones.
    Episodes {
        /// Number of episodes of each copy.
        per_env: usize,
    },
}

/// The settings of one algorithm: the `[algo]` table without its name.
pub trait Settings {
    /// Extent of one rollout.
    fn horizon(&self) -> Horizon;

    /// Discount γ, which reward scaling uses too.
    fn gamma(&self) -> f64;

    /// Approximate number of samples per gradient step with `num_envs` copies; used to choose a device.
    fn minibatch(&self, num_envs: usize) -> usize;

    /// Checks each setting, and their fit to the number of copies.
    fn validate(&self, num_envs: usize) -> Result<(), ConfigError>;

    /// Number of threads that collect experience, each with an equal share of the copies.
    fn workers(&self) -> usize {
        1
    }

    /// Use of sequences when networks have memory.
    fn sequences(&self) -> SequenceUse {
        SequenceUse::Refused
    }

    /// Requirements on the policy's distribution beyond densities and entropy. Built-in distributions fulfil all of
    /// them.
    fn demands(&self) -> Demands {
        Demands::Densities
    }

    /// Builds the algorithm, with fresh optimiser state for these networks.
    fn build(&self, actor: &Actor, critic: &Critic) -> Learner;
}

/// Requirements of an algorithm on the policy's distribution; each includes the preceding ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Demands {
    /// Log-probabilities and entropy.
    Densities,
    /// KL divergences.
    Kl,
    /// Fisher-vector products.
    Fisher,
}

/// Use of the copies' sequences by an algorithm when networks have memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SequenceUse {
    /// Memory is not supported.
    Refused,
    /// All sequences at once.
    Whole,
    /// Minibatches of whole sequences.
    Parts {
        /// The setting for their number.
        key: &'static str,
        /// Their number.
        parts: usize,
    },
}

/// `Err` about `key` unless `right`.
pub(crate) fn ensure(
    right: bool,
    key: &str,
    problem: impl FnOnce() -> String,
) -> Result<(), ConfigError> {
    if right {
        Ok(())
    } else {
        Err(ConfigError::new(key, problem()))
    }
}

/// The largest number of samples, units or parameters, which are counted in 32 bits on every device.
pub(crate) const LARGEST: usize = i32::MAX as usize;

/// Number of samples in `count` steps or episodes (the setting `key`) of `num_envs` copies; an error if a rollout would
/// not be addressable on every device.
pub(crate) fn rollout_samples(
    key: &str,
    count: usize,
    num_envs: usize,
) -> Result<usize, ConfigError> {
    let samples = count.saturating_mul(num_envs);
    ensure(samples <= LARGEST, key, || {
        format!("{count} × num_envs {num_envs} is more than a rollout can hold ({LARGEST})")
    })?;
    Ok(samples)
}
