//! The vocabulary of functions that are ordinary Rust and, with the feature `gpu`, parts of kernels as well.
//!
//! Such a function computes with `f32`, picks values by [`select()`] where plain Rust would branch, and takes [`exp()`]
//! from here: loops over many samples are compiled to vector instructions then.

// The macro makes a module beside each function.
#![cfg_attr(feature = "gpu", allow(missing_docs))]

#[cfg(feature = "gpu")]
pub(crate) use cubecl::prelude::*;

/// `then` if `condition`, else `otherwise`; both are evaluated.
#[inline(always)]
pub fn select(condition: bool, then: f32, otherwise: f32) -> f32 {
    if condition { then } else { otherwise }
}

/// eˣ within 2 units in the last place; in kernels the device's own.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    crate::exp::exp(x)
}

/// [`select()`] in kernels.
#[cfg(feature = "gpu")]
pub mod select {
    pub use cubecl::prelude::select::expand;
}

/// [`exp()`] in kernels.
#[cfg(feature = "gpu")]
pub mod exp {
    pub use super::of_device::expand;
}

#[cfg(feature = "gpu")]
#[cube]
fn of_device(x: f32) -> f32 {
    x.exp()
}

/// `x` within `low..=high`; NaN stays NaN.
#[cfg_attr(feature = "gpu", cube)]
#[inline(always)]
pub fn bounded(x: f32, low: f32, high: f32) -> f32 {
    let x = select(x < low, low, x);
    select(x > high, high, x)
}
