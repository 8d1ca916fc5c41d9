//! Epilogues of a matrix product, applied while the results are in registers.

use super::panels::load;
use crate::tanh::tanh;
use pulp::Simd;

/// An operation on a vector of results before it is stored; `at` is the position of the first result.
pub(super) trait Finish: Copy {
    fn finish<S: Simd>(self, simd: S, x: S::f32s, at: usize) -> S::f32s;
}

#[derive(Clone, Copy)]
pub(super) struct Identity;
#[derive(Clone, Copy)]
pub(super) struct OfTanh;
#[derive(Clone, Copy)]
pub(super) struct OfRelu;
/// Multiplies by the derivative of tanh, taken from the layer's outputs.
#[derive(Clone, Copy)]
pub(super) struct TimesTanhDerivative<'a>(pub(super) &'a [f32]);
#[derive(Clone, Copy)]
pub(super) struct TimesReluDerivative<'a>(pub(super) &'a [f32]);

impl Finish for Identity {
    #[inline(always)]
    fn finish<S: Simd>(self, _: S, x: S::f32s, _: usize) -> S::f32s {
        x
    }
}

impl Finish for OfTanh {
    #[inline(always)]
    fn finish<S: Simd>(self, simd: S, x: S::f32s, _: usize) -> S::f32s {
        tanh(simd, x)
    }
}

impl Finish for OfRelu {
    /// NaN passes through, as in [`tanh`].
    #[inline(always)]
    fn finish<S: Simd>(self, simd: S, x: S::f32s, _: usize) -> S::f32s {
        let zero = simd.splat_f32s(0.0);
        if S::F32_LANES == 1 {
            return simd.select_f32s(simd.less_than_f32s(x, zero), zero, x);
        }
        simd.max_f32s(zero, x)
    }
}

impl Finish for TimesTanhDerivative<'_> {
    /// x (1 − h²).
    #[inline(always)]
    fn finish<S: Simd>(self, simd: S, x: S::f32s, at: usize) -> S::f32s {
        let [h] = load::<S, 1>(&self.0[at..]);
        let slope = simd.negate_mul_add_e_f32s(h, h, simd.splat_f32s(1.0));
        simd.mul_f32s(x, slope)
    }
}

impl Finish for TimesReluDerivative<'_> {
    #[inline(always)]
    fn finish<S: Simd>(self, simd: S, x: S::f32s, at: usize) -> S::f32s {
        let zero = simd.splat_f32s(0.0);
        let [h] = load::<S, 1>(&self.0[at..]);
        simd.select_f32s(simd.greater_than_f32s(h, zero), x, zero)
    }
}
