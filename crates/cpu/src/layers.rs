//! Single layers, forward and backward, for networks that compute on tensors: affine maps and normalised rows.
//!
//! Matrices are row-major without padding. Results do not depend on the number of threads.

use crate::gemm::{self, Epilogue, Gradient, Panels, padded};
use crate::mlp::{chunks, spread};
use crate::simd::dispatch;
use pulp::{Simd, WithSimd};
use std::borrow::Cow;
use std::ops::Range;

/// Minimum number of rows for which other threads are worth waking.
const MANY: usize = 1024;

/// x W + b: inputs `[B, I]`, weights `[I, O]`, bias `[O]` → `[B, O]`.
pub fn affine(x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
    let (outputs, inputs) = (bias.len(), weight.len() / bias.len());
    let panels = Panels::packed(weight, inputs, outputs);
    let mut start = bias.to_vec();
    start.resize(padded(outputs), 0.0);
    multiply(x, inputs, &panels, &start, outputs)
}

/// Gradient of a loss with respect to the operands of [`affine`].
#[derive(Clone, Debug)]
pub struct AffineGradient {
    /// With respect to the inputs, `[B, I]`, if wanted.
    pub x: Option<Vec<f32>>,
    /// With respect to the weights, `[I, O]`.
    pub weight: Vec<f32>,
    /// With respect to the bias, `[O]`.
    pub bias: Vec<f32>,
}

/// Gradient with respect to the operands of [`affine`], from the one `[B, O]` with respect to its outputs:
/// D Wᵀ (if `inputs_too`), Xᵀ D, and the column sums of D.
pub fn affine_gradient(
    [x, weight, grad]: [&[f32]; 3],
    outputs: usize,
    inputs_too: bool,
) -> AffineGradient {
    let inputs = weight.len() / outputs;
    let to_inputs = inputs_too.then(|| {
        let mut panels = Panels::default();
        panels.pack_transposed(weight, outputs, inputs);
        multiply(grad, outputs, &panels, &[], inputs)
    });
    let part = |rows: Range<usize>| {
        let grad = padded_rows(&grad[rows.start * outputs..rows.end * outputs], outputs);
        let (mut of_weight, mut of_bias) = (vec![0.0; weight.len()], vec![0.0; outputs]);
        let into = Gradient {
            weights: &mut of_weight,
            bias: &mut of_bias,
            fresh: true,
        };
        gemm::gradient(
            &x[rows.start * inputs..rows.end * inputs],
            inputs,
            &grad,
            into,
        );
        (of_weight, of_bias)
    };
    let parts = spread(parts_of(grad.len() / outputs), part);
    let sum = |mut total: (Vec<f32>, Vec<f32>), part: (Vec<f32>, Vec<f32>)| {
        add(&mut total.0, &part.0);
        add(&mut total.1, &part.1);
        total
    };
    let (weight, bias) = parts.into_iter().reduce(sum).unwrap_or_default();
    AffineGradient {
        x: to_inputs,
        weight,
        bias,
    }
}

/// A B + start, without padding: A `[M, inner]` → `[M, columns]`.
fn multiply(a: &[f32], inner: usize, b: &Panels, start: &[f32], columns: usize) -> Vec<f32> {
    let width = padded(columns);
    let mut parts = spread(parts_of(a.len() / inner), |rows: Range<usize>| {
        let mut wide = vec![0.0; rows.len() * width];
        let epilogue = Epilogue::Layer {
            bias: start,
            activation: None,
        };
        gemm::product(
            &a[rows.start * inner..rows.end * inner],
            inner,
            b,
            epilogue,
            &mut wide,
        );
        wide
    });
    if width == columns && parts.len() == 1 {
        return parts.swap_remove(0);
    }
    let mut narrow = Vec::with_capacity(a.len() / inner * columns);
    for wide in parts {
        let rows = wide.chunks_exact(width);
        rows.for_each(|row| narrow.extend_from_slice(&row[..columns]));
    }
    narrow
}

/// Rows of `columns` numbers, each filled up with zeros to whole panels.
fn padded_rows(rows: &[f32], columns: usize) -> Cow<'_, [f32]> {
    let width = padded(columns);
    if width == columns {
        return Cow::Borrowed(rows);
    }
    let mut wide = vec![0.0; rows.len() / columns * width];
    let each = wide.chunks_exact_mut(width).zip(rows.chunks_exact(columns));
    each.for_each(|(to, from)| to[..columns].copy_from_slice(from));
    Cow::Owned(wide)
}

/// Ranges of rows, one to a task.
fn parts_of(rows: usize) -> Vec<Range<usize>> {
    match rows < MANY {
        true => std::iter::once(0..rows).collect(),
        false => chunks(rows).collect(),
    }
}

fn add(total: &mut [f32], part: &[f32]) {
    total.iter_mut().zip(part).for_each(|(a, b)| *a += b);
}

/// (x − mean) / √(variance + ε) of each row of `[B, W]`, times γ, plus β, `[W]` each (Ba et al., arXiv:1607.06450
/// eq. 4; the variance is that of the row's elements, without Bessel's correction).
pub fn layer_norm(x: &[f32], [gamma, beta]: [&[f32]; 2], epsilon: f32) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    dispatch(Normalize {
        x,
        gamma,
        beta,
        epsilon,
        y: &mut y,
    });
    y
}

/// Gradient of a loss with respect to the operands of [`layer_norm`].
#[derive(Clone, Debug)]
pub struct NormGradient {
    /// With respect to x, `[B, W]`.
    pub x: Vec<f32>,
    /// With respect to γ, `[W]`.
    pub gamma: Vec<f32>,
    /// With respect to β, `[W]`.
    pub beta: Vec<f32>,
}

/// Gradient with respect to the operands of [`layer_norm`], from the one `[B, W]` with respect to its results. With
/// z = (x − mean) / s and h = γ ∘ grad, each row's is (h − mean(h) − z mean(h ∘ z)) / s.
pub fn layer_norm_gradient(x: &[f32], gamma: &[f32], grad: &[f32], epsilon: f32) -> NormGradient {
    let mut gradient = NormGradient {
        x: vec![0.0; x.len()],
        gamma: vec![0.0; gamma.len()],
        beta: vec![0.0; gamma.len()],
    };
    dispatch(OfNorm {
        x,
        gamma,
        grad,
        epsilon,
        into: &mut gradient,
    });
    gradient
}

struct Normalize<'a> {
    x: &'a [f32],
    gamma: &'a [f32],
    beta: &'a [f32],
    epsilon: f32,
    y: &'a mut [f32],
}

impl WithSimd for Normalize<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let width = self.gamma.len();
        for (x, y) in self
            .x
            .chunks_exact(width)
            .zip(self.y.chunks_exact_mut(width))
        {
            let (mean, scale) = moments(x, self.epsilon);
            let affine = self.gamma.iter().zip(self.beta);
            for ((y, x), (gamma, beta)) in y.iter_mut().zip(x).zip(affine) {
                *y = (x - mean) * scale * gamma + beta;
            }
        }
    }
}

struct OfNorm<'a> {
    x: &'a [f32],
    gamma: &'a [f32],
    grad: &'a [f32],
    epsilon: f32,
    into: &'a mut NormGradient,
}

impl WithSimd for OfNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let width = self.gamma.len();
        let share = 1.0 / width as f32;
        let (mut z, mut h) = (vec![0.0; width], vec![0.0; width]);
        // Slices of one length, so that the loops have no bounds to check.
        let (z, h, gamma) = (&mut z[..width], &mut h[..width], &self.gamma[..width]);
        let of_gamma = &mut self.into.gamma[..width];
        let of_beta = &mut self.into.beta[..width];
        let rows = self
            .x
            .chunks_exact(width)
            .zip(self.grad.chunks_exact(width));
        for ((x, grad), to) in rows.zip(self.into.x.chunks_exact_mut(width)) {
            let (x, grad, to) = (&x[..width], &grad[..width], &mut to[..width]);
            let (mean, scale) = moments(x, self.epsilon);
            for i in 0..width {
                z[i] = (x[i] - mean) * scale;
                h[i] = grad[i] * gamma[i];
                of_gamma[i] += grad[i] * z[i];
                of_beta[i] += grad[i];
            }
            let shift = sum(h, |h| h) * share;
            let tilt = dot(h, z) * share;
            for i in 0..width {
                to[i] = (h[i] - shift - z[i] * tilt) * scale;
            }
        }
    }
}

/// Mean and 1/√(variance + ε) of a row.
#[inline(always)]
fn moments(x: &[f32], epsilon: f32) -> (f32, f32) {
    let share = 1.0 / x.len() as f32;
    let mean = sum(x, |x| x) * share;
    let variance = sum(x, |x| (x - mean) * (x - mean)) * share;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

/// Partial sums that fit a vector of any width.
const LANES: usize = 16;

#[inline(always)]
fn sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (whole, rest) = x.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for x in whole {
        for (sum, x) in sums.iter_mut().zip(x) {
            *sum += f(*x);
        }
    }
    total(sums) + rest.iter().map(|x| f(*x)).sum::<f32>()
}

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((whole_a, rest_a), (whole_b, rest_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (a, b) in whole_a.iter().zip(whole_b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest = rest_a.iter().zip(rest_b).map(|(a, b)| a * b);
    total(sums) + rest.sum::<f32>()
}

/// Sum of the partial sums, by halves: a chain of 16 additions would take longer than the rest of a row.
#[inline(always)]
fn total(mut sums: [f32; LANES]) -> f32 {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            sums[i] += sums[i + half];
        }
    }
    sums[0]
}
