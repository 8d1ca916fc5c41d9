//! Kernel for a rollout: policy and environment for `T` steps.
//!
//! A cube processes a few copies of one agent. Thread `j` keeps column `j` of every hidden layer's weights in
//! registers; the activations are in shared memory, with a barrier between layers. Then one thread per copy samples the
//! action and steps the environment.

use super::activation::activated;
use super::env_step::{advance, carry_over, see};
use super::random::{minus_ln, normal, open_uniform, philox};
use super::slices::{Copies, Results, Rules};
use crate::envs::DeviceEnv;
use crate::rollout::Plan;
use cubecl::prelude::*;
// Each is a module beside the function.
use uphill_cpu::sample::{deviation, gaussian_cost, gaussian_sample};

/// Observations, actions and log-probabilities of `T` steps.
#[derive(CubeType, CubeLaunch)]
pub(super) struct Taken {
    /// Observations `[S, T, N, O]`.
    obs: Box<[f32]>,
    /// Actions `[S, T, N, A]`.
    actions: Box<[f32]>,
    /// Log-probabilities `[S, T, N]`.
    log_probs: Box<[f32]>,
}

/// Stream of the action noise: its position at the first step, and the halves of its seed.
#[derive(CubeType, CubeLaunch)]
pub(super) struct Noise {
    first_step: u32,
    stream: u32,
    key_low: u32,
    key_high: u32,
}

/// A step of a copy: its number in the cube, its output row, and the position of its noise.
#[derive(CubeType)]
struct Place {
    slot: usize,
    entry: usize,
    copy: u32,
    step: u32,
    key_low: u32,
    key_high: u32,
}

/// Takes `steps` steps of all `count` copies of each agent. `params` `[S, P]` are the policies' parameters; `norm` `[S,
/// 2, O]` contains the means and then the variances of the observations, which are clipped to ±`clip` after
/// normalisation. Cubes (., s) process agent s, whose seeds are those of the first agent plus s.
#[cube(launch)]
pub(super) fn rollout_kernel(
    params: &[f32],
    norm: &[f32],
    old: &Copies,
    copies: &mut Copies,
    results: &mut Results,
    taken: &mut Taken,
    noise: &Noise,
    rules: &Rules,
    count: usize,
    steps: usize,
    clip: f32,
    #[comptime] env: DeviceEnv,
    #[comptime] plan: Plan,
) {
    let unit = UNIT_POS as usize;
    let agent = CUBE_POS_Y as usize;
    // The copy whose actor and environment this thread runs, if any: its number within its agent, and overall.
    let lane = CUBE_POS_X as usize * plan.copies + unit;
    let acts = unit < plan.copies && lane < count;
    let copy = agent * count + lane;
    let rules = Rules {
        key_low: low_after(rules.key_low, CUBE_POS_Y),
        key_high: high_after(rules.key_low, rules.key_high, CUBE_POS_Y),
        step: rules.step,
        time_limit: rules.time_limit,
    };
    let key_low = low_after(noise.key_low, CUBE_POS_Y);
    let key_high = high_after(noise.key_low, noise.key_high, CUBE_POS_Y);

    let own = agent * comptime!(plan.layers.num_params());
    let columns = columns(params, own, unit, plan);
    let biases = biases(params, own, unit, plan);
    let head_size = comptime!(plan.head_size());
    let mut head = Shared::<[f32]>::new_slice(head_size);
    let mut index = unit;
    while index < head_size {
        head[index] = params[own + comptime!(plan.layers.params(plan.hidden())) + index];
        index += plan.units;
    }
    let mut front = Shared::<[f32]>::new_slice(comptime!(plan.copies * plan.stride()));
    let mut back = Shared::<[f32]>::new_slice(comptime!(plan.copies * plan.stride()));
    let mut outputs = Shared::<[f32]>::new_slice(comptime!(plan.copies * plan.layers.heads()));

    if acts {
        carry_over(copy, old, copies, plan.sizes);
        see(&copies.states, copy, &mut results.obs, copy, env);
    }
    for t in 0..steps {
        let entry = (agent * steps + t) * count + lane;
        if acts {
            record(
                &results.obs,
                copy,
                &mut taken.obs,
                entry,
                norm,
                agent * comptime!(2 * plan.sizes.obs),
                clip,
                &mut front,
                unit,
                plan,
            );
        }
        sync_cube();
        #[unroll]
        for layer in 0..comptime!(plan.hidden()) {
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
        if comptime!(plan.hidden().is_multiple_of(2)) {
            output_layer(&front, &head, params, own, &mut outputs, unit, plan);
        } else {
            output_layer(&back, &head, params, own, &mut outputs, unit, plan);
        }
        sync_cube();
        if acts {
            let place = Place {
                slot: unit,
                entry,
                copy: lane as u32,
                step: noise.first_step + t as u32,
                key_low,
                key_high,
            };
            if comptime!(plan.categorical) {
                choose(&outputs, &place, noise, taken, plan);
            } else {
                draw(&outputs, params, own, &place, noise, taken, plan);
            }
            advance(
                copy,
                lane,
                rules.step + t as u32,
                entry,
                copies,
                &taken.actions,
                results,
                &rules,
                env,
            );
        }
    }
}

/// The lower half of a seed plus `more`; `low` is the lower half of the seed.
#[cube]
fn low_after(low: u32, more: u32) -> u32 {
    low + more
}

/// The upper half of a seed plus `more`; `low` and `high` are the halves of the seed.
#[cube]
fn high_after(low: u32, high: u32, more: u32) -> u32 {
    let carry = select(low > comptime!(u32::MAX) - more, 1u32, 0u32);
    high + carry
}

/// Column `unit` of every hidden layer's weights; the network's parameters begin at `own`, here and below.
#[cube]
fn columns(params: &[f32], own: usize, unit: usize, #[comptime] plan: Plan) -> Array<f32> {
    let mut columns = Array::<f32>::new(comptime!(plan.column(plan.hidden())));
    #[unroll]
    for layer in 0..comptime!(plan.hidden()) {
        let width = comptime!(plan.layers.outputs(layer));
        // Threads beyond a layer's width read elements of the same layer, and their results are unused.
        let column = min(unit, width - 1);
        #[unroll]
        for i in 0..comptime!(plan.layers.inputs(layer)) {
            columns[comptime!(plan.column(layer) + i)] =
                params[own + comptime!(plan.layers.params(layer) + i * width) + column];
        }
    }
    columns
}

/// Bias `unit` of every hidden layer.
#[cube]
fn biases(params: &[f32], own: usize, unit: usize, #[comptime] plan: Plan) -> Array<f32> {
    let mut biases = Array::<f32>::new(comptime!(plan.hidden()));
    #[unroll]
    for layer in 0..comptime!(plan.hidden()) {
        let column = min(unit, comptime!(plan.layers.outputs(layer) - 1));
        biases[layer] = params[own + comptime!(plan.layers.bias(layer)) + column];
    }
    biases
}

/// Records the observation of `copy`, number `unit` of the cube, and passes it to the network in normalised form.
#[cube]
#[allow(clippy::too_many_arguments)]
fn record(
    seen: &[f32],
    copy: usize,
    obs: &mut [f32],
    entry: usize,
    norm: &[f32],
    norm_at: usize,
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
            let mean = norm[norm_at + i];
            let scaled = (raw - mean) / deviation(mean, norm[norm_at + comptime!(width + i)]);
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
    if unit < comptime!(plan.layers.outputs(layer)) {
        let mut sums = Array::<f32>::new(plan.copies);
        #[unroll]
        for copy in 0..plan.copies {
            sums[copy] = bias;
        }
        #[unroll]
        for i in 0..comptime!(plan.layers.inputs(layer)) {
            let weight = columns[comptime!(plan.column(layer) + i)];
            #[unroll]
            for copy in 0..plan.copies {
                sums[copy] += from[comptime!(copy * stride + i)] * weight;
            }
        }
        #[unroll]
        for copy in 0..plan.copies {
            let at = comptime!(copy * stride) + unit;
            to[at] = activated(sums[copy], comptime!(plan.layers.relu));
        }
    }
}

/// Outputs of all copies, one thread each.
#[cube]
fn output_layer(
    from: &[f32],
    head: &[f32],
    params: &[f32],
    own: usize,
    to: &mut [f32],
    unit: usize,
    #[comptime] plan: Plan,
) {
    let outputs = comptime!(plan.layers.heads());
    let mut index = unit;
    while index < comptime!(plan.copies * plan.layers.heads()) {
        let copy = index / outputs;
        let output = index % outputs;
        let mut sum = params[own + comptime!(plan.layers.bias(plan.hidden())) + output];
        for i in 0..comptime!(plan.layers.inputs(plan.hidden())) {
            sum += from[copy * comptime!(plan.stride()) + i] * head[i * outputs + output];
        }
        to[index] = sum;
        index += plan.units;
    }
}

/// Samples a categorical policy: argmax_k (z_k + Gumbel noise).
#[cube]
fn choose(logits: &[f32], place: &Place, noise: &Noise, taken: &mut Taken, #[comptime] plan: Plan) {
    let outputs = comptime!(plan.layers.heads());
    let at = place.slot * outputs;
    let mut largest = logits[at];
    #[unroll]
    for k in 1..outputs {
        largest = max(largest, logits[at + k]);
    }
    let mut sum = (logits[at] - largest).exp();
    #[unroll]
    for k in 1..outputs {
        sum += (logits[at + k] - largest).exp();
    }

    let mut words = Array::<u32>::new(4usize);
    let mut best = at;
    let mut best_score = largest;
    #[unroll]
    for k in 0..outputs {
        if comptime!(k.is_multiple_of(4)) {
            let block = comptime!(k as u32 / 4);
            words_at(&mut words, block, place, noise);
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
    taken.actions[place.entry] = f32::cast_from(best - at);
    taken.log_probs[place.entry] = logits[best] - (largest + sum.ln());
}

/// Samples a Gaussian policy: μ + σ ε.
#[cube]
fn draw(
    means: &[f32],
    params: &[f32],
    own: usize,
    place: &Place,
    noise: &Noise,
    taken: &mut Taken,
    #[comptime] plan: Plan,
) {
    let outputs = comptime!(plan.layers.heads());
    let at = place.slot * outputs;
    let mut words = Array::<u32>::new(4usize);
    let mut minus_log_prob = 0.0f32;
    #[unroll]
    for k in 0..outputs {
        if comptime!(k.is_multiple_of(2)) {
            let block = comptime!(k as u32 / 2);
            words_at(&mut words, block, place, noise);
        }
        let first = comptime!(k % 2 * 2);
        let e = normal(words[first], words[comptime!(first + 1)]);
        let log_std = params[own + comptime!(plan.layers.params(plan.layers.count) + k)];
        taken.actions[place.entry * outputs + k] = gaussian_sample(means[at + k], log_std, e);
        minus_log_prob += gaussian_cost(e, log_std);
    }
    taken.log_probs[place.entry] = -minus_log_prob;
}

/// Four random words of a step.
#[cube]
fn words_at(words: &mut Array<u32>, block: u32, place: &Place, noise: &Noise) {
    philox(
        words,
        block,
        place.copy,
        place.step,
        noise.stream,
        place.key_low,
        place.key_high,
        true,
    );
}

/// Standard Gumbel noise −ln(−ln u) from a random word, in 32 bits.
#[cube]
fn gumbel(word: u32) -> f32 {
    let u = open_uniform(word);
    -minus_ln(u, 1.0f32 - u).ln()
}
