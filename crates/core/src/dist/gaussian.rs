//! Diagonal Gaussian distribution over `A` action components.

use burn::tensor::{Tensor, assert_shape};
use std::f64::consts::{E, PI};

/// `B` diagonal Gaussians N(μ, diag σ²) over `A` components.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::dist::Gaussian;
///
/// let device = Device::flex();
/// let (mean, log_std) = (Tensor::full([1, 2], 3.0, &device), Tensor::zeros([1, 2], &device));
/// let dist = Gaussian::new(mean, log_std);
/// // 3 + 1 · 0.5
/// let actions: Vec<f32> = dist.sample(Tensor::full([1, 2], 0.5, &device)).into_data().iter().collect();
/// assert_eq!(actions, [3.5, 3.5]);
/// ```
#[derive(Clone, Debug)]
pub struct Gaussian {
    mean: Tensor<2>,
    log_std: Tensor<2>,
}

impl Gaussian {
    /// Distributions with means `[B, A]` and log standard deviations `[B, A]`.
    pub fn new(mean: Tensor<2>, log_std: Tensor<2>) -> Self {
        assert_eq!(log_std.dims(), mean.dims(), "shape of log_std");
        Self { mean, log_std }
    }

    /// μ `[B, A]`.
    pub fn mean(&self) -> Tensor<2> {
        self.mean.clone()
    }

    /// log σ `[B, A]`.
    pub fn log_std(&self) -> Tensor<2> {
        self.log_std.clone()
    }

    /// a = μ + σ ε for standard normal noise ε `[B, A]`. Actions are not clipped: bounds belong to the environment, and
    /// the log-probability is that of the unclipped action.
    pub fn sample(&self, normal: Tensor<2>) -> Tensor<2> {
        assert_eq!(normal.dims(), self.mean.dims(), "shape of normal");
        self.mean.clone() + self.log_std.clone().exp() * normal
    }

    /// μ `[B, A]`.
    pub fn mode(&self) -> Tensor<2> {
        self.mean.clone()
    }

    /// log p(a) = Σ_i −½((a_i − μ_i)/σ_i)² − log σ_i − ½ log 2π `[B]` for actions `[B, A]`.
    pub fn log_prob(&self, actions: Tensor<2>) -> Tensor<1> {
        assert_eq!(actions.dims(), self.mean.dims(), "shape of actions");
        let z = (actions - self.mean.clone()) * self.log_std.clone().neg().exp();
        (z.square() * -0.5 - self.log_std.clone() - 0.5 * (2.0 * PI).ln())
            .sum_dim(1)
            .squeeze_dim(1)
    }

    /// H = Σ_i log σ_i + ½ log 2πe `[B]`.
    pub fn entropy(&self) -> Tensor<1> {
        (self.log_std.clone() + 0.5 * (2.0 * PI * E).ln())
            .sum_dim(1)
            .squeeze_dim(1)
    }

    /// KL(p ‖ q) = Σ_i log(σ_q/σ_p) + (σ_p² + (μ_p − μ_q)²) / 2σ_q² − ½ `[B]`.
    pub fn kl(&self, other: &Self) -> Tensor<1> {
        let log_ratio = other.log_std.clone() - self.log_std.clone();
        let variance_ratio = (log_ratio.clone() * -2.0).exp();
        let z = (self.mean.clone() - other.mean.clone()) * other.log_std.clone().neg().exp();
        (log_ratio + (variance_ratio + z.square()) * 0.5 - 0.5)
            .sum_dim(1)
            .squeeze_dim(1)
    }

    /// Fisher-vector product F u `[B, 2A]` → `[B, 2A]` in (μ, log σ), means first; F = diag(1/σ², 2), so F u = (u_μ/σ²,
    /// 2 u_log σ).
    pub fn fisher_mul(&self, tangent: Tensor<2>) -> Tensor<2> {
        let [batch, dim] = self.mean.dims();
        assert_shape!(tangent, [batch, 2 * dim]);
        let of_mean = tangent.clone().narrow(1, 0, dim) * (self.log_std.clone() * -2.0).exp();
        let of_log_std = tangent.narrow(1, dim, dim) * 2.0;
        Tensor::cat(vec![of_mean, of_log_std], 1)
    }
}
