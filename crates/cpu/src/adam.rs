//! Adam and the Euclidean norm, each in one pass over a vector.

use crate::simd::dispatch;
use pulp::{Simd, WithSimd};

/// Adam (Kingma & Ba, arXiv:1412.6980, algorithm 1) on slices.
#[derive(Clone, Debug)]
pub struct Adam {
    /// Decay rate of the first moment.
    pub beta1: f64,
    /// Decay rate of the second moment.
    pub beta2: f64,
    /// Constant added to √v̂.
    pub epsilon: f64,
    /// First moments `[P]`.
    pub first: Vec<f32>,
    /// Second moments `[P]`.
    pub second: Vec<f32>,
    /// Number of steps taken.
    pub steps: u64,
}

impl Adam {
    /// Updates parameters θ `[P]` to θ − α m̂ / (√v̂ + ε), for the gradient `scale` · `grad` `[P]` and the learning
    /// rate α.
    ///
    /// # Panics
    /// If the slices differ in length from the moments.
    pub fn step(&mut self, params: &mut [f32], grad: &[f32], scale: f32, learning_rate: f64) {
        assert_eq!(params.len(), self.first.len(), "length of params");
        assert_eq!(grad.len(), self.first.len(), "length of grad");
        self.steps += 1;
        let unbias = |beta: f64| 1.0 / (1.0 - beta.powf(self.steps as f64));
        dispatch(AdamStep {
            beta1: self.beta1 as f32,
            beta2: self.beta2 as f32,
            epsilon: self.epsilon as f32,
            rate: (learning_rate * unbias(self.beta1)) as f32,
            unbias: unbias(self.beta2) as f32,
            params,
            grad,
            scale,
            first: &mut self.first,
            second: &mut self.second,
        });
    }
}

/// One in-place Adam step.
struct AdamStep<'a> {
    params: &'a mut [f32],
    grad: &'a [f32],
    /// Factor by which the gradient is multiplied first.
    scale: f32,
    first: &'a mut [f32],
    second: &'a mut [f32],
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    /// α / (1 − β₁ᵗ).
    rate: f32,
    /// 1 / (1 − β₂ᵗ).
    unbias: f32,
}

impl WithSimd for AdamStep<'_> {
    type Output = ();

    /// A plain loop, which the compiler vectorises for the instruction set it is inlined into.
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

/// Scales `grad` down to norm `max_norm` if it is longer (0: never); returns its norm before scaling.
pub fn clip_norm(grad: &mut [f32], max_norm: f64) -> f32 {
    let norm = norm(grad);
    let scale = shortening(norm, max_norm);
    if scale != 1.0 {
        grad.iter_mut().for_each(|g| *g *= scale);
    }
    norm
}

/// Factor that scales a gradient of this norm down to `max_norm` if it is longer (0: never): at most 1; NaN for NaN.
pub fn shortening(norm: f32, max_norm: f64) -> f32 {
    let scale = max_norm as f32 / (norm + 1e-6);
    let shortens = max_norm > 0.0 && (scale < 1.0 || scale.is_nan());
    if shortens { scale } else { 1.0 }
}

/// √Σ x², summed in a fixed order.
pub fn norm(x: &[f32]) -> f32 {
    dispatch(SquareSum(x)).sqrt()
}

struct SquareSum<'a>(&'a [f32]);

impl WithSimd for SquareSum<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f32 {
        // As many partial sums as vector instructions can be in flight at a time.
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
