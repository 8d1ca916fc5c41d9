//! Distributions of single samples, and the loss, as settings: what loops in host memory act and learn by.
//!
//! The same formulas as in [`dist`](crate::dist), which tests compare these with.

use super::exp::{exp, ln};
use crate::dist::DistKind;
use std::f32::consts::LN_2;

/// ½ ln 2π.
pub(super) const HALF_LN_TAU: f32 = 0.918_938_5;

/// Distributions whose parameters are few enough for a loop over samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum RowDist {
    /// Logits.
    Categorical,
    /// Means, with log standard deviations that do not depend on the observation.
    Gaussian,
    /// The same, of what tanh squashes into bounds.
    SquashedGaussian {
        /// ln Π_i (high_i − low_i)/2.
        ln_scale: f32,
    },
}

impl RowDist {
    /// Of a policy whose network appends `log_stds` of its outputs to every row.
    pub(crate) fn of(kind: &DistKind, log_stds: usize) -> Option<Self> {
        match kind {
            DistKind::Categorical { .. } if log_stds == 0 => Some(Self::Categorical),
            DistKind::Gaussian { dim } if log_stds == *dim => Some(Self::Gaussian),
            DistKind::SquashedGaussian { bounds } if log_stds == bounds.dim() => {
                let ln_scale = bounds.ln_scale() as f32;
                Some(Self::SquashedGaussian { ln_scale })
            }
            _ => None,
        }
    }

    /// An action `[A]` from noise as in [`DistKind::noise`]; returns its log-probability. `outputs` are the
    /// network's.
    pub(crate) fn sample(
        self,
        outputs: &[f32],
        log_stds: &[f32],
        noise: &[f32],
        action: &mut [f32],
    ) -> f32 {
        match self {
            Self::Categorical => {
                let mut best = 0;
                for (k, (z, g)) in outputs.iter().zip(noise).enumerate() {
                    if z + g > outputs[best] + noise[best] {
                        best = k;
                    }
                }
                action[0] = best as f32;
                outputs[best] - log_sum_exp(outputs)
            }
            Self::Gaussian | Self::SquashedGaussian { .. } => {
                let mut log_prob = 0.0;
                let rows = outputs.iter().zip(log_stds).zip(noise);
                for (((mean, log_std), e), action) in rows.zip(&mut *action) {
                    *action = mean + exp(*log_std) * e;
                    log_prob -= 0.5 * e * e + log_std + HALF_LN_TAU;
                }
                log_prob + self.correction(action)
            }
        }
    }

    /// What the squashing of an action adds to its log-probability, whatever the policy.
    pub(super) fn correction(self, action: &[f32]) -> f32 {
        let Self::SquashedGaussian { ln_scale } = self else {
            return 0.0;
        };
        let slopes = action.iter().map(|u| ln_sech2(*u).0);
        -slopes.sum::<f32>() - ln_scale
    }
}

/// ln(1 − tanh² u) and tanh u, as in [`special`](crate::dist::special).
#[inline(always)]
pub(super) fn ln_sech2(u: f32) -> (f32, f32) {
    let e = exp(-2.0 * u.abs());
    let tanh = (1.0 - e) / (1.0 + e);
    (2.0 * (LN_2 - u.abs() - ln(1.0 + e)), tanh.copysign(u))
}

/// ln Σ exp z.
fn log_sum_exp(z: &[f32]) -> f32 {
    let max = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = z.iter().map(|z| exp(z - max)).sum();
    max + ln(sum)
}

/// Unnormalised logits to log-probabilities.
pub(super) fn log_softmax(z: &mut [f32]) {
    let normaliser = log_sum_exp(z);
    z.iter_mut().for_each(|z| *z -= normaliser);
}

/// What a policy climbs, sample by sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Surrogate {
    /// log π(a|s) · A, see [`policy_gradient_surrogate`](crate::loss::policy_gradient_surrogate).
    LogProb,
    /// min(ρ A, clip(ρ, 1 ± `clip`) A), see [`clipped_surrogate`](crate::loss::clipped_surrogate).
    Clipped {
        /// ε of the ratios.
        clip: f32,
    },
    /// ρ A − `kl_coef` · KL(old ‖ new), see [`ratio_surrogate`](crate::loss::ratio_surrogate).
    Penalised {
        /// β.
        kl_coef: f32,
        /// Ratios further than this from 1 count in the clip fraction, and are not clipped.
        clip: f32,
    },
}

/// The loss of an actor and a critic: `value_coef` · L_V − surrogate − `entropy_coef` · H, means over samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActorCriticLoss {
    /// What the policy climbs.
    pub surrogate: Surrogate,
    /// Clip the value function's move to ±this as in
    /// [`clipped_value_loss`](crate::loss::clipped_value_loss); 0: never.
    pub value_clip: f32,
    /// Weight of the value loss.
    pub value_coef: f32,
    /// Weight of the entropy bonus.
    pub entropy_coef: f32,
    /// Advantages are brought to mean 0 and standard deviation 1 over the samples.
    pub standardize: bool,
}
