//! What an author of an environment writes.

#[cfg(feature = "gpu")]
#[allow(clippy::wildcard_imports)] // what the attribute below wants
use crate::kernel::*;
use crate::{EnvSpec, Philox};

/// What does not change while an environment runs.
pub trait Described: Send + Sync {
    /// Name, spaces and limits.
    fn spec(&self) -> EnvSpec;

    /// Length `S` of the state.
    fn state_size(&self) -> usize;
}

/// The dynamics of one environment.
///
/// Its whole state is a slice of `f32` that somebody else keeps, so batching, saving and restoring need nothing
/// from the author. Nor do time limits, autoreset, clipping and statistics: [`HostBatch`](crate::HostBatch) adds
/// them. All chance comes from `rng`, as many numbers as wanted.
///
/// With `#[cube]` on the implementation and [`in_kernels!`](crate::in_kernels) beside it the same functions are compiled
/// for GPUs as well; [`kernel`](crate::kernel) tells what such functions may use.
pub trait Env: Described {
    /// Writes a start state, `[S]`. The old contents mean nothing.
    fn reset(&self, state: &mut [f32], rng: &mut Philox);

    /// Advances the state `[S]` by one step.
    ///
    /// `action` is `[A]`: real numbers clipped to their bounds (or NaN), or exact indices.
    fn step(&self, state: &mut [f32], action: &[f32], rng: &mut Philox) -> Outcome;

    /// Writes what the agent sees in the state `[S]` to `obs`, `[O]`.
    fn observe(&self, state: &[f32], obs: &mut [f32]);
}

/// What a step of one environment brought.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "gpu", derive(CubeType))]
pub struct Outcome {
    /// The reward.
    pub reward: f32,
    /// Whether the task ended.
    pub terminated: bool,
}
