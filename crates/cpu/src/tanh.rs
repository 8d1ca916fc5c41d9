//! Vectorised tanh, within 7 units in the last place.

use crate::simd::dispatch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;

/// Minimum count of numbers per thread.
const CHUNK: usize = 1 << 15;

/// Beyond this, tanh rounds to ±1 in single precision.
const LIMIT: f32 = 9.02;

/// Numerator x P(x²) and denominator Q(x²), lowest power first, from `scripts/fit_tanh.py`.
const P: [f32; 5] = [
    1.0,
    0.133_797_06,
    0.003_494_020_8,
    2.058_325_7e-5,
    1.331_876_8e-8,
];
const Q: [f32; 5] = [
    1.0,
    0.467_130_2,
    0.025_871_022,
    0.000_328_307_04,
    7.761_893e-7,
];

/// tanh of each number.
pub fn tanh_of(x: &[f32]) -> Vec<f32> {
    let mut y = x.to_vec();
    if y.len() <= CHUNK {
        dispatch(InPlace(&mut y));
    } else {
        y.par_chunks_mut(CHUNK)
            .for_each(|chunk| dispatch(InPlace(chunk)));
    }
    y
}

struct InPlace<'a>(&'a mut [f32]);

impl WithSimd for InPlace<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (vectors, rest) = S::as_mut_simd_f32s(self.0);
        for x in vectors {
            *x = tanh(simd, *x);
        }
        if !rest.is_empty() {
            let last = tanh(simd, simd.partial_load_f32s(rest));
            simd.partial_store_f32s(rest, last);
        }
    }
}

/// tanh(x) as a rational function, within 6 units in the last place on processors that multiply and add in one
/// rounding, within 7 on others; never beyond ±1. NaN stays NaN.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let x = clamp(simd, x, LIMIT);
    let square = simd.mul_f32s(x, x);
    let mut p = simd.splat_f32s(P[4]);
    let mut q = simd.splat_f32s(Q[4]);
    for i in (0..4).rev() {
        p = simd.mul_add_e_f32s(p, square, simd.splat_f32s(P[i]));
        q = simd.mul_add_e_f32s(q, square, simd.splat_f32s(Q[i]));
    }
    clamp(simd, simd.div_f32s(simd.mul_f32s(x, p), q), 1.0)
}

/// Clamps to ±`limit`; NaN passes through.
#[inline(always)]
fn clamp<S: Simd>(simd: S, x: S::f32s, limit: f32) -> S::f32s {
    let (low, high) = (simd.splat_f32s(-limit), simd.splat_f32s(limit));
    if S::F32_LANES == 1 {
        // Rust's minimum drops NaN; comparisons with it are false.
        let x = simd.select_f32s(simd.less_than_f32s(x, low), low, x);
        return simd.select_f32s(simd.greater_than_f32s(x, high), high, x);
    }
    // Minimum instructions return the second operand if one is NaN (x86), or NaN (ARM).
    simd.max_f32s(low, simd.min_f32s(high, x))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::on_every_width;

    /// tanh of whole vectors of numbers, in place.
    struct Map<'a> {
        values: &'a mut [f32],
        /// Set to whether multiply-add rounds once.
        fused: &'a mut bool,
    }

    impl WithSimd for Map<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let (vectors, rest) = S::as_mut_simd_f32s(self.values);
            assert!(rest.is_empty());
            for x in vectors {
                *x = tanh(simd, *x);
            }
            // The square of 1 + 2⁻¹² has a last digit that a separate rounding loses.
            let x = simd.splat_f32s(1.0 + f32::EPSILON * 2048.0);
            let rounded = simd.splat_f32s(-1.0 - f32::EPSILON * 4096.0);
            *self.fused = simd.reduce_sum_f32s(simd.mul_add_e_f32s(x, x, rounded)) != 0.0;
        }
    }

    /// Padded to whole vectors.
    fn padded(mut values: Vec<f32>) -> Vec<f32> {
        values.resize(values.len().next_multiple_of(16), 0.0);
        values
    }

    #[test]
    fn within_the_units_in_the_last_place_that_are_promised() {
        // Every 997th bit pattern from the smallest normal number to 16, and the neighbourhood of the largest error.
        let bits = (f32::MIN_POSITIVE.to_bits()..16f32.to_bits()).step_by(997);
        let worst = 6.32009f32.to_bits();
        let bits = bits.chain(worst - 1000..worst + 1000);
        let both = |x: f32| [x, -x];
        let x = padded(bits.map(f32::from_bits).flat_map(both).collect());
        let exact: Vec<f64> = x.iter().map(|x| f64::from(*x).tanh()).collect();
        let check = |found: &[f32], fused: bool| {
            let promised = if fused { 6.0 } else { 7.0 };
            for ((x, found), exact) in x.iter().zip(found).zip(&exact) {
                let nearest = exact.abs() as f32;
                let unit = f64::from(f32::from_bits(nearest.to_bits() + 1)) - f64::from(nearest);
                let error = (f64::from(*found) - exact).abs() / unit;
                assert!(
                    error <= promised,
                    "tanh({x}) = {found}, {error} units off; fused: {fused}"
                );
                assert!(found.abs() <= 1.0);
            }
        };
        on_every_width!(found in (x.clone(), false), Map {
            values: &mut found.0,
            fused: &mut found.1,
        } => check(&found.0, found.1));
    }

    #[test]
    fn any_number_of_numbers() {
        for len in [0, 1, 7, 16, 33, CHUNK + 5] {
            let x: Vec<f32> = (0..len).map(|i| (i as f32 * 0.37).sin() * 4.0).collect();
            let y = tanh_of(&x);
            assert_eq!(y.len(), len);
            for (x, y) in x.iter().zip(y) {
                assert!((x.tanh() - y).abs() < 1e-6, "tanh({x}) = {y}");
            }
        }
    }

    #[test]
    fn ends() {
        let x = padded(vec![0.0, f32::INFINITY, f32::NEG_INFINITY, 1e30, -10.0]);
        on_every_width!(found in (x.clone(), false), Map {
            values: &mut found.0,
            fused: &mut found.1,
        } => assert_eq!(found.0[..5], [0.0, 1.0, -1.0, 1.0, -1.0]));
    }

    /// On the vectors that processors have: emulated vectors of single numbers drop NaN, and only tests use them.
    #[test]
    fn nan_stays_nan() {
        let check = |run: fn(Map<'_>)| {
            let (mut values, mut fused) = (vec![f32::NAN; 16], false);
            run(Map {
                values: &mut values,
                fused: &mut fused,
            });
            assert!(values.iter().all(|x| x.is_nan()), "{values:?}");
        };
        check(|map| map.with_simd(pulp::Scalar));
        check(|map| crate::simd::dispatch(map));
    }
}
