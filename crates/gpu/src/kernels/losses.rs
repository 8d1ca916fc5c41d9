//! Losses of single samples in kernels, with their gradients with respect to a network's outputs.
//!
//! The formulas are those of [`uphill_cpu::sample`], one thread per sample.

use super::gradient::{Minibatch, Room, Samples};
use crate::plan::{Plan, measured, scalar};
use cubecl::prelude::*;
// The macro generates a module beside each function.
use uphill_cpu::sample::{
    approx_kl, categorical_gradient, clipped_surrogate, gaussian_cost, gaussian_entropy,
    gaussian_gradient, outside, value_loss,
};

/// Replaces the actor's outputs in row `slot` of the tile by the gradient of the loss of that sample, and writes the
/// columns that are only summed: gradients with respect to log standard deviations, surrogate, entropy, approximate KL,
/// and whether the ratio is clipped. All are zero if the row has no sample.
#[cube]
pub(super) fn policy_row(
    samples: &Samples,
    params: &[f32],
    minibatch: &Minibatch,
    room: &mut Room,
    slot: usize,
    is_sample: bool,
    #[comptime] plan: Plan,
) {
    let row = room.chosen[slot] as usize;
    let layers = comptime!(plan.actor);
    let agent = CUBE_POS_Z as usize;
    let log_stds =
        agent * comptime!(plan.actor.num_params()) + comptime!(plan.actor.params(plan.actor.count));
    let scalars = agent * scalar::COUNT;
    let heads = comptime!(layers.heads());
    let at = comptime!(layers.values(layers.count, plan.rows))
        + slot * comptime!(layers.stride(layers.count));
    let sums = slot * comptime!(plan.extra_stride());
    let share = comptime!(1.0f32 / plan.len() as f32);

    // Log-probability and entropy; the tile keeps the inputs of their gradients.
    let mut log_prob = 0.0f32;
    let mut entropy = 0.0f32;
    let mut action = 0u32;
    if comptime!(plan.categorical) {
        let mut highest = room.tile[at];
        for k in 1..heads {
            highest = max(highest, room.tile[at + k]);
        }
        let mut sum = 0.0f32;
        for k in 0..heads {
            sum += (room.tile[at + k] - highest).exp();
        }
        let normaliser = highest + sum.ln();
        for k in 0..heads {
            let log_p = room.tile[at + k] - normaliser;
            entropy -= log_p.exp() * log_p;
            room.tile[at + k] = log_p;
        }
        action = u32::cast_from(samples.actions[row]);
        log_prob = room.tile[at + action as usize];
    } else {
        for k in 0..heads {
            let log_std = params[log_stds + k];
            let z = (samples.actions[row * heads + k] - room.tile[at + k]) * (-log_std).exp();
            log_prob -= gaussian_cost(z, log_std);
            entropy += gaussian_entropy(log_std);
            room.tile[at + k] = z;
        }
    }

    let log_ratio = log_prob - samples.log_probs[row];
    let ratio = log_ratio.exp();
    let mut advantage = samples.advantages[row];
    if comptime!(plan.standardize) {
        let at = minibatch.epoch * comptime!(plan.minibatches as u32) + minibatch.part;
        let at = 2 * (at as usize * plan.agents + agent);
        advantage = (advantage - minibatch.spread[at]) * minibatch.spread[at + 1];
    }
    let mut surrogate = log_prob * advantage;
    let mut slope = advantage;
    let mut clips = 0.0f32;
    if comptime!(plan.clipped) {
        let clip = minibatch.scalars[scalars + scalar::CLIP];
        let (of_clipped, its_slope) = clipped_surrogate(log_ratio, advantage, clip);
        surrogate = of_clipped;
        slope = its_slope;
        clips = outside(ratio, clip);
    }

    let entropy_coef = minibatch.scalars[scalars + scalar::ENTROPY_COEF];
    // A row without a sample is computed from unrelated numbers. They may be infinite, so they must be removed by a
    // selection instead of a product with zero.
    let d_log_prob = -slope * share;
    let d_entropy = -entropy_coef * share;
    if comptime!(plan.categorical) {
        for k in 0..heads {
            let log_p = room.tile[at + k];
            let taken = k == action as usize;
            let gradient =
                categorical_gradient(taken, log_p.exp(), log_p, entropy, d_log_prob, d_entropy);
            room.tile[at + k] = select(is_sample, gradient, 0.0f32);
        }
    } else {
        for k in 0..heads {
            let z = room.tile[at + k];
            let inverse = (-params[log_stds + k]).exp();
            let (by_mean, by_log_std) = gaussian_gradient(z, inverse, d_log_prob, d_entropy);
            room.tile[at + k] = select(is_sample, by_mean, 0.0f32);
            room.extra[sums + k] = select(is_sample, by_log_std, 0.0f32);
        }
    }
    let seen = sums + comptime!(layers.log_stds);
    room.extra[seen + measured::SURROGATE] = select(is_sample, surrogate, 0.0f32);
    room.extra[seen + measured::ENTROPY] = select(is_sample, entropy, 0.0f32);
    room.extra[seen + measured::APPROX_KL] = select(is_sample, approx_kl(ratio, log_ratio), 0.0f32);
    room.extra[seen + measured::CLIPPED] = select(is_sample, clips, 0.0f32);
}

/// Replaces the critic's output in row `slot` of the tile by the gradient of the loss of that sample, and writes the
/// value loss. Both are zero if the row has no sample.
#[cube]
pub(super) fn value_row(
    samples: &Samples,
    minibatch: &Minibatch,
    room: &mut Room,
    slot: usize,
    is_sample: bool,
    #[comptime] plan: Plan,
) {
    let row = room.chosen[slot] as usize;
    let layers = comptime!(plan.critic);
    let at = comptime!(layers.values(layers.count, plan.rows))
        + slot * comptime!(layers.stride(layers.count));
    let share = comptime!(1.0f32 / plan.len() as f32);

    let scalars = CUBE_POS_Z as usize * scalar::COUNT;
    let clip = minibatch.scalars[scalars + scalar::VALUE_CLIP];
    let (value, old, target) = (room.tile[at], samples.values[row], samples.returns[row]);
    let (loss, slope) = value_loss(value, old, target, clip);
    let gradient = slope * minibatch.scalars[scalars + scalar::VALUE_COEF] * share;
    room.tile[at] = select(is_sample, gradient, 0.0f32);
    room.extra[slot * comptime!(plan.extra_stride())] = select(is_sample, loss, 0.0f32);
}
