//! [`philox4x32`](crate::rng::philox4x32) as a kernel function.

#[allow(clippy::wildcard_imports)] // the vocabulary of kernels
use crate::kernel::*;
use crate::rng::{KEY_STEP_A, KEY_STEP_B, MULTIPLIER_A, MULTIPLIER_B, ROUNDS};

/// Fills `words` with the four random words at (`block`, `lane`, `step`, `stream`) for a seed whose halves are
/// `key_low` and `key_high`: the words 4 · `block` to 4 · `block` + 3 of [`Philox::new`](crate::Philox::new).
#[cube]
#[allow(clippy::too_many_arguments)]
pub fn philox(
    words: &mut Array<u32>,
    block: u32,
    lane: u32,
    step: u32,
    stream: u32,
    key_low: u32,
    key_high: u32,
) {
    words[0] = block;
    words[1] = lane;
    words[2] = step;
    words[3] = stream;
    #[unroll]
    for round in 0..ROUNDS {
        let a_low = words[0] * MULTIPLIER_A;
        let a_high = words[0].mul_hi(MULTIPLIER_A);
        let b_low = words[2] * MULTIPLIER_B;
        let b_high = words[2].mul_hi(MULTIPLIER_B);
        let first = b_high ^ words[1] ^ (key_low + comptime!(KEY_STEP_A.wrapping_mul(round)));
        let third = a_high ^ words[3] ^ (key_high + comptime!(KEY_STEP_B.wrapping_mul(round)));
        words[0] = first;
        words[1] = b_low;
        words[2] = third;
        words[3] = a_low;
    }
}

/// [`Philox::uniform`](crate::Philox::uniform) of a random word.
#[cube]
pub fn uniform(word: u32) -> f32 {
    f32::cast_from(word >> 8u32) * UNIT
}

/// 2⁻²⁴.
const UNIT: f32 = 1.0 / 16_777_216.0;
