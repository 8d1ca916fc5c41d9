//! What every algorithm's configuration has to tell, and the checks that they share.

mod range;

use crate::{Learner, config::ConfigError};
pub use range::{
    CLIP, COUNT, FROM_ONE, InRange, LOG_STD, NOT_NEGATIVE, PART, POSITIVE, Range, SHARE, SHRINKING,
};
use uphill_core::policy::{Actor, Critic};

/// What one rollout is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Horizon {
    /// This many steps of every copy, `T`, going on where the last rollout stopped.
    Steps(usize),
    /// Whole episodes from fresh starts: exactly the first `per_env` of every copy. The rollout lasts
    /// until the last copy has finished; what other copies do meanwhile counts as environment steps
    /// and is not learnt from, because counting whichever episodes finish first would favour short
    /// ones.
    Episodes {
        /// Episodes of each copy.
        per_env: usize,
    },
}

/// The settings of one algorithm: the `[algo]` table without its name.
pub trait Settings {
    /// What one rollout is.
    fn horizon(&self) -> Horizon;

    /// Discount γ, which reward scaling has to share.
    fn gamma(&self) -> f64;

    /// Samples per gradient step with `num_envs` copies, roughly: it helps to choose a device.
    fn minibatch(&self, num_envs: usize) -> usize;

    /// Checks every setting, alone and against the number of copies.
    fn validate(&self, num_envs: usize) -> Result<(), ConfigError>;

    /// Threads that gather experience, each with an equal share of the copies.
    fn workers(&self) -> usize {
        1
    }

    /// How it learns from the sequences of networks with memory.
    fn sequences(&self) -> SequenceUse {
        SequenceUse::Refused
    }

    /// What it asks of the policy's distribution beyond densities and entropy. Every built-in one has all of it.
    fn demands(&self) -> Demands {
        Demands::Densities
    }

    /// The algorithm, with fresh optimiser state for these networks.
    fn build(&self, actor: &Actor, critic: &Critic) -> Learner;
}

/// What an algorithm asks of a policy's distribution, each with what stands before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Demands {
    /// Log-probabilities and entropy.
    Densities,
    /// KL divergences.
    Kl,
    /// Products with the Fisher matrix.
    Fisher,
}

/// How an algorithm learns from the copies' sequences where networks have a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SequenceUse {
    /// It does not.
    Refused,
    /// From all of them at once.
    Whole,
    /// From minibatches of whole sequences.
    Parts {
        /// The setting that says how many.
        key: &'static str,
        /// Their number.
        parts: usize,
    },
}

/// `Err` about `key` unless `right` holds.
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

/// The largest number of samples, units or parameters: on every device they are counted in 32 bits.
pub(crate) const LARGEST: usize = i32::MAX as usize;

/// Samples in `count` steps or episodes (of `key`) of `num_envs` copies; a rollout has to be addressable on every
/// device.
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
