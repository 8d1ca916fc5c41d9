//! Policy and environment for `T` steps.
//!
//! A cube serves a few copies. Thread `j` keeps column `j` of every hidden layer's weights in registers; the
//! activations are in shared memory, with a barrier between layers. Then one thread per copy samples the action
//! and steps the environment.

#[allow(clippy::wildcard_imports)] // the vocabulary of kernels
use cubecl::prelude::*;
use uphill_core::ops::activated;
use uphill_envs::device::{Dynamics, advance, philox};

use super::{
    noise::{gumbel, normal},
    plan::Plan,
};

/// ½ ln 2π.
const HALF_LN_TAU: f32 = 0.918_938_5;

/// Everything that [`RolloutTensors`](super::ops::RolloutTensors) lists. `params` are those of the policy;
/// `norm` has the means and then the standard deviations of the observations.
#[cube(launch)]
#[allow(clippy::too_many_arguments)]
pub(super) fn rollout_kernel<E: Dynamics>(
    params: &[f32],
    norm: &[f32],
    old_states: &[f32],
    old_clocks: &[i32],
    old_returns: &[f32],
    states: &mut [f32],
    clocks: &mut [i32],
    returns: &mut [f32],
    seen: &mut [f32],
    obs: &mut [f32],
    actions: &mut [f32],
    log_probs: &mut [f32],
    rewards: &mut [f32],
    next_obs: &mut [f32],
    ended_returns: &mut [f32],
    ends: &mut [i32],
    steps: usize,
    first_step: u32,
    stream: u32,
    action_key_low: u32,
    action_key_high: u32,
    env_key_low: u32,
    env_key_high: u32,
    time_limit: i32,
    clip: f32,
    #[comptime] plan: Plan,
) {
    let copies = old_returns.len();
    let unit = UNIT_POS as usize;
    // The copy whose actor and environment this thread is, if it is one's.
    let copy = CUBE_POS * plan.copies + unit;
    let acts = unit < plan.copies && copy < copies;

    let columns = columns(params, unit, plan);
    let biases = biases(params, unit, plan);
    let head_size = comptime!(plan.head_size());
    let mut head = Shared::<[f32]>::new_slice(head_size);
    let mut index = unit;
    while index < head_size {
        head[index] = params[comptime!(plan.weights_at(plan.layers)) + index];
        index += plan.units;
    }
    let mut front = Shared::<[f32]>::new_slice(comptime!(plan.copies * plan.stride()));
    let mut back = Shared::<[f32]>::new_slice(comptime!(plan.copies * plan.stride()));
    let mut outputs = Shared::<[f32]>::new_slice(comptime!(plan.copies * plan.outputs));

    if acts {
        #[unroll]
        for i in 0..plan.sizes.state {
            states[copy * plan.sizes.state + i] = old_states[copy * plan.sizes.state + i];
        }
        #[unroll]
        for i in 0..3usize {
            clocks[copy * 3 + i] = old_clocks[copy * 3 + i];
        }
        returns[copy] = old_returns[copy];
        E::observe(
            &*states,
            copy * plan.sizes.state,
            seen,
            copy * plan.sizes.obs,
        );
    }
    for t in 0..steps {
        let entry = t * copies + copy;
        if acts {
            see(&*seen, copy, obs, entry, norm, clip, &mut front, unit, plan);
        }
        sync_cube();
        #[unroll]
        for layer in 0..plan.layers {
            if comptime!(layer.is_multiple_of(2)) {
                hidden_layer(
                    &front,
                    &mut back,
                    &columns,
                    biases[layer],
                    unit,
                    layer,
                    plan,
                );
            } else {
                hidden_layer(
                    &back,
                    &mut front,
                    &columns,
                    biases[layer],
                    unit,
                    layer,
                    plan,
                );
            }
            sync_cube();
        }
        if comptime!(plan.layers.is_multiple_of(2)) {
            output_layer(&front, &head, params, &mut outputs, unit, plan);
        } else {
            output_layer(&back, &head, params, &mut outputs, unit, plan);
        }
        sync_cube();
        if acts {
            let position = first_step + t as u32;
            if comptime!(plan.categorical) {
                choose(
                    &outputs,
                    unit,
                    actions,
                    log_probs,
                    entry,
                    copy as u32,
                    position,
                    stream,
                    action_key_low,
                    action_key_high,
                    plan,
                );
            } else {
                draw(
                    &outputs,
                    params,
                    unit,
                    actions,
                    log_probs,
                    entry,
                    copy as u32,
                    position,
                    stream,
                    action_key_low,
                    action_key_high,
                    plan,
                );
            }
            advance::<E>(
                copy,
                entry,
                states,
                clocks,
                returns,
                &*actions,
                seen,
                next_obs,
                rewards,
                ended_returns,
                ends,
                env_key_low,
                env_key_high,
                time_limit,
                plan.sizes,
            );
        }
    }
}

/// Column `unit` of every hidden layer's weights.
#[cube]
fn columns(params: &[f32], unit: usize, #[comptime] plan: Plan) -> Array<f32> {
    let mut columns = Array::<f32>::new(comptime!(plan.column_at(plan.layers)));
    #[unroll]
    for layer in 0..plan.layers {
        let width = comptime!(plan.width(layer));
        // Threads beyond a layer's width read something of the same layer, and nobody their results.
        let column = min(unit, width - 1);
        #[unroll]
        for i in 0..comptime!(plan.inputs(layer)) {
            columns[comptime!(plan.column_at(layer) + i)] =
                params[comptime!(plan.weights_at(layer) + i * width) + column];
        }
    }
    columns
}

/// Bias `unit` of every hidden layer.
#[cube]
fn biases(params: &[f32], unit: usize, #[comptime] plan: Plan) -> Array<f32> {
    let mut biases = Array::<f32>::new(plan.layers);
    #[unroll]
    for layer in 0..plan.layers {
        let column = min(unit, comptime!(plan.width(layer) - 1));
        biases[layer] = params[comptime!(plan.bias_at(layer)) + column];
    }
    biases
}

/// Records what `copy`, number `unit` of the cube, sees, and passes it on as the network wants it.
#[cube]
#[allow(clippy::too_many_arguments)]
fn see(
    seen: &[f32],
    copy: usize,
    obs: &mut [f32],
    entry: usize,
    norm: &[f32],
    clip: f32,
    to: &mut [f32],
    unit: usize,
    #[comptime] plan: Plan,
) {
    let width = plan.sizes.obs;
    #[unroll]
    for i in 0..width {
        let raw = seen[copy * width + i];
        obs[entry * width + i] = raw;
        let at = unit * comptime!(plan.stride()) + i;
        if comptime!(plan.normalize) {
            let scaled = (raw - norm[i]) / norm[comptime!(width + i)];
            if comptime!(plan.clip) {
                to[at] = scaled.clamp(-clip, clip);
            } else {
                to[at] = scaled;
            }
        } else {
            to[at] = raw;
        }
    }
}

/// Neuron `unit` of a hidden layer, for all copies of the cube.
#[cube]
fn hidden_layer(
    from: &[f32],
    to: &mut [f32],
    columns: &Array<f32>,
    bias: f32,
    unit: usize,
    #[comptime] layer: usize,
    #[comptime] plan: Plan,
) {
    let stride = comptime!(plan.stride());
    if unit < comptime!(plan.width(layer)) {
        let mut sums = Array::<f32>::new(plan.copies);
        #[unroll]
        for copy in 0..plan.copies {
            sums[copy] = bias;
        }
        #[unroll]
        for i in 0..comptime!(plan.inputs(layer)) {
            let weight = columns[comptime!(plan.column_at(layer) + i)];
            #[unroll]
            for copy in 0..plan.copies {
                sums[copy] += from[comptime!(copy * stride + i)] * weight;
            }
        }
        #[unroll]
        for copy in 0..plan.copies {
            let at = comptime!(copy * stride) + unit;
            to[at] = activated(sums[copy], plan.relu);
        }
    }
}

/// The outputs of all copies, a thread each.
#[cube]
fn output_layer(
    from: &[f32],
    head: &[f32],
    params: &[f32],
    to: &mut [f32],
    unit: usize,
    #[comptime] plan: Plan,
) {
    let mut index = unit;
    while index < comptime!(plan.copies * plan.outputs) {
        let copy = index / plan.outputs;
        let output = index % plan.outputs;
        let mut sum = params[comptime!(plan.bias_at(plan.layers)) + output];
        for i in 0..comptime!(plan.inputs(plan.layers)) {
            sum += from[copy * comptime!(plan.stride()) + i] * head[i * plan.outputs + output];
        }
        to[index] = sum;
        index += plan.units;
    }
}

/// Samples a categorical policy: argmax_k (z_k + Gumbel noise).
#[cube]
#[allow(clippy::too_many_arguments)]
fn choose(
    logits: &[f32],
    unit: usize,
    actions: &mut [f32],
    log_probs: &mut [f32],
    entry: usize,
    copy: u32,
    position: u32,
    stream: u32,
    key_low: u32,
    key_high: u32,
    #[comptime] plan: Plan,
) {
    let at = unit * plan.outputs;
    let mut largest = logits[at];
    #[unroll]
    for k in 1..plan.outputs {
        largest = max(largest, logits[at + k]);
    }
    let mut sum = (logits[at] - largest).exp();
    #[unroll]
    for k in 1..plan.outputs {
        sum += (logits[at + k] - largest).exp();
    }

    let mut words = Array::<u32>::new(4usize);
    let mut best = at;
    let mut best_score = largest;
    #[unroll]
    for k in 0..plan.outputs {
        if comptime!(k.is_multiple_of(4)) {
            let block = comptime!(k as u32 / 4);
            philox(&mut words, block, copy, position, stream, key_low, key_high);
        }
        let score = logits[at + k] + gumbel(words[comptime!(k % 4)]);
        if comptime!(k == 0) {
            best_score = score;
        } else {
            let better = score > best_score;
            best = select(better, at + k, best);
            best_score = select(better, score, best_score);
        }
    }
    actions[entry] = f32::cast_from(best - at);
    log_probs[entry] = logits[best] - (largest + sum.ln());
}

/// Samples a Gaussian policy: μ + σ ε.
#[cube]
#[allow(clippy::too_many_arguments)]
fn draw(
    means: &[f32],
    params: &[f32],
    unit: usize,
    actions: &mut [f32],
    log_probs: &mut [f32],
    entry: usize,
    copy: u32,
    position: u32,
    stream: u32,
    key_low: u32,
    key_high: u32,
    #[comptime] plan: Plan,
) {
    let at = unit * plan.outputs;
    let mut words = Array::<u32>::new(4usize);
    let mut minus_log_prob = 0.0f32;
    #[unroll]
    for k in 0..plan.outputs {
        if comptime!(k.is_multiple_of(2)) {
            let block = comptime!(k as u32 / 2);
            philox(&mut words, block, copy, position, stream, key_low, key_high);
        }
        let first = comptime!(k % 2 * 2);
        let noise = normal(words[first], words[comptime!(first + 1)]);
        let log_std = params[comptime!(plan.log_stds_at() + k)];
        actions[entry * plan.outputs + k] = means[at + k] + log_std.exp() * noise;
        minus_log_prob += 0.5f32 * noise * noise + log_std + HALF_LN_TAU;
    }
    log_probs[entry] = -minus_log_prob;
}
