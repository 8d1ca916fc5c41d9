//! Action distributions on rows of network outputs: sampling, masks, softmax.

use crate::exp::{exp, ln};
use crate::sample::{gaussian_cost, gaussian_sample};
use crate::shape::MlpShape;
use std::{f32::consts::LN_2, ops::Range};

/// Logit of an action that a mask forbids: e^FORBIDDEN is 0, and differences of logits stay finite.
pub const FORBIDDEN: f32 = -1e9;

/// Maximum number of independent choices in one action.
const MOST_CHOICES: usize = 16;

/// Distributions with few enough parameters for a loop over samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RowDist {
    /// Categorical choices; the outputs are the logits of one choice after the other.
    Categorical(Choices),
    /// Gaussian; the outputs are means, and the log standard deviations do not depend on the observation.
    Gaussian,
    /// Gaussian whose samples tanh squashes into bounds.
    SquashedGaussian {
        /// ln Π_i (high_i − low_i)/2.
        ln_scale: f32,
    },
}

/// Number of alternatives of each of several independent choices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choices {
    counts: [u32; MOST_CHOICES],
    len: usize,
}

impl Choices {
    /// Choices with these numbers of alternatives; `None` if there are more than 16 choices.
    pub fn new(choices: &[usize]) -> Option<Self> {
        let mut counts = [0; MOST_CHOICES];
        for (count, choices) in counts.get_mut(..choices.len())?.iter_mut().zip(choices) {
            *count = u32::try_from(*choices).ok()?;
        }
        let len = choices.len();
        Some(Self { counts, len })
    }

    /// Number of choices.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Range of each choice's logits.
    pub(crate) fn ranges(self) -> impl Iterator<Item = Range<usize>> {
        let mut end = 0;
        (0..self.len).map(move |i| {
            let start = end;
            end += self.counts[i] as usize;
            start..end
        })
    }
}

impl RowDist {
    /// Draws an action `[A]` from noise (one Gumbel number per logit, or one normal number per mean) and the network's
    /// `outputs`; returns its log-probability.
    pub fn sample(
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
                    *action = gaussian_sample(*mean, *log_std, *e);
                    log_prob -= gaussian_cost(*e, *log_std);
                }
                log_prob + self.correction(action)
            }
        }
    }

    /// Number of components of an action of a policy with `width` logits or means.
    pub(crate) fn action_width(self, width: usize) -> usize {
        match self {
            Self::Categorical(choices) => choices.len(),
            Self::Gaussian | Self::SquashedGaussian { .. } => width,
        }
    }

    /// Whether there is exactly one categorical choice.
    pub fn is_one_choice(self) -> bool {
        matches!(self, Self::Categorical(choices) if choices.len() == 1)
    }

    /// Term that squashing adds to the log-probability of an action; it does not depend on the policy.
    pub(crate) fn correction(self, action: &[f32]) -> f32 {
        let Self::SquashedGaussian { ln_scale } = self else {
            return 0.0;
        };
        let slopes = action.iter().map(|u| ln_sech2(*u).0);
        -slopes.sum::<f32>() - ln_scale
    }
}

/// ln(1 − tanh² u) and tanh u; finite for every u.
#[inline(always)]
pub(crate) fn ln_sech2(u: f32) -> (f32, f32) {
    let e = exp(-2.0 * u.abs());
    let tanh = (1.0 - e) / (1.0 + e);
    (2.0 * (LN_2 - u.abs() - ln(1.0 + e)), tanh.copysign(u))
}

/// If the network has masks, replaces the logits that the last columns of each row of observations forbid. Rows of
/// outputs may be padded.
pub(crate) fn mask_rows(outputs: &mut [f32], obs: &[f32], shape: &MlpShape) {
    if !shape.masked {
        return;
    }
    let (inputs, width) = (shape.inputs(), shape.outputs());
    let stride = outputs.len() / (obs.len() / inputs);
    let rows = outputs.chunks_exact_mut(stride);
    for (logits, obs) in rows.zip(obs.chunks_exact(inputs)) {
        for (z, allowed) in logits.iter_mut().zip(&obs[inputs - width..]) {
            if *allowed < 0.5 {
                *z = FORBIDDEN;
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

/// Turns unnormalised logits into log-probabilities.
pub(crate) fn log_softmax(z: &mut [f32]) {
    let normaliser = log_sum_exp(z);
    z.iter_mut().for_each(|z| *z -= normaliser);
}
