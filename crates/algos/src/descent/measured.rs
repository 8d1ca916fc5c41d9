//! Diagnostics of gradient steps: their names, order and means.

use burn::tensor::Tensor;
use uphill_core::loss::{Parts, Surrogate, approx_kl, clip_fraction};

/// Diagnostics of a gradient step, in the order of a row.
pub(crate) const STEP: [&str; 6] = [
    "policy_loss",
    "value_loss",
    "entropy",
    "approx_kl",
    "clip_fraction",
    "grad_norm",
];

/// Diagnostics of an update: means over its steps, then the explained variance of the values before it and the norm of
/// all parameters after it.
pub(crate) const UPDATE: [&str; 8] = [
    "policy_loss",
    "value_loss",
    "entropy",
    "approx_kl",
    "clip_fraction",
    "grad_norm",
    "explained_variance",
    "param_norm",
];

/// Means over the samples of a gradient step, measured before it: numbers, or tensors `[1]` on a device.
#[derive(Clone, Debug)]
pub struct Means<T> {
    /// −J.
    pub policy_loss: T,
    /// L_V.
    pub value_loss: T,
    /// H, in nats.
    pub entropy: T,
    /// k3 estimate of KL(old ‖ new), in nats.
    pub approx_kl: T,
    /// Fraction of ratios outside 1 ± ε.
    pub clip_fraction: T,
}

impl<T> Means<T> {
    /// These means and the gradient's norm, in the order of [`STEP`].
    pub(crate) fn row(self, grad_norm: T) -> [T; STEP.len()] {
        [
            self.policy_loss,
            self.value_loss,
            self.entropy,
            self.approx_kl,
            self.clip_fraction,
            grad_norm,
        ]
    }
}

impl Means<Tensor<1>> {
    pub(crate) fn of(parts: Parts, surrogate: &Surrogate) -> Self {
        Self {
            policy_loss: parts.surrogate.neg(),
            value_loss: parts.value_loss,
            entropy: parts.entropy,
            approx_kl: approx_kl(parts.log_ratios.clone()),
            clip_fraction: clip_fraction(parts.log_ratios, surrogate.clip()),
        }
    }
}

/// Position of a diagnostic in a row.
pub(crate) fn column(name: &str) -> usize {
    STEP.iter()
        .position(|n| *n == name)
        .unwrap_or_else(|| unreachable!("nobody measures {name}"))
}
