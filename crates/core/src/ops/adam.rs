//! Adam and the norm of a vector in one pass each.

use super::simd::dispatch;
use crate::optim::Adam;
use pulp::{Simd, WithSimd};

/// One step of Adam on slices, in place; see [`Adam`](crate::optim::Adam) for the formula.
pub(crate) struct AdamStep<'a> {
    pub(crate) params: &'a mut [f32],
    pub(crate) grad: &'a [f32],
    /// The gradient is multiplied by this first.
    pub(crate) scale: f32,
    pub(crate) first: &'a mut [f32],
    pub(crate) second: &'a mut [f32],
    pub(crate) beta1: f32,
    pub(crate) beta2: f32,
    pub(crate) epsilon: f32,
    /// α / (1 − β₁ᵗ).
    pub(crate) rate: f32,
    /// 1 / (1 − β₂ᵗ).
    pub(crate) unbias: f32,
}

impl<'a> AdamStep<'a> {
    /// With the settings of `adam`, which already counts this step, and moments kept elsewhere.
    pub(crate) fn of(
        adam: &Adam,
        params: &'a mut [f32],
        (grad, scale): (&'a [f32], f32),
        [first, second]: [&'a mut [f32]; 2],
        learning_rate: f64,
    ) -> Self {
        Self {
            params,
            grad,
            scale,
            first,
            second,
            beta1: adam.beta1 as f32,
            beta2: adam.beta2 as f32,
            epsilon: adam.epsilon as f32,
            rate: (learning_rate * adam.unbias(adam.beta1)) as f32,
            unbias: adam.unbias(adam.beta2) as f32,
        }
    }

    pub(crate) fn run(self) {
        dispatch(self);
    }
}

impl WithSimd for AdamStep<'_> {
    type Output = ();

    /// A plain loop: the compiler vectorises it for the instruction set that this is inlined into.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (keep1, keep2) = (1.0 - self.beta1, 1.0 - self.beta2);
        let moments = self.first.iter_mut().zip(self.second);
        for ((param, grad), (first, second)) in self.params.iter_mut().zip(self.grad).zip(moments) {
            let grad = grad * self.scale;
            *first = *first * self.beta1 + grad * keep1;
            *second = *second * self.beta2 + grad * grad * keep2;
            let scale = (*second * self.unbias).sqrt() + self.epsilon;
            *param -= *first / scale * self.rate;
        }
    }
}

/// √Σ x², summed in a fixed order.
pub(crate) fn norm(x: &[f32]) -> f32 {
    dispatch(SquareSum(x)).sqrt()
}

struct SquareSum<'a>(&'a [f32]);

impl WithSimd for SquareSum<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f32 {
        // As many sums as vector instructions can be under way at a time.
        let mut sums = [0.0f32; 32];
        let (whole, rest) = self.0.as_chunks::<32>();
        for x in whole {
            for (sum, x) in sums.iter_mut().zip(x) {
                *sum += x * x;
            }
        }
        for (sum, x) in sums.iter_mut().zip(rest) {
            *sum += x * x;
        }
        sums.iter().sum()
    }
}
