//! The little language in which dynamics are written: ordinary Rust that is also a GPU kernel.
//!
//! Such a function works on a slice that holds the states of all copies and on the offset `base` of its own
//! copy, uses `f32` arithmetic, and picks values by [`select`] and [`clip`] where plain Rust would branch.
//! With the feature `gpu` the attribute `#[cube]` makes it a CubeCL function as well.

#[cfg(feature = "gpu")]
pub(crate) use cubecl::prelude::*;

/// `then` if `condition`, else `otherwise`; both are evaluated.
#[cfg(not(feature = "gpu"))]
#[inline]
pub(crate) fn select<T>(condition: bool, then: T, otherwise: T) -> T {
    if condition { then } else { otherwise }
}

/// `x` within `-limit..=limit`; NaN stays NaN.
#[cfg_attr(feature = "gpu", cube)]
#[inline]
pub(crate) fn clip(x: f32, limit: f32) -> f32 {
    select(x > limit, limit, select(x < -limit, -limit, x))
}

/// A number in `[−limit, limit)` from `u` in [0, 1).
#[cfg_attr(feature = "gpu", cube)]
#[inline]
pub(crate) fn spread(u: f32, limit: f32) -> f32 {
    -limit + (limit + limit) * u
}
