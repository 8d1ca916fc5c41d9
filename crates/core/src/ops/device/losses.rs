//! Losses of single samples in kernels, with their gradients by a network's outputs: the formulas of
//! [`rows`](crate::ops::rows), one thread per sample.

use super::gradient::Samples;
use super::plan::{Plan, scalar};
use cubecl::prelude::*;

/// ½ ln 2π.
const HALF_LN_TAU: f32 = 0.918_938_5;

/// Replaces the actor's outputs in row `slot` of the tile by the gradient of the loss of sample `row`, and
/// writes what is only added up: gradients by log standard deviations, surrogate, entropy, approximate KL,
/// and whether the ratio is clipped. All zero where there is no sample.
#[cube]
pub(super) fn policy_row(
    samples: &Samples,
    params: &[f32],
    spread: &[f32],
    scalars: &[f32],
    tile: &mut [f32],
    extra: &mut [f32],
    row: usize,
    slot: usize,
    minibatch: usize,
    is_sample: bool,
    #[comptime] log_stds: usize,
    #[comptime] plan: Plan,
) {
    let layers = comptime!(plan.actor);
    let heads = comptime!(layers.heads());
    let at = comptime!(layers.values(layers.count, plan.rows))
        + slot * comptime!(layers.stride(layers.count));
    let sums = slot * comptime!(plan.extra_stride());
    let own_share = comptime!(1.0f32 / plan.len() as f32);
    let share = select(is_sample, own_share, 0.0f32);
    let counts = select(is_sample, 1.0f32, 0.0f32);

    // Log-probability and entropy; the tile keeps what their gradients start from.
    let mut log_prob = 0.0f32;
    let mut entropy = 0.0f32;
    let mut action = 0u32;
    if comptime!(plan.categorical) {
        let mut highest = tile[at];
        for k in 1..heads {
            highest = max(highest, tile[at + k]);
        }
        let mut sum = 0.0f32;
        for k in 0..heads {
            sum += (tile[at + k] - highest).exp();
        }
        let normaliser = highest + sum.ln();
        for k in 0..heads {
            let log_p = tile[at + k] - normaliser;
            entropy -= log_p.exp() * log_p;
            tile[at + k] = log_p;
        }
        action = u32::cast_from(samples.actions[row]);
        log_prob = tile[at + action as usize];
    } else {
        for k in 0..heads {
            let log_std = params[log_stds + k];
            let z = (samples.actions[row * heads + k] - tile[at + k]) * (-log_std).exp();
            log_prob -= 0.5f32 * z * z + log_std + HALF_LN_TAU;
            entropy += log_std + comptime!(HALF_LN_TAU + 0.5);
            tile[at + k] = z;
        }
    }

    let log_ratio = log_prob - samples.log_probs[row];
    let ratio = log_ratio.exp();
    let mut advantage = samples.advantages[row];
    if comptime!(plan.standardize) {
        advantage = (advantage - spread[2 * minibatch]) * spread[2 * minibatch + 1];
    }
    let mut surrogate = log_prob * advantage;
    let mut slope = advantage;
    let mut clips = 0.0f32;
    if comptime!(plan.clipped) {
        let clip = scalars[scalar::CLIP];
        let unclipped = ratio * advantage;
        let clipped = min(max(ratio, 1.0f32 - clip), 1.0f32 + clip) * advantage;
        // The comparison is false for NaN, which passes on.
        let held = clipped < unclipped;
        surrogate = select(held, clipped, unclipped);
        slope = select(held, 0.0f32, unclipped);
        clips = select((ratio - 1.0f32).abs() > clip, 1.0f32, 0.0f32);
    }

    let d_log_prob = -slope * share;
    let d_entropy = -scalars[scalar::ENTROPY_COEF] * share;
    if comptime!(plan.categorical) {
        // ∂log p_a/∂z_k = 1[k = a] − p_k, ∂H/∂z_k = −p_k (log p_k + H).
        for k in 0..heads {
            let log_p = tile[at + k];
            let p = log_p.exp();
            let taken = select(k == action as usize, 1.0f32, 0.0f32);
            tile[at + k] = d_log_prob * (taken - p) - d_entropy * p * (log_p + entropy);
        }
    } else {
        // ∂log p/∂μ = z/σ, ∂log p/∂log σ = z² − 1, ∂H/∂log σ = 1.
        for k in 0..heads {
            let z = tile[at + k];
            tile[at + k] = d_log_prob * z * (-params[log_stds + k]).exp();
            extra[sums + k] = d_log_prob * (z * z - 1.0f32) + d_entropy;
        }
    }
    let measured = sums + comptime!(layers.log_stds);
    extra[measured] = surrogate * counts;
    extra[measured + 1] = entropy * counts;
    extra[measured + 2] = (ratio - 1.0f32 - log_ratio) * counts;
    extra[measured + 3] = clips * counts;
}

/// Replaces the critic's output in row `slot` of the tile by the gradient of the loss of sample `row`, and
/// writes the value loss. Both are zero where there is no sample.
#[cube]
pub(super) fn value_row(
    samples: &Samples,
    scalars: &[f32],
    tile: &mut [f32],
    extra: &mut [f32],
    row: usize,
    slot: usize,
    is_sample: bool,
    #[comptime] plan: Plan,
) {
    let layers = comptime!(plan.critic);
    let at = comptime!(layers.values(layers.count, plan.rows))
        + slot * comptime!(layers.stride(layers.count));
    let own_share = comptime!(1.0f32 / plan.len() as f32);
    let share = select(is_sample, own_share, 0.0f32);

    let value = tile[at];
    let target = samples.returns[row];
    let error = value - target;
    let mut loss = 0.5f32 * error * error;
    let mut slope = error;
    let clip = scalars[scalar::VALUE_CLIP];
    if clip > 0.0f32 {
        let old = samples.values[row];
        let moved = value - old;
        let held = old + min(max(moved, -clip), clip) - target;
        let clipped = 0.5f32 * held * held;
        if clipped > loss {
            // The clipped value does not move with V, or is V.
            loss = clipped;
            slope = select(moved.abs() <= clip, held, 0.0f32);
        }
    }
    tile[at] = slope * scalars[scalar::VALUE_COEF] * share;
    extra[slot * comptime!(plan.extra_stride())] = select(is_sample, loss, 0.0f32);
}
