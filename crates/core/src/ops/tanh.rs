//! tanh for whole vectors.

use pulp::Simd;

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

/// tanh(x) as a rational function, within 6 units in the last place everywhere; never beyond ±1.
/// NaN stays NaN.
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

/// NaN passes through.
#[inline(always)]
fn clamp<S: Simd>(simd: S, x: S::f32s, limit: f32) -> S::f32s {
    let (low, high) = (simd.splat_f32s(-limit), simd.splat_f32s(limit));
    if S::F32_LANES == 1 {
        // Rust's minimum drops NaN; comparisons with it are false.
        let x = simd.select_f32s(simd.less_than_f32s(x, low), low, x);
        return simd.select_f32s(simd.greater_than_f32s(x, high), high, x);
    }
    // Processors' minima give the second operand where one is NaN (x86), or NaN (ARM).
    simd.max_f32s(low, simd.min_f32s(high, x))
}

#[cfg(test)]
mod tests {
    use super::super::simd::dispatch;
    use super::*;
    use pulp::WithSimd;

    struct Map<'a>(&'a mut [f32]);

    impl WithSimd for Map<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let (vectors, rest) = S::as_mut_simd_f32s(self.0);
            assert!(rest.is_empty());
            for x in vectors {
                *x = tanh(simd, *x);
            }
        }
    }

    fn of(mut values: Vec<f32>) -> Vec<f32> {
        let len = values.len();
        values.resize(len.next_multiple_of(16), 0.0);
        dispatch(Map(&mut values));
        values.truncate(len);
        values
    }

    #[test]
    fn within_six_units_in_the_last_place() {
        // Every 997th bit pattern from the smallest normal number to 16, both signs.
        let bits = (f32::MIN_POSITIVE.to_bits()..16f32.to_bits()).step_by(997);
        let x: Vec<f32> = bits.map(f32::from_bits).flat_map(|x| [x, -x]).collect();
        for (x, found) in x.iter().zip(of(x.clone())) {
            let exact = f64::from(*x).tanh();
            let nearest = exact.abs() as f32;
            let unit = f64::from(f32::from_bits(nearest.to_bits() + 1)) - f64::from(nearest);
            let error = (f64::from(found) - exact).abs() / unit;
            assert!(error <= 6.0, "tanh({x}) = {found}, {error} units off");
            assert!(found.abs() <= 1.0);
        }
    }

    #[test]
    fn ends_and_nan() {
        assert_eq!(
            of(vec![0.0, f32::INFINITY, f32::NEG_INFINITY, 1e30]),
            [0.0, 1.0, -1.0, 1.0]
        );
        assert!(of(vec![f32::NAN])[0].is_nan());
    }
}
