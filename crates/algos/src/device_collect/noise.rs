//! Action noise as in [`random`](crate::random), in 32 bits.

#[allow(clippy::wildcard_imports)] // the vocabulary of kernels
use cubecl::prelude::*;

/// 2⁻²³
const HALF_UNIT: f32 = 1.0 / 8_388_608.0;
/// 2⁻³²
const WORD: f32 = 1.0 / 4_294_967_296.0;
/// A turn per word, rad.
const TURN: f32 = (std::f64::consts::TAU / 4_294_967_296.0) as f32;
/// Below this a series is more accurate than a logarithm.
const SMALL: f32 = 0.0625;

/// −ln(1 − `rest`) for `u` = 1 − `rest`: without the cancellation near `u` = 1, where devices differ most.
#[cube]
pub(super) fn minus_ln(u: f32, rest: f32) -> f32 {
    let mut series = rest * 0.125f32 + comptime!(1.0f32 / 7.0);
    #[unroll]
    for i in 0..6u32 {
        series = series * rest + comptime!(1.0f32 / (6 - i) as f32);
    }
    select(rest < SMALL, series * rest, -u.ln())
}

/// Standard Gumbel noise −ln(−ln u) from a random word.
#[cube]
pub(super) fn gumbel(word: u32) -> f32 {
    let u = (f32::cast_from(word >> 9u32) + 0.5f32) * HALF_UNIT;
    -minus_ln(u, 1.0f32 - u).ln()
}

/// A standard normal number from two random words (Box and Muller 1958).
#[cube]
pub(super) fn normal(first: u32, second: u32) -> f32 {
    let u = (f32::cast_from(first) + 0.5f32) * WORD;
    let rest = (f32::cast_from(comptime!(u32::MAX) - first) + 0.5f32) * WORD;
    let radius = (2.0f32 * minus_ln(u, rest)).sqrt();
    // Half a turn to either side, where sines and cosines are most accurate.
    radius * (f32::cast_from(i32::cast_from(second)) * TURN).cos()
}
