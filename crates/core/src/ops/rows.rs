//! Distributions and losses of single samples, with gradients: what stands between a policy's outputs
//! and its parameters when everything is in host memory.
//!
//! The same formulas as in [`dist`](crate::dist) and [`loss`](crate::loss), which tests compare these with.

use crate::dist::DistKind;

/// ½ ln 2π.
const HALF_LN_TAU: f32 = 0.918_938_5;

/// Distributions whose parameters are few enough for a loop over samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowDist {
    /// Logits.
    Categorical,
    /// Means, with log standard deviations that do not depend on the observation.
    Gaussian,
}

impl RowDist {
    /// Of a policy whose network appends `log_stds` of its outputs to every row.
    pub(crate) fn of(kind: &DistKind, log_stds: usize) -> Option<Self> {
        match kind {
            DistKind::Categorical { .. } if log_stds == 0 => Some(Self::Categorical),
            DistKind::Gaussian { dim } if log_stds == *dim => Some(Self::Gaussian),
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
            Self::Gaussian => {
                let mut log_prob = 0.0;
                let rows = outputs.iter().zip(log_stds).zip(noise);
                for (((mean, log_std), e), action) in rows.zip(action) {
                    *action = mean + log_std.exp() * e;
                    log_prob -= 0.5 * e * e + log_std + HALF_LN_TAU;
                }
                log_prob
            }
        }
    }

    /// log π(a) and the entropy. Leaves in `row` what [`gradient`](Self::gradient) starts from.
    pub(crate) fn log_prob_and_entropy(
        self,
        outputs: &[f32],
        log_stds: &[f32],
        action: &[f32],
        row: &mut [f32],
    ) -> (f32, f32) {
        match self {
            Self::Categorical => {
                let normaliser = log_sum_exp(outputs);
                let mut entropy = 0.0;
                for (log_p, z) in row.iter_mut().zip(outputs) {
                    *log_p = z - normaliser;
                    entropy -= log_p.exp() * *log_p;
                }
                (row[action[0] as usize], entropy)
            }
            Self::Gaussian => {
                let (mut log_prob, mut entropy) = (0.0, 0.0);
                let stds = outputs.iter().zip(log_stds).zip(action);
                for (((mean, log_std), a), z) in stds.zip(row) {
                    *z = (a - mean) * (-log_std).exp();
                    log_prob -= 0.5 * *z * *z + log_std + HALF_LN_TAU;
                    entropy += log_std + HALF_LN_TAU + 0.5;
                }
                (log_prob, entropy)
            }
        }
    }

    /// Replaces `row` by the gradient of `d_log_prob` · log π(a) + `d_entropy` · H by the outputs, and adds
    /// that by the log standard deviations to `of_log_stds`.
    pub(crate) fn gradient(
        self,
        (action, entropy): (&[f32], f32),
        (d_log_prob, d_entropy): (f32, f32),
        log_stds: &[f32],
        row: &mut [f32],
        of_log_stds: &mut [f32],
    ) {
        match self {
            Self::Categorical => {
                // ∂log p_a/∂z_k = 1[k = a] − p_k, ∂H/∂z_k = −p_k (log p_k + H).
                let action = action[0] as usize;
                for (k, x) in row.iter_mut().enumerate() {
                    let (log_p, p) = (*x, x.exp());
                    let chosen = if k == action { 1.0 } else { 0.0 };
                    *x = d_log_prob * (chosen - p) - d_entropy * p * (log_p + entropy);
                }
            }
            Self::Gaussian => {
                // ∂log p/∂μ = z/σ, ∂log p/∂log σ = z² − 1, ∂H/∂log σ = 1.
                for ((x, log_std), sum) in row.iter_mut().zip(log_stds).zip(of_log_stds) {
                    let z = *x;
                    *x = d_log_prob * z * (-log_std).exp();
                    *sum += d_log_prob * (z * z - 1.0) + d_entropy;
                }
            }
        }
    }
}

/// ln Σ exp z.
fn log_sum_exp(z: &[f32]) -> f32 {
    let max = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = z.iter().map(|z| (z - max).exp()).sum();
    max + sum.ln()
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
}

impl Surrogate {
    /// Its value and its derivative by log π(a|s), for the logarithm of the ratio to the policy that acted.
    fn at(self, log_prob: f32, ratio: f32, advantage: f32) -> (f32, f32) {
        match self {
            Self::LogProb => (log_prob * advantage, advantage),
            Self::Clipped { clip } => {
                let unclipped = ratio * advantage;
                let clipped = ratio.clamp(1.0 - clip, 1.0 + clip) * advantage;
                // The comparison is false for NaN, which passes on.
                if clipped < unclipped {
                    (clipped, 0.0)
                } else {
                    (unclipped, unclipped)
                }
            }
        }
    }
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

impl ActorCriticLoss {
    /// Value and derivative of the surrogate.
    pub(crate) fn surrogate(&self, log_prob: f32, ratio: f32, advantage: f32) -> (f32, f32) {
        self.surrogate.at(log_prob, ratio, advantage)
    }

    /// Whether the ratio is one that the surrogate clips.
    pub(crate) fn clips(&self, ratio: f32) -> bool {
        match self.surrogate {
            Surrogate::LogProb => false,
            Surrogate::Clipped { clip } => (ratio - 1.0).abs() > clip,
        }
    }

    /// ½ (V − R)², or the larger of that and the same of a clipped V, with its derivative by V.
    pub(crate) fn value(&self, value: f32, old: f32, target: f32) -> (f32, f32) {
        let error = value - target;
        let loss = 0.5 * error * error;
        if self.value_clip <= 0.0 {
            return (loss, error);
        }
        let moved = value - old;
        let held = old + moved.clamp(-self.value_clip, self.value_clip) - target;
        let clipped = 0.5 * held * held;
        if clipped > loss {
            // The clipped value does not move with V, or is V.
            let inside = moved.abs() <= self.value_clip;
            (clipped, if inside { held } else { 0.0 })
        } else {
            (loss, error)
        }
    }
}
