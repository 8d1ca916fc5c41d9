//! Losses of a block of samples, with their gradients with respect to the networks' outputs.
//!
//! Each sample is a column, so every loop runs over adjacent numbers and compiles to vector instructions. Tests compare
//! the results with the same formulas on tensors.

// Several columns of equal length are read at a time: an index is clearer than nested zips.
#![allow(clippy::needless_range_loop)]

use crate::dist::{Choices, RowDist, ln_sech2};
use crate::exp::{exp, ln};
use crate::loss::{ActorCriticLoss, Custom, Surrogate};
use crate::minibatch::Sums;
use crate::mlp::BLOCK;
use crate::quadrature::HALF;
use crate::sample;
use crate::simd::dispatch;
use pulp::{Simd, WithSimd};

/// One number per sample of a block.
pub(crate) type Column = [f32; BLOCK];

/// Inputs and scratch buffers of the policy's loss.
#[derive(Clone, Debug)]
pub(crate) struct PolicyBlock {
    dist: RowDist,
    /// 1 for a sample, 0 for an unused slot.
    pub(crate) used: Column,
    /// Network outputs `[W]` without log standard deviations; after the loss has run, the gradient with respect to
    /// them.
    pub(crate) outputs: Vec<Column>,
    /// Actions `[A]`.
    pub(crate) actions: Vec<Column>,
    /// log π(a|s) under the policy that acted.
    pub(crate) old_log_probs: Column,
    pub(crate) advantages: Column,
    /// Term that squashing adds to log π(a|s).
    pub(crate) corrections: Column,
    /// Log-probabilities or means `[W]` of the policy that acted, if the loss penalises a divergence from it;
    /// afterwards the gradient of that divergence with respect to the outputs.
    pub(crate) acted: Vec<Column>,
    /// Log standard deviations of the policy that acted.
    pub(crate) acted_log_stds: Vec<f32>,
    /// Gradient with respect to the log standard deviations: `[W]`, or empty.
    pub(crate) of_log_stds: Vec<f32>,
    /// Probabilities, or distances from the mean in standard deviations, `[W]`.
    scratch: Vec<Column>,
    log_probs: Column,
    entropies: Column,
    /// Entropy of each of several choices.
    choice_entropies: Vec<Column>,
    /// KL(old ‖ new).
    divergences: Column,
    /// Gradient, with respect to the outputs `[W]`, of the term that squashing adds to the entropy.
    of_squashing: Vec<Column>,
    /// Derivative of the loss with respect to log π(a|s).
    slopes: Column,
}

/// Inputs of the critic's loss.
#[derive(Clone, Debug)]
pub(crate) struct ValueBlock {
    /// 1 for a sample, 0 for an unused slot.
    pub(crate) used: Column,
    /// V(s); after the loss has run, the gradient with respect to it.
    pub(crate) values: Column,
    /// V(s) as estimated when the sample was collected.
    pub(crate) old_values: Column,
    pub(crate) returns: Column,
}

impl PolicyBlock {
    /// Buffers for a policy with so many logits or means, and log standard deviations that do not depend on the
    /// observation, and whose actions have `actions` components.
    pub(crate) fn new(dist: RowDist, [outputs, log_stds]: [usize; 2], actions: usize) -> Self {
        let column = [0.0; BLOCK];
        Self {
            dist,
            used: column,
            outputs: vec![column; outputs],
            actions: vec![column; actions],
            old_log_probs: column,
            advantages: column,
            corrections: column,
            acted: vec![column; outputs],
            acted_log_stds: vec![0.0; log_stds],
            of_log_stds: vec![0.0; log_stds],
            scratch: vec![column; outputs],
            log_probs: column,
            entropies: column,
            choice_entropies: match dist {
                RowDist::Categorical(choices) => vec![column; choices.len()],
                RowDist::Gaussian | RowDist::SquashedGaussian { .. } => vec![],
            },
            divergences: column,
            of_squashing: vec![column; outputs],
            slopes: column,
        }
    }

    /// Replaces the outputs by the gradient of the loss, in which each sample has weight `share`, and adds to `sums`.
    pub(crate) fn run(
        &mut self,
        loss: &ActorCriticLoss,
        share: f32,
        log_stds: &[f32],
        sums: &mut Sums,
    ) {
        dispatch(Policy {
            block: self,
            loss,
            share,
            log_stds,
            sums,
        });
    }
}

impl ValueBlock {
    pub(crate) fn new() -> Self {
        let column = [0.0; BLOCK];
        Self {
            used: column,
            values: column,
            old_values: column,
            returns: column,
        }
    }

    /// Replaces the values by the gradient of the loss, in which each sample has weight `share`; returns the sum of the
    /// losses.
    pub(crate) fn run(&mut self, loss: &ActorCriticLoss, share: f32) -> f64 {
        dispatch(Value {
            block: self,
            clip: loss.value_clip,
            weight: loss.value_coef * share,
        })
    }
}

struct Policy<'a> {
    block: &'a mut PolicyBlock,
    loss: &'a ActorCriticLoss,
    share: f32,
    log_stds: &'a [f32],
    sums: &'a mut Sums,
}

impl WithSimd for Policy<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (block, log_stds) = (self.block, self.log_stds);
        let d_entropy = -self.loss.entropy_coef * self.share;
        match block.dist {
            RowDist::Categorical(choices) => categorical(block, choices),
            RowDist::Gaussian => gaussian(block, log_stds),
            RowDist::SquashedGaussian { ln_scale } => {
                gaussian(block, log_stds);
                squashed(block, log_stds, ln_scale, d_entropy);
            }
        }
        match &self.loss.surrogate {
            Surrogate::LogProb => log_prob_surrogate(block, self.share, self.sums),
            Surrogate::Clipped { clip } => {
                let of_sample = |_, log_ratio, advantage| {
                    sample::clipped_surrogate(log_ratio, advantage, *clip)
                };
                ratio_surrogate(block, *clip, self.share, self.sums, of_sample);
            }
            Surrogate::Penalised { clip, .. } => {
                let of_sample =
                    |_, log_ratio, advantage| sample::ratio_surrogate(log_ratio, advantage);
                ratio_surrogate(block, *clip, self.share, self.sums, of_sample);
            }
            Surrogate::Custom(custom) => {
                let [values, slopes] = custom_surrogate(block, custom);
                let of_sample = |i: usize, _, _| (values[i], slopes[i]);
                ratio_surrogate(block, custom.clip(), self.share, self.sums, of_sample);
            }
        }
        let kl_coef = match self.loss.surrogate {
            Surrogate::Penalised { kl_coef, .. } => Some(kl_coef),
            _ => None,
        };
        if let Some(kl_coef) = kl_coef {
            match block.dist {
                RowDist::Categorical(_) => categorical_kl(block),
                RowDist::Gaussian | RowDist::SquashedGaussian { .. } => {
                    gaussian_kl(block, log_stds, kl_coef * self.share);
                }
            }
            let kl = total(&block.divergences, &block.used);
            self.sums.surrogate -= f64::from(kl_coef) * kl;
        }
        match block.dist {
            RowDist::Categorical(choices) => categorical_gradient(block, choices, d_entropy),
            RowDist::Gaussian => gaussian_gradient(block, log_stds, d_entropy),
            RowDist::SquashedGaussian { .. } => {
                gaussian_gradient(block, log_stds, d_entropy);
                add(
                    &mut block.outputs,
                    &block.of_squashing,
                    &block.used,
                    d_entropy,
                );
            }
        }
        if let Some(kl_coef) = kl_coef {
            let weight = kl_coef * self.share;
            add(&mut block.outputs, &block.acted, &block.used, weight);
        }
        self.sums.entropy += total(&block.entropies, &block.used);
    }
}

/// log π(a) and the entropy of softmax(outputs), summed over choices. Leaves log-probabilities in `outputs` and
/// probabilities in `scratch`.
#[inline(always)]
fn categorical(block: &mut PolicyBlock, choices: Choices) {
    block.log_probs = [0.0; BLOCK];
    block.entropies = [0.0; BLOCK];
    let each = choices.ranges().zip(&block.actions);
    for ((range, action), entropies) in each.zip(&mut block.choice_entropies) {
        let (logits, probs) = (&mut block.outputs[range.clone()], &mut block.scratch[range]);
        let mut max = [f32::NEG_INFINITY; BLOCK];
        for z in logits.iter() {
            for (max, z) in max.iter_mut().zip(z) {
                *max = if *z > *max { *z } else { *max };
            }
        }
        let mut sum = [0.0; BLOCK];
        for (z, e) in logits.iter().zip(&mut *probs) {
            for i in 0..BLOCK {
                e[i] = exp(z[i] - max[i]);
                sum[i] += e[i];
            }
        }
        let mut normaliser = [0.0; BLOCK];
        for i in 0..BLOCK {
            normaliser[i] = max[i] + ln(sum[i]);
            sum[i] = 1.0 / sum[i];
        }
        *entropies = [0.0; BLOCK];
        for (k, (z, p)) in logits.iter_mut().zip(probs).enumerate() {
            for i in 0..BLOCK {
                z[i] -= normaliser[i];
                p[i] *= sum[i];
                entropies[i] -= p[i] * z[i];
                block.log_probs[i] += if action[i] == k as f32 { z[i] } else { 0.0 };
            }
        }
        for i in 0..BLOCK {
            block.entropies[i] += entropies[i];
        }
    }
}

/// Applies [`sample::categorical_gradient`] to each choice separately.
#[inline(always)]
fn categorical_gradient(block: &mut PolicyBlock, choices: Choices, d_entropy: f32) {
    let each = choices.ranges().zip(&block.actions);
    for ((range, action), entropies) in each.zip(&block.choice_entropies) {
        let logits = block.outputs[range.clone()].iter_mut();
        for (k, (z, p)) in logits.zip(&block.scratch[range]).enumerate() {
            for i in 0..BLOCK {
                z[i] = sample::categorical_gradient(
                    action[i] == k as f32,
                    p[i],
                    z[i],
                    entropies[i],
                    block.slopes[i],
                    d_entropy,
                );
            }
        }
    }
}

/// log π(a) and the entropy of N(outputs, exp 2·log_stds). Leaves (a − μ)/σ in `scratch`.
#[inline(always)]
fn gaussian(block: &mut PolicyBlock, log_stds: &[f32]) {
    block.log_probs = [0.0; BLOCK];
    let mut entropy = 0.0;
    let means = block.outputs.iter().zip(&block.actions).zip(log_stds);
    for (((mean, action), log_std), z) in means.zip(&mut block.scratch) {
        let inverse = exp(-log_std);
        entropy += sample::gaussian_entropy(*log_std);
        for i in 0..BLOCK {
            z[i] = (action[i] - mean[i]) * inverse;
            block.log_probs[i] -= sample::gaussian_cost(z[i], *log_std);
        }
    }
    block.entropies = [entropy; BLOCK];
}

/// Terms that squashing adds: a constant to log π(a), and ln_scale + Σ E ln(1 − tanh² u) to the entropy, by
/// Gauss–Hermite quadrature. Leaves the gradient of the latter with respect to the means in `of_squashing`; its
/// gradient with respect to log σ is added to the others, with `weight` per sample.
#[inline(always)]
fn squashed(block: &mut PolicyBlock, log_stds: &[f32], ln_scale: f32, weight: f32) {
    for i in 0..BLOCK {
        block.log_probs[i] += block.corrections[i];
        block.entropies[i] += ln_scale;
    }
    let means = block.outputs.iter().zip(log_stds);
    let gradients = block.of_squashing.iter_mut().zip(&mut block.of_log_stds);
    for ((mean, log_std), (of_mean, of_log_std)) in means.zip(gradients) {
        let std = exp(*log_std);
        let mut terms = [0.0; BLOCK];
        *of_mean = [0.0; BLOCK];
        // Weights below the resolution of an f32 contribute nothing.
        for (z, share) in HALF.iter().filter(|(_, share)| *share > 1e-9) {
            let share = *share as f32;
            for z in [*z as f32, -*z as f32] {
                for i in 0..BLOCK {
                    let (value, tanh) = ln_sech2(mean[i] + std * z);
                    block.entropies[i] += share * value;
                    of_mean[i] -= 2.0 * share * tanh;
                    terms[i] -= 2.0 * share * tanh * z * std * block.used[i];
                }
            }
        }
        *of_log_std += weight * sum(&terms);
    }
}

/// Applies [`sample::gaussian_gradient`] to every component.
#[inline(always)]
fn gaussian_gradient(block: &mut PolicyBlock, log_stds: &[f32], d_entropy: f32) {
    let means = block.outputs.iter_mut().zip(&block.scratch).zip(log_stds);
    for (((mean, z), log_std), of_log_std) in means.zip(&mut block.of_log_stds) {
        let inverse = exp(-log_std);
        let mut terms = [0.0; BLOCK];
        for i in 0..BLOCK {
            let by_entropy = d_entropy * block.used[i];
            (mean[i], terms[i]) =
                sample::gaussian_gradient(z[i], inverse, block.slopes[i], by_entropy);
        }
        *of_log_std += sum(&terms);
    }
}

/// Surrogate log π(a|s) · A.
#[inline(always)]
fn log_prob_surrogate(block: &mut PolicyBlock, share: f32, sums: &mut Sums) {
    let (mut surrogate, mut kl) = ([0.0; BLOCK], [0.0; BLOCK]);
    for i in 0..BLOCK {
        let (log_prob, advantage) = (block.log_probs[i], block.advantages[i]);
        surrogate[i] = log_prob * advantage;
        block.slopes[i] = -share * advantage * block.used[i];
        let log_ratio = log_prob - block.old_log_probs[i];
        kl[i] = sample::approx_kl(exp(log_ratio), log_ratio);
    }
    sums.surrogate += total(&surrogate, &block.used);
    sums.approx_kl += total(&kl, &block.used);
}

/// Σ p_old (log p_old − log p), whose gradient with respect to the logits is p − p_old. Runs before
/// [`categorical_gradient`].
#[inline(always)]
fn categorical_kl(block: &mut PolicyBlock) {
    block.divergences = [0.0; BLOCK];
    let choices = block.outputs.iter().zip(&block.scratch);
    for ((log_p, p), acted) in choices.zip(&mut block.acted) {
        for i in 0..BLOCK {
            let old_p = exp(acted[i]);
            block.divergences[i] += old_p * (acted[i] - log_p[i]);
            acted[i] = p[i] - old_p;
        }
    }
}

/// Σ log σ/σ_old + (σ_old² + (μ − μ_old)²) / 2σ² − ½, whose gradient with respect to μ is (μ − μ_old)/σ². The gradient
/// with respect to log σ is added to the others, with `weight` per sample. Runs before [`gaussian_gradient`].
#[inline(always)]
fn gaussian_kl(block: &mut PolicyBlock, log_stds: &[f32], weight: f32) {
    block.divergences = [0.0; BLOCK];
    let means = block.outputs.iter().zip(&mut block.acted);
    let log_stds = log_stds.iter().zip(&block.acted_log_stds);
    for (((mean, acted), (log_std, old)), of_log_std) in
        means.zip(log_stds).zip(&mut block.of_log_stds)
    {
        let (inverse, log_ratio) = (exp(-log_std), log_std - old);
        let variance_ratio = exp(-2.0 * log_ratio);
        let mut terms = [0.0; BLOCK];
        for i in 0..BLOCK {
            let z = (mean[i] - acted[i]) * inverse;
            let spread = variance_ratio + z * z;
            block.divergences[i] += log_ratio + 0.5 * spread - 0.5;
            acted[i] = z * inverse;
            terms[i] = (1.0 - spread) * block.used[i];
        }
        *of_log_std += weight * sum(&terms);
    }
}

/// Adds `weight` · `more` to the gradient with respect to the outputs.
#[inline(always)]
fn add(gradient: &mut [Column], more: &[Column], used: &Column, weight: f32) {
    for (gradient, more) in gradient.iter_mut().zip(more) {
        for i in 0..BLOCK {
            gradient[i] += weight * more[i] * used[i];
        }
    }
}

/// Computes a surrogate of the ratio: value and slope for a slot of the block, log ρ and A.
#[inline(always)]
fn ratio_surrogate(
    block: &mut PolicyBlock,
    clip: f32,
    share: f32,
    sums: &mut Sums,
    of_sample: impl Fn(usize, f32, f32) -> (f32, f32),
) {
    let (mut surrogate, mut kl) = ([0.0; BLOCK], [0.0; BLOCK]);
    let mut outside = [0.0; BLOCK];
    for i in 0..BLOCK {
        let log_ratio = block.log_probs[i] - block.old_log_probs[i];
        let ratio = exp(log_ratio);
        let (value, slope) = of_sample(i, log_ratio, block.advantages[i]);
        surrogate[i] = value;
        block.slopes[i] = -share * slope * block.used[i];
        kl[i] = sample::approx_kl(ratio, log_ratio);
        outside[i] = sample::outside(ratio, clip);
    }
    sums.surrogate += total(&surrogate, &block.used);
    sums.approx_kl += total(&kl, &block.used);
    sums.clip_fraction += total(&outside, &block.used);
}

/// Values and slopes of a user-defined surrogate.
#[inline(always)]
fn custom_surrogate(block: &PolicyBlock, custom: &Custom) -> [Column; 2] {
    let mut log_ratios = [0.0; BLOCK];
    for i in 0..BLOCK {
        log_ratios[i] = block.log_probs[i] - block.old_log_probs[i];
    }
    custom.of_block(&log_ratios, &block.advantages)
}

struct Value<'a> {
    block: &'a mut ValueBlock,
    /// Clipping range; 0 disables clipping.
    clip: f32,
    /// Weight of one sample.
    weight: f32,
}

impl WithSimd for Value<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let (block, clip, weight) = (self.block, self.clip, self.weight);
        let mut losses = [0.0; BLOCK];
        for i in 0..BLOCK {
            let (loss, slope) =
                sample::value_loss(block.values[i], block.old_values[i], block.returns[i], clip);
            losses[i] = loss;
            block.values[i] = slope * weight;
        }
        total(&losses, &block.used)
    }
}

/// Sum over the slots in use. Unused slots hold arbitrary numbers.
#[inline(always)]
fn total(column: &Column, used: &Column) -> f64 {
    let mut terms = [0.0; BLOCK];
    for i in 0..BLOCK {
        terms[i] = if used[i] > 0.0 { column[i] } else { 0.0 };
    }
    f64::from(sum(&terms))
}

/// Sums in one fixed order, several elements at a time.
#[inline(always)]
fn sum(column: &Column) -> f32 {
    let mut sums = [0.0; 16];
    for part in column.as_chunks::<16>().0 {
        for (sum, x) in sums.iter_mut().zip(part) {
            *sum += x;
        }
    }
    sums.iter().sum()
}
