//! Special functions on tensors: ln Γ, ln B, digamma, trigamma, softplus, log cosh.
//!
//! Gamma functions use Stirling's series after five steps of the recurrence z → z + 1. For z ≥ 1 the seven terms kept
//! leave an error below 2e-13 in ln Γ and ψ and 1e-12 in ψ′; in f32 the error is dominated by rounding, about 1e-6.
//! Both errors are relative to max(1, |result|).
//!
//! All functions but [`trigamma`] are differentiable once, by their exact derivatives: autodiff records one linear
//! function per call and nothing of the series.
//!
//! Source: Abramowitz & Stegun (1964) 6.1.40, 6.3.18, 6.4.12 and the recurrences 6.1.15, 6.3.5, 6.4.6.

use burn::tensor::{Tensor, TensorData, activation::sigmoid};
use std::f64::consts::{LN_2, TAU};

/// Recurrence steps before the series.
const STEPS: usize = 5;
/// Bernoulli numbers B₂ₖ over 2k (2k − 1), k = 1, 2, …
const LN_GAMMA: [f64; 7] = [
    1.0 / 12.0,
    -1.0 / 360.0,
    1.0 / 1260.0,
    -1.0 / 1680.0,
    1.0 / 1188.0,
    -691.0 / 360_360.0,
    1.0 / 156.0,
];
/// B₂ₖ over 2k.
const DIGAMMA: [f64; 7] = [
    1.0 / 12.0,
    -1.0 / 120.0,
    1.0 / 252.0,
    -1.0 / 240.0,
    1.0 / 132.0,
    -691.0 / 32_760.0,
    1.0 / 12.0,
];
/// B₂ₖ.
const TRIGAMMA: [f64; 7] = [
    1.0 / 6.0,
    -1.0 / 30.0,
    1.0 / 42.0,
    -1.0 / 30.0,
    5.0 / 66.0,
    -691.0 / 2730.0,
    7.0 / 6.0,
];

/// ln Γ(z) for z ≥ 1: (z − ½) ln z − z + ½ ln 2π + μ(z), with Binet's function μ. `[B, A]` → `[B, A]`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::dist::special::ln_gamma;
///
/// // Γ(5) = 4! = 24.
/// let z = Tensor::from_floats([[5.0]], &Device::flex());
/// assert!((ln_gamma(z).into_scalar::<f32>() - 24f32.ln()).abs() < 1e-5);
/// ```
pub fn ln_gamma(z: Tensor<2>) -> Tensor<2> {
    let value =
        |z: Tensor<2>| (z.clone() - 0.5) * z.clone().log() - z.clone() + 0.5 * TAU.ln() + binet(z);
    with_slope(z, value, digamma_value)
}

/// ln B(a, b) = ln Γ(a) + ln Γ(b) − ln Γ(a + b) for a, b ≥ 1. All `[B, A]`.
///
/// The large terms of Stirling's formula are cancelled analytically; a difference of [`ln_gamma`]s would lose digits.
/// Derivatives: ψ(a) − ψ(a + b), ψ(b) − ψ(a + b).
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::dist::special::ln_beta;
///
/// // B(2, 3) = 1! 2! / 4! = 1/12.
/// let [a, b] = [2.0, 3.0].map(|x: f32| Tensor::from_floats([[x]], &Device::flex()));
/// assert!((ln_beta(a, b).into_scalar::<f32>() + 12f32.ln()).abs() < 1e-5);
/// ```
pub fn ln_beta(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    let (a0, b0) = (a.clone().without_autodiff(), b.clone().without_autodiff());
    let sum = a0.clone() + b0.clone();
    // ln(a / (a + b)) and ln(b / (a + b)).
    let ln_share_a = log1p(b0.clone() / a0.clone()).neg();
    let ln_share_b = log1p(a0.clone() / b0.clone()).neg();
    let stirling = (a0.clone() - 0.5) * ln_share_a + (b0.clone() - 0.5) * ln_share_b
        - sum.clone().log() * 0.5
        + 0.5 * TAU.ln();
    let three = Tensor::cat(vec![a0.clone(), b0.clone(), sum], 1);
    let [mu_a, mu_b, mu_sum] = thirds(binet(three.clone()));
    let [psi_a, psi_b, psi_sum] = thirds(digamma_value(three));
    stirling + mu_a + mu_b - mu_sum
        + (a - a0) * (psi_a - psi_sum.clone())
        + (b - b0) * (psi_b - psi_sum)
}

/// ψ(z) = d ln Γ / dz for z ≥ 1. `[B, A]` → `[B, A]`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::dist::special::digamma;
///
/// // ψ(2) = 1 − γ with Euler's constant γ.
/// let z = Tensor::from_floats([[2.0]], &Device::flex());
/// assert!((digamma(z).into_scalar::<f32>() - (1.0 - 0.577_215_7)).abs() < 1e-5);
/// ```
pub fn digamma(z: Tensor<2>) -> Tensor<2> {
    with_slope(z, digamma_value, trigamma)
}

fn digamma_value(z: Tensor<2>) -> Tensor<2> {
    let steps: Tensor<2> = climb(z.clone()).recip().sum_dim(2).squeeze_dim(2);
    let z = z + STEPS as f64;
    let inverse = z.clone().recip();
    let square = inverse.clone().square();
    z.log() - inverse * 0.5 - square.clone() * polynomial(square, DIGAMMA) - steps
}

/// ψ′(z) for z ≥ 1. `[B, A]` → `[B, A]`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use std::f32::consts::PI;
/// use uphill_core::dist::special::trigamma;
///
/// // ψ′(1) = π²/6.
/// let z = Tensor::from_floats([[1.0]], &Device::flex());
/// assert!((trigamma(z).into_scalar::<f32>() - PI * PI / 6.0).abs() < 1e-5);
/// ```
pub fn trigamma(z: Tensor<2>) -> Tensor<2> {
    let steps: Tensor<2> = climb(z.clone()).recip().square().sum_dim(2).squeeze_dim(2);
    let inverse = (z + STEPS as f64).recip();
    let square = inverse.clone().square();
    let series = polynomial(square.clone(), TRIGAMMA) * square.clone() * inverse.clone();
    inverse + square * 0.5 + series + steps
}

/// ln(1 + x) for x ≥ 0, accurate to rounding for arbitrarily small x, even on devices whose own function computes the
/// logarithm of the rounded sum: ln(s) · x / (s − 1) with s = 1 + x rounded, and x if s is 1 (Goldberg 1991, theorem
/// 4).
fn log1p<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let sum = x.clone() + 1.0;
    let rounded = sum.clone() - 1.0;
    let lost = rounded.clone().equal_elem(0.0);
    (sum.log() * (x.clone() / rounded)).mask_where(lost, x)
}

/// softplus(x) = ln(1 + eˣ), without overflow. Its derivative is sigmoid(x).
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::dist::special::softplus;
///
/// let x = Tensor::<1>::from_floats([0.0, 1000.0], &Device::flex());
/// let y: Vec<f32> = softplus(x).into_data().iter().collect();
/// assert!((y[0] - 2f32.ln()).abs() < 1e-6 && y[1] == 1000.0);
/// ```
pub fn softplus<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let value = |x: Tensor<D>| {
        let magnitude = x.clone().abs();
        (x + magnitude.clone()) * 0.5 + log1p(magnitude.neg().exp())
    };
    with_slope(x, value, sigmoid)
}

/// ln(1 − tanh² u) = 2 (ln 2 − u − softplus(−2u)), finite for every u. Its derivative is −2 tanh u.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::dist::special::ln_sech2;
///
/// // ln(1 − tanh² u) → 2 ln 2 − 2 |u|, where tanh itself is rounded to 1.
/// let u = Tensor::<1>::from_floats([0.0, -50.0], &Device::flex());
/// let y: Vec<f32> = ln_sech2(u).into_data().iter().collect();
/// assert!(y[0].abs() < 1e-6 && (y[1] - (2.0 * 2f32.ln() - 100.0)).abs() < 1e-4);
/// ```
pub fn ln_sech2<const D: usize>(u: Tensor<D>) -> Tensor<D> {
    let value = |u: Tensor<D>| {
        // The function is even, and u + softplus(−2u) = |u| + ln(1 + e^(−2|u|)).
        let magnitude = u.abs();
        (magnitude.clone() + log1p((magnitude * -2.0).exp())) * -2.0 + 2.0 * LN_2
    };
    with_slope(u, value, |u| u.tanh() * -2.0)
}

/// f(x₀) + f′(x₀) (x − x₀) at x₀ = x: the number `value` with the derivative `slope`, both hidden from autodiff.
fn with_slope<const D: usize>(
    x: Tensor<D>,
    value: impl Fn(Tensor<D>) -> Tensor<D>,
    slope: impl Fn(Tensor<D>) -> Tensor<D>,
) -> Tensor<D> {
    let at = x.clone().without_autodiff();
    value(at.clone()) + (x - at.clone()) * slope(at)
}

/// Splits columns into thirds, `[B, 3A]` → three times `[B, A]`.
pub(super) fn thirds(x: Tensor<2>) -> [Tensor<2>; 3] {
    let width = x.dims()[1] / 3;
    [0, 1, 2].map(|i| x.clone().narrow(1, i * width, width))
}

/// Binet's function μ(z), the remainder of Stirling's formula for ln Γ(z). It decays as 1/(12 z).
fn binet(z: Tensor<2>) -> Tensor<2> {
    let at = climb(z.clone());
    // μ(z) − μ(z + 1) = (z + ½) ln(1 + 1/z) − 1.
    let steps = (at.clone() + 0.5) * log1p(at.recip()) - 1.0;
    let steps: Tensor<2> = steps.sum_dim(2).squeeze_dim(2);
    let inverse = (z + STEPS as f64).recip();
    steps + polynomial(inverse.clone().square(), LN_GAMMA) * inverse
}

/// z, z + 1, …: `[B, A]` → `[B, A, STEPS]`.
fn climb(z: Tensor<2>) -> Tensor<3> {
    let offsets: Vec<f64> = (0..STEPS).map(|k| k as f64).collect();
    let offsets = Tensor::<1>::from_data(TensorData::new(offsets, [STEPS]), &z.device());
    z.unsqueeze_dim::<3>(2) + offsets.unsqueeze()
}

/// Σ_k c_k xᵏ (Horner).
fn polynomial(x: Tensor<2>, coefficients: [f64; 7]) -> Tensor<2> {
    let [rest @ .., last] = coefficients;
    let start = x.zeros_like() + last;
    rest.into_iter()
        .rev()
        .fold(start, |sum, c| sum * x.clone() + c)
}
