//! Distributions of single samples, and the loss, as settings: what loops in host memory act and learn by.
//!
//! The same formulas as in [`dist`](crate::dist), which tests compare these with.

use super::exp::{exp, ln};
use super::mlp::MlpShape;
use crate::dist::{DistKind, FORBIDDEN};
use std::{f32::consts::LN_2, ops::Range};

/// ½ ln 2π.
pub(super) const HALF_LN_TAU: f32 = 0.918_938_5;

/// Choices of one action, at most.
const MOST_CHOICES: usize = 16;

/// Distributions whose parameters are few enough for a loop over samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum RowDist {
    /// Logits of one choice after the other.
    Categorical(Choices),
    /// Means, with log standard deviations that do not depend on the observation.
    Gaussian,
    /// The same, of what tanh squashes into bounds.
    SquashedGaussian {
        /// ln Π_i (high_i − low_i)/2.
        ln_scale: f32,
    },
}

/// How many alternatives each of several independent choices has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Choices {
    counts: [u32; MOST_CHOICES],
    len: usize,
}

impl Choices {
    /// `None` if there are too many.
    fn new(choices: &[usize]) -> Option<Self> {
        let mut counts = [0; MOST_CHOICES];
        for (count, choices) in counts.get_mut(..choices.len())?.iter_mut().zip(choices) {
            *count = u32::try_from(*choices).ok()?;
        }
        let len = choices.len();
        Some(Self { counts, len })
    }

    /// Number of choices.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Where the logits of each lie.
    pub(super) fn ranges(self) -> impl Iterator<Item = Range<usize>> {
        let mut end = 0;
        (0..self.len).map(move |i| {
            let start = end;
            end += self.counts[i] as usize;
            start..end
        })
    }
}

impl RowDist {
    /// Of a policy whose network appends `log_stds` of its outputs to every row.
    pub(crate) fn of(kind: &DistKind, log_stds: usize) -> Option<Self> {
        match kind {
            DistKind::Categorical { choices } if log_stds == 0 => {
                Choices::new(&[*choices]).map(Self::Categorical)
            }
            DistKind::MultiDiscrete { choices } if log_stds == 0 => {
                Choices::new(choices).map(Self::Categorical)
            }
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
            Self::Categorical(choices) => {
                let mut log_prob = 0.0;
                for (range, action) in choices.ranges().zip(action) {
                    let (logits, noise) = (&outputs[range.clone()], &noise[range]);
                    let mut best = 0;
                    for (k, (z, g)) in logits.iter().zip(noise).enumerate() {
                        if z + g > logits[best] + noise[best] {
                            best = k;
                        }
                    }
                    *action = best as f32;
                    log_prob += logits[best] - log_sum_exp(logits);
                }
                log_prob
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

    /// Whether it is one choice.
    #[cfg(feature = "gpu")]
    pub(crate) fn is_one_choice(self) -> bool {
        matches!(self, Self::Categorical(choices) if choices.len() == 1)
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

/// [`mask_logits`](crate::dist::mask_logits), where the network has masks, of the outputs of each row of observations. Rows
/// of outputs may be padded.
pub(super) fn mask_rows(outputs: &mut [f32], obs: &[f32], shape: &MlpShape) {
    if !shape.masked {
        return;
    }
    let (inputs, width) = (shape.inputs(), shape.outputs());
    let stride = outputs.len() / (obs.len() / inputs);
    let rows = outputs.chunks_exact_mut(stride);
    for (logits, obs) in rows.zip(obs.chunks_exact(inputs)) {
        for (z, allowed) in logits.iter_mut().zip(&obs[inputs - width..]) {
            if *allowed < 0.5 {
                *z = FORBIDDEN as f32;
            }
        }
    }
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
