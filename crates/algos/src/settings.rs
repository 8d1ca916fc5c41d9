//! What every algorithm's configuration has to tell, and the checks that they share.

use crate::{Learner, config::ConfigError};
use uphill_core::{
    policy::{Actor, Critic},
    schedule::Schedule,
};

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

    /// The algorithm, with fresh optimiser state for these networks.
    fn build(&self, actor: &Actor, critic: &Critic) -> Learner;
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

/// Counts that cannot be zero.
pub(crate) fn at_least_one(settings: &[(&str, usize)]) -> Result<(), ConfigError> {
    settings
        .iter()
        .try_for_each(|(key, value)| ensure(*value > 0, key, || "must be at least 1".to_owned()))
}

/// Numbers between 0 and 1, both included.
pub(crate) fn unit_interval(settings: &[(&str, f64)]) -> Result<(), ConfigError> {
    settings.iter().try_for_each(|(key, value)| {
        ensure((0.0..=1.0).contains(value), key, || {
            format!("is {value}, must lie between 0 and 1")
        })
    })
}

/// Finite numbers above zero.
pub(crate) fn positive(settings: &[(&str, f64)]) -> Result<(), ConfigError> {
    settings.iter().try_for_each(|(key, value)| {
        ensure(*value > 0.0 && value.is_finite(), key, || {
            format!("is {value}, must be a positive finite number")
        })
    })
}

/// Finite numbers from zero.
pub(crate) fn not_negative(settings: &[(&str, f64)]) -> Result<(), ConfigError> {
    settings.iter().try_for_each(|(key, value)| {
        ensure(*value >= 0.0 && value.is_finite(), key, || {
            format!("is {value}, must be a finite number from 0")
        })
    })
}

/// Schedules that are positive, but for one end.
pub(crate) fn positive_schedules(settings: &[(&str, Schedule)]) -> Result<(), ConfigError> {
    settings.iter().try_for_each(|(key, schedule)| {
        let right = schedule.min() >= 0.0 && schedule.max() > 0.0 && schedule.max().is_finite();
        ensure(right, key, || {
            format!("is {schedule}, must be a positive finite number (a schedule may end at 0)")
        })
    })
}

/// A rollout of `steps` steps of `num_envs` copies has to be addressable on every device.
pub(crate) fn rollout_fits(steps: usize, num_envs: usize) -> Result<(), ConfigError> {
    ensure(
        steps.saturating_mul(num_envs) <= i32::MAX as usize,
        "algo.steps",
        || {
            format!(
                "{steps} × num_envs {num_envs} is more than a rollout can hold ({})",
                i32::MAX
            )
        },
    )
}
