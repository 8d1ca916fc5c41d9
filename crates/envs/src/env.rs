//! Traits for authors of environments: `Described` and `Env`.

use crate::{EnvSpec, Outcome, Philox};

/// Constant properties of an environment.
pub trait Described: Send + Sync {
    /// Name, spaces and limits.
    fn spec(&self) -> EnvSpec;

    /// Length `S` of the state.
    fn state_size(&self) -> usize;
}

/// The dynamics of one environment.
///
/// The whole state is a slice of `f32` that the caller owns, so batching, saving and restoring need nothing from the
/// author. Nor do time limits, autoreset, clipping and statistics, which [`HostBatch`](crate::HostBatch) adds. All
/// randomness comes from `rng`, as many numbers as needed.
///
/// With `#[cube]` on the implementation and [`in_kernels!`](crate::in_kernels) beside it, the same functions are also
/// compiled for GPUs; [`kernel`](crate::kernel) describes the subset of Rust that they may use.
pub trait Env: Described {
    /// Writes a start state `[S]`. Its previous contents are meaningless.
    fn reset(&self, state: &mut [f32], rng: &mut Philox);

    /// Advances the state `[S]` by one step.
    ///
    /// `action` is `[A]`: real numbers clipped to their bounds (or NaN), or exact indices.
    fn step(&self, state: &mut [f32], action: &[f32], rng: &mut Philox) -> Outcome;

    /// Writes the observation `[O]` of the state `[S]` to `obs`.
    fn observe(&self, state: &[f32], obs: &mut [f32]);
}
