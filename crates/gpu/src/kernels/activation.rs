//! Nonlinearities of hidden layers in kernels.

// The macro generates a module beside the function.
#![allow(missing_docs)]

use cubecl::prelude::*;

/// ReLU or tanh of `z`. NaN stays NaN, so that a divergence is visible.
#[cube]
pub(super) fn activated(z: f32, #[comptime] relu: bool) -> f32 {
    if comptime!(relu) {
        // The comparison is false for NaN, which a maximum could drop.
        select(z < 0.0f32, 0.0f32, z)
    } else {
        accurate_tanh(z)
    }
}

/// tanh z, accurate to a few units in the last place wherever the device's exp is.
///
/// GPUs' own tanh may overflow to NaN for large arguments (Vulkan), or lose all digits for small ones.
#[cube]
fn accurate_tanh(z: f32) -> f32 {
    let square = z * z;
    // Taylor series to z⁹: its error is below 2⁻²⁴ of the result for |z| < 0.25.
    let series = z + z
        * square
        * (-0.333_333_34f32
            + square
                * (0.133_333_34f32 + square * (-0.053_968_254f32 + square * 0.021_869_488f32)));
    let e = (-2.0f32 * z.abs()).exp();
    let large = (1.0f32 - e) / (1.0f32 + e);
    let signed = select(z < 0.0f32, -large, large);
    select(z.abs() < 0.25f32, series, signed)
}
