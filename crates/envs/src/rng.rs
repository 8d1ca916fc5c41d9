//! Counter-based random numbers: pure functions of a seed and a position.
//!
//! [`philox4x32`] turns (seed, position) into four random words, so the numbers for one purpose, one step and one copy
//! do not depend on what else was drawn, on the number of threads, or on the machine. There is no state to save except
//! the counters themselves.
//!
//! | purpose | seed | stream | step | lane |
//! |---|---|---|---|---|
//! | start state of episode `e` of copy `i` | the batch's | [`Stream::Reset`] | `e` | `i` |
//! | noise in the dynamics of copy `i` in step `t` of the batch | the batch's | [`Stream::Step`] | `t` | `i` |
//! | age at which copy `i` starts | the batch's | [`Stream::Age`] | 0 | `i` |
//!
//! [`Philox`] also implements the traits of the crate `rand`, so that its distributions can be used.
//!
//! Source: Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC'11 (Random123).

use std::convert::Infallible;
use std::f64::consts::TAU;

use rand::rand_core::utils::{fill_bytes_via_next_word, next_u64_via_u32};
use rand::{Rng, TryRng};

/// Number of rounds of Philox.
pub(crate) const ROUNDS: u32 = 10;
/// Multiplier of the first word in each round.
pub(crate) const MULTIPLIER_A: u32 = 0xD251_1F53;
/// Multiplier of the third word in each round.
pub(crate) const MULTIPLIER_B: u32 = 0xCD9E_8D57;
/// Increment of the first word of the key per round: the golden ratio.
pub(crate) const KEY_STEP_A: u32 = 0x9E37_79B9;
/// Increment of the second word of the key per round: √3 − 1.
pub(crate) const KEY_STEP_B: u32 = 0xBB67_AE85;

/// Philox4x32-10: four random words, a pure function of a position (`counter`) and a seed (`key`).
///
/// Ten rounds; each multiplies two of the words by constants and mixes their high and low halves with the other two
/// words and the key, which is incremented by the golden ratio and √3 − 1 between rounds.
#[must_use]
pub const fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let [mut k0, mut k1] = key;
    let mut round = 0;
    while round < ROUNDS {
        let a = MULTIPLIER_A as u64 * c0 as u64;
        let b = MULTIPLIER_B as u64 * c2 as u64;
        (c0, c2) = ((b >> 32) as u32 ^ c1 ^ k0, (a >> 32) as u32 ^ c3 ^ k1);
        (c1, c3) = (b as u32, a as u32);
        k0 = k0.wrapping_add(KEY_STEP_A);
        k1 = k1.wrapping_add(KEY_STEP_B);
        round += 1;
    }
    [c0, c1, c2, c3]
}

/// Purposes of random numbers. Streams of one seed are independent of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Stream {
    /// Initial parameters of networks.
    Init = 0,
    /// Start states of episodes.
    Reset = 1,
    /// Noise in the dynamics of environments.
    Step = 2,
    /// Ages at which the copies of a batch start.
    Age = 3,
    /// Actions sampled during training.
    Action = 4,
    /// Order of samples in minibatches.
    Shuffle = 5,
    /// Actions sampled during evaluation.
    EvalAction = 6,
    /// Anything else that a user draws.
    User = 7,
    /// Seeds of rollouts that restart every copy.
    FreshStart = 8,
    /// Seeds of workers with their own environments.
    Worker = 9,
    /// Seeds and small decision processes of the estimator laboratory.
    Lab = 10,
}

/// A generator that starts at a position given by (seed, stream, step, lane).
///
/// A position yields 2³⁴ words before it repeats. Nothing is computed until a number is drawn.
///
/// ```
/// use uphill_envs::{Philox, Stream};
///
/// let mut a = Philox::new(7, Stream::Reset, 0, 3);
/// let mut b = Philox::new(7, Stream::Reset, 0, 3);
/// assert_eq!(a.uniform(), b.uniform());
/// ```
#[derive(Clone, Debug)]
pub struct Philox {
    key: [u32; 2],
    /// Block, lane, step, stream.
    counter: [u32; 4],
    words: [u32; 4],
    /// Number of words of the current block already drawn.
    used: usize,
}

impl Philox {
    /// The generator for one purpose, one step (or episode) and one lane (usually a copy of the environment).
    #[must_use]
    pub const fn new(seed: u64, stream: Stream, step: u32, lane: u32) -> Self {
        Self {
            key: [seed as u32, (seed >> 32) as u32],
            counter: [0, lane, step, stream as u32],
            words: [0; 4],
            used: 4,
        }
    }

    /// Uniform in [0, 1), a multiple of 2⁻²⁴.
    pub fn uniform(&mut self) -> f32 {
        (self.next_u32() >> 8) as f32 * (1.0 / (1 << 24) as f32)
    }

    /// Uniform on the open interval (0, 1), an odd multiple of 2⁻²⁴: the logarithms of x and 1 − x are finite.
    pub fn open_uniform(&mut self) -> f32 {
        ((self.next_u32() >> 9) as f32 + 0.5) * (1.0 / (1 << 23) as f32)
    }

    /// Uniform between `low` and `high`. Rounding may produce `high` itself.
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.uniform()
    }

    /// Uniform in `0..n`, each value with a probability within n·2⁻³² of 1/n; 0 for `n` = 0.
    pub fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.next_u32()) * u64::from(n)) >> 32) as u32
    }

    /// A standard normal number: the first of [`normal_pair`](Self::normal_pair); the second is discarded.
    pub fn normal(&mut self) -> f32 {
        self.normal_pair()[0]
    }

    /// Two independent standard normal numbers (Box and Muller 1958) from two words:
    /// √(−2 ln u) · (cos 2πv, sin 2πv).
    ///
    /// Computed in f64, so that last-bit differences between mathematical libraries rarely survive the rounding to f32.
    /// The largest possible magnitude is 6.7.
    pub fn normal_pair(&mut self) -> [f32; 2] {
        const SCALE: f64 = 1.0 / (1_u64 << 32) as f64;
        let u = (f64::from(self.next_u32()) + 0.5) * SCALE;
        let v = f64::from(self.next_u32()) * SCALE;
        let radius = (-2.0 * u.ln()).sqrt();
        let (sin, cos) = (TAU * v).sin_cos();
        [(radius * cos) as f32, (radius * sin) as f32]
    }
}

impl TryRng for Philox {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        if self.used == self.words.len() {
            self.words = philox4x32(self.counter, self.key);
            self.counter[0] = self.counter[0].wrapping_add(1);
            self.used = 0;
        }
        let word = self.words[self.used];
        self.used += 1;
        Ok(word)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        next_u64_via_u32(self)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        fill_bytes_via_next_word(bytes, || self.try_next_u32())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers published with Random123 for philox4x32 with 10 rounds.
    #[test]
    fn known_answers() {
        let check = |counter, key, expected| assert_eq!(philox4x32(counter, key), expected);
        check(
            [0; 4],
            [0; 2],
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8],
        );
        check(
            [u32::MAX; 4],
            [u32::MAX; 2],
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd],
        );
        check(
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xa409_3822, 0x299f_31d0],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        );
    }

    #[test]
    fn a_position_is_seed_stream_step_and_lane() {
        let mut rng = Philox::new(0x0123_4567_89ab_cdef, Stream::Action, 5, 9);
        let drawn: Vec<u32> = (0..8).map(|_| rng.next_u32()).collect();
        let key = [0x89ab_cdef, 0x0123_4567];
        let expected = [philox4x32([0, 9, 5, 4], key), philox4x32([1, 9, 5, 4], key)].concat();
        assert_eq!(drawn, expected);
    }

    #[test]
    fn uniform_numbers_stay_inside_their_intervals_and_fill_them() {
        let mut rng = Philox::new(1, Stream::User, 0, 0);
        let n = 100_000;
        let (mut sum, mut counts) = (0.0, [0_u32; 10]);
        for _ in 0..n {
            let u = rng.uniform();
            assert!((0.0..1.0).contains(&u));
            sum += f64::from(u);
            let open = rng.open_uniform();
            assert!(0.0 < open && open < 1.0);
            let r = rng.range(-2.0, 3.0);
            assert!((-2.0..=3.0).contains(&r));
            counts[rng.below(10) as usize] += 1;
        }
        // Standard error of the mean: 1 / √(12 n) = 0.0009; of a count: √(n · 0.1 · 0.9) = 95.
        assert!((sum / f64::from(n) - 0.5).abs() < 0.005);
        assert!(
            counts.iter().all(|&count| (9_500..10_500).contains(&count)),
            "{counts:?}"
        );
    }

    #[test]
    fn extreme_words_stay_inside_the_open_interval() {
        let open = |word: u32| ((word >> 9) as f32 + 0.5) * (1.0 / (1 << 23) as f32);
        assert!(open(0) > 0.0);
        assert!(open(u32::MAX) < 1.0);
    }

    #[test]
    fn normal_numbers_have_the_moments_of_a_normal() {
        let n = 100_000;
        let mut moments = [0.0; 4];
        let mut product = 0.0;
        for lane in 0..n {
            let [a, b] = Philox::new(3, Stream::User, 0, lane)
                .normal_pair()
                .map(f64::from);
            for (k, moment) in moments.iter_mut().enumerate() {
                *moment += a.powi(k as i32 + 1) / f64::from(n);
            }
            product += a * b / f64::from(n);
        }
        // Standard errors: 1/√n = 0.003, √2/√n, √15/√n, √96/√n = 0.031.
        for (moment, (expected, tolerance)) in
            moments
                .into_iter()
                .zip([(0.0, 0.015), (1.0, 0.025), (0.0, 0.07), (3.0, 0.16)])
        {
            assert!((moment - expected).abs() < tolerance, "{moments:?}");
        }
        assert!(product.abs() < 0.015);
    }

    #[test]
    fn known_values_of_the_helpers() {
        // The first words for seed 0, stream Init, step 0, lane 0 are the first known answer above.
        let mut rng = Philox::new(0, Stream::Init, 0, 0);
        assert_eq!(rng.uniform(), 0x66_27e8 as f32 / 16_777_216.0);
        assert_eq!(
            rng.open_uniform(),
            (2.0 * (0xe169_c58d_u32 >> 9) as f32 + 1.0) / 16_777_216.0
        );
        assert_eq!(rng.below(16), 0xb);
    }

    #[test]
    fn bytes_and_long_words_follow_the_same_sequence() {
        let start = Philox::new(11, Stream::User, 2, 3);
        let words: Vec<u32> = std::iter::repeat_with({
            let mut rng = start.clone();
            move || rng.next_u32()
        })
        .take(2)
        .collect();
        assert_eq!(
            start.clone().next_u64(),
            u64::from(words[1]) << 32 | u64::from(words[0])
        );
        let mut bytes = [0; 8];
        start.clone().fill_bytes(&mut bytes);
        assert_eq!(bytes[..4], words[0].to_le_bytes());
        assert_eq!(bytes[4..], words[1].to_le_bytes());
    }
}
