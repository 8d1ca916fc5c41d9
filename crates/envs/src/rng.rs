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

pub use uphill_cpu::rng::{NoiseAt, Stream, philox4x32};

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
    fn extreme_words_stay_inside_the_open_interval_and_give_finite_normals() {
        let drawn = |word: u32| Philox {
            words: [word; 4],
            used: 0,
            ..Philox::new(0, Stream::User, 0, 0)
        };
        assert!(drawn(0).open_uniform() > 0.0);
        assert!(drawn(u32::MAX).open_uniform() < 1.0);
        // √(−2 ln 2⁻³³) = 6.76, at an angle of 0.
        assert!((drawn(0).normal() - 6.76).abs() < 0.01);
        assert!(drawn(u32::MAX).normal().abs() < 1e-4);
    }

    #[test]
    fn normal_numbers_have_the_moments_of_a_normal() {
        let n = 100_000;
        let mut moments = [[0.0; 4]; 2];
        let mut product = 0.0;
        for lane in 0..n {
            let pair = Philox::new(3, Stream::User, 0, lane).normal_pair();
            let first = Philox::new(3, Stream::User, 0, lane).normal();
            assert_eq!(first, pair[0]);
            let pair = pair.map(f64::from);
            for (moments, x) in moments.iter_mut().zip(pair) {
                for (k, moment) in moments.iter_mut().enumerate() {
                    *moment += x.powi(k as i32 + 1) / f64::from(n);
                }
            }
            product += pair[0] * pair[1] / f64::from(n);
        }
        // Standard errors: 1/√n = 0.003, √2/√n, √15/√n, √96/√n = 0.031.
        for moments in moments {
            for (moment, (expected, tolerance)) in
                moments
                    .into_iter()
                    .zip([(0.0, 0.015), (1.0, 0.025), (0.0, 0.07), (3.0, 0.16)])
            {
                assert!((moment - expected).abs() < tolerance, "{moments:?}");
            }
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
        // √(−2 ln u) (cos 2πv, sin 2πv) with u = (0x6627e8d5 + ½) / 2³² and v = 0xe169c58d / 2³².
        let pair = Philox::new(0, Stream::Init, 0, 0).normal_pair();
        let expected = [0.991_137_7, -0.924_662_6];
        assert!((pair[0] - expected[0]).abs() < 1e-6 && (pair[1] - expected[1]).abs() < 1e-6);
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
