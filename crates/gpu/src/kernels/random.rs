//! Counter-based random numbers inside kernels: `Philox` as a few integers.

use cubecl::prelude::*;
use uphill_cpu::rng::{KEY_STEP_A, KEY_STEP_B, MULTIPLIER_A, MULTIPLIER_B, ROUNDS};

/// 2⁻²⁴.
const UNIT: f32 = 1.0 / 16_777_216.0;
/// 2⁻²³.
const HALF_UNIT: f32 = 1.0 / 8_388_608.0;
/// 2⁻³².
const WORD: f32 = 1.0 / 4_294_967_296.0;
/// Angle per unit of a word: a full turn over 2³² values, rad.
const TURN: f32 = (std::f64::consts::TAU / 4_294_967_296.0) as f32;
/// Below this, a series is more accurate than a logarithm.
const SMALL: f32 = 0.0625;

/// The host's generator `Philox` inside a kernel. It draws the same words; normal numbers are rounded differently.
#[derive(CubeType)]
pub struct KernelRng {
    /// Words of the current block.
    words: Array<u32>,
    /// Number of those words already drawn.
    used: u32,
    /// Index of the next block.
    block: u32,
    lane: u32,
    step: u32,
    stream: u32,
    key_low: u32,
    key_high: u32,
}

/// The generator for a seed whose halves are `key_low` and `key_high`.
#[cube]
pub(super) fn rng_at(key_low: u32, key_high: u32, stream: u32, step: u32, lane: u32) -> KernelRng {
    KernelRng {
        words: Array::<u32>::new(4usize),
        used: 4u32,
        block: 0u32,
        lane,
        step,
        stream,
        key_low,
        key_high,
    }
}

#[cube]
impl KernelRng {
    /// The next random word.
    pub fn word(&mut self) -> u32 {
        if self.used == 4u32 {
            philox(
                &mut self.words,
                self.block,
                self.lane,
                self.step,
                self.stream,
                self.key_low,
                self.key_high,
                false,
            );
            self.block += 1u32;
            self.used = 0u32;
        }
        let word = self.words[self.used as usize];
        self.used += 1u32;
        word
    }

    /// `Philox::uniform`.
    pub fn uniform(&mut self) -> f32 {
        let word = self.word();
        f32::cast_from(word >> 8u32) * UNIT
    }

    /// `Philox::open_uniform`.
    pub fn open_uniform(&mut self) -> f32 {
        let word = self.word();
        open_uniform(word)
    }

    /// `Philox::range`.
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.uniform()
    }

    /// `Philox::below`.
    pub fn below(&mut self, n: u32) -> u32 {
        self.word().mul_hi(n)
    }

    /// `Philox::normal` in 32 bits.
    pub fn normal(&mut self) -> f32 {
        let first = self.word();
        let second = self.word();
        normal(first, second)
    }
}

/// Fills `words` with the four random words at (`block`, `lane`, `step`, `stream`) for a seed whose halves are
/// `key_low` and `key_high`: the words 4 · `block` to 4 · `block` + 3 of `Philox::new`. Unrolling makes it faster and
/// the code longer.
#[cube]
#[allow(clippy::too_many_arguments)]
pub(super) fn philox(
    words: &mut Array<u32>,
    block: u32,
    lane: u32,
    step: u32,
    stream: u32,
    key_low: u32,
    key_high: u32,
    #[comptime] unrolled: bool,
) {
    words[0] = block;
    words[1] = lane;
    words[2] = step;
    words[3] = stream;
    #[unroll(unrolled)]
    for round in 0..ROUNDS {
        let a_low = words[0] * MULTIPLIER_A;
        let a_high = words[0].mul_hi(MULTIPLIER_A);
        let b_low = words[2] * MULTIPLIER_B;
        let b_high = words[2].mul_hi(MULTIPLIER_B);
        let first = b_high ^ words[1] ^ (key_low + KEY_STEP_A * round);
        let third = a_high ^ words[3] ^ (key_high + KEY_STEP_B * round);
        words[0] = first;
        words[1] = b_low;
        words[2] = third;
        words[3] = a_low;
    }
}

/// −ln(1 − `rest`) for `u` = 1 − `rest`, without the cancellation near `u` = 1, where devices differ most.
#[cube]
pub(super) fn minus_ln(u: f32, rest: f32) -> f32 {
    let mut series = rest * 0.125f32 + comptime!(1.0f32 / 7.0);
    #[unroll]
    for i in 0..6u32 {
        series = series * rest + comptime!(1.0f32 / (6 - i) as f32);
    }
    select(rest < SMALL, series * rest, -u.ln())
}

/// A number in the open interval (0, 1) from a random word.
#[cube]
pub(super) fn open_uniform(word: u32) -> f32 {
    (f32::cast_from(word >> 9u32) + 0.5f32) * HALF_UNIT
}

/// A standard normal number from two random words (Box and Muller 1958): `Philox::normal` in 32 bits.
#[cube]
pub(super) fn normal(first: u32, second: u32) -> f32 {
    let u = (f32::cast_from(first) + 0.5f32) * WORD;
    let rest = (f32::cast_from(comptime!(u32::MAX) - first) + 0.5f32) * WORD;
    let radius = (2.0f32 * minus_ln(u, rest)).sqrt();
    // Angles of half a turn to either side, where sines and cosines are most accurate.
    radius * (f32::cast_from(i32::cast_from(second)) * TURN).cos()
}
