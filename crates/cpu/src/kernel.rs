//! Functions that are plain Rust and, with the feature `gpu`, also compile into GPU kernels.
//!
//! These are formulas of single samples, and the dynamics of environments. Code written in this vocabulary computes
//! with `f32`, `i32`, `u32`, `usize` and `bool`, chooses values by [`select()`] where plain Rust would branch, and
//! takes [`exp()`] from here, so that loops over many samples compile to vector instructions.

// The macro makes a module beside each function.
#![cfg_attr(feature = "gpu", allow(missing_docs))]

#[cfg(feature = "gpu")]
pub use cubecl::{self, prelude::*};

/// `then` if `condition`, else `otherwise`; both are evaluated.
#[inline(always)]
pub fn select<T>(condition: bool, then: T, otherwise: T) -> T {
    if condition { then } else { otherwise }
}

/// eˣ within 2 units in the last place; kernels use the device's own.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    crate::exp::exp(x)
}

/// [`select()`] inside kernels.
#[cfg(feature = "gpu")]
pub mod select {
    pub use cubecl::prelude::select::expand;
}

/// [`exp()`] inside kernels.
#[cfg(feature = "gpu")]
pub mod exp {
    pub use super::of_device::expand;
}

#[cfg(feature = "gpu")]
#[cube]
fn of_device(x: f32) -> f32 {
    x.exp()
}

/// `x` clamped to `low..=high`; NaN stays NaN.
#[cfg_attr(feature = "gpu", cube)]
#[inline(always)]
pub fn bounded(x: f32, low: f32, high: f32) -> f32 {
    let x = select(x < low, low, x);
    select(x > high, high, x)
}

/// `x` clamped to `-limit..=limit`; NaN stays NaN.
#[cfg_attr(feature = "gpu", cube)]
#[inline(always)]
pub fn clip(x: f32, limit: f32) -> f32 {
    bounded(x, -limit, limit)
}

/// Maps `u` in [0, 1) to `[−limit, limit)`.
#[cfg_attr(feature = "gpu", cube)]
#[inline(always)]
pub fn spread(u: f32, limit: f32) -> f32 {
    -limit + (limit + limit) * u
}

/// Result of one step of one environment.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "gpu", derive(CubeType))]
pub struct Outcome {
    /// Reward of the step.
    pub reward: f32,
    /// Whether the task ended.
    pub terminated: bool,
}
