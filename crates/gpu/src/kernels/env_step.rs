//! Kernel function for one step of one copy, with time limit and autoreset.

use super::{
    random::rng_at,
    slices::{Copies, Results, Rules},
};
use crate::envs::{DeviceEnv, Sizes};
use cubecl::prelude::*;
// The macro generates a module beside each function.
use uphill_cpu::kernel::bounded;
use uphill_cpu::rng::Stream;

/// Stream of the random numbers for start states.
const RESET: u32 = Stream::Reset as u32;
/// Stream of the noise in the dynamics.
const STEP: u32 = Stream::Step as u32;

/// The action at `at` as the environment receives it: real numbers are clipped to their bounds.
#[cube]
fn taken(actions: &[f32], at: usize, #[comptime] env: DeviceEnv) -> Array<f32> {
    let width = comptime!(env.sizes().action);
    let mut action = Array::<f32>::new(width);
    #[unroll]
    for i in 0..width {
        let bounds = comptime!(env.bounds(i));
        if comptime!(bounds.is_some()) {
            let low = comptime!(bounds.map_or(0.0, |bounds| bounds.0));
            let high = comptime!(bounds.map_or(0.0, |bounds| bounds.1));
            action[i] = bounded(actions[at + i], low, high);
        } else {
            action[i] = actions[at + i];
        }
    }
    action
}

/// Writes the observation of copy `copy`, whose state is among `states`, to row `row` of `obs`.
#[cube]
pub(super) fn see(
    states: &[f32],
    copy: usize,
    obs: &mut [f32],
    row: usize,
    #[comptime] env: DeviceEnv,
) {
    let sizes = comptime!(env.sizes());
    let base = copy * sizes.state;
    let at = row * sizes.obs;
    env.observe(
        &states[base..base + sizes.state],
        &mut obs[at..at + sizes.obs],
    );
    let unit = comptime!(env.unit());
    if comptime!(unit.is_some()) {
        let unit = comptime!(unit.unwrap_or(1.0));
        for i in at..at + sizes.obs {
            obs[i] *= unit;
        }
    }
}

/// Advances `copy` by one step, number `step` of its batch: dynamics, time limit, autoreset and the return so far.
///
/// `copies` and the current observations are updated in place. The action is row `entry` of `actions`, and the same row
/// of the other results is written. If batches with separate seeds are concatenated, `lane` is the number of the copy
/// within its batch.
#[cube]
#[allow(clippy::too_many_arguments)]
pub(super) fn advance(
    copy: usize,
    lane: usize,
    step: u32,
    entry: usize,
    copies: &mut Copies,
    actions: &[f32],
    results: &mut Results,
    rules: &Rules,
    #[comptime] env: DeviceEnv,
) {
    let sizes = comptime!(env.sizes());
    let base = copy * sizes.state;
    let clock = copy * 3;
    let action = taken(actions, entry * sizes.action, env);
    let mut rng = rng_at(
        rules.key_low,
        rules.key_high,
        STEP,
        step,
        u32::cast_from(lane),
    );
    let outcome = env.step(
        &mut copies.states[base..base + sizes.state],
        &action[0..sizes.action],
        &mut rng,
    );
    see(&copies.states, copy, &mut results.next_obs, entry, env);
    let age = copies.clocks[clock] + 1i32;
    let total = copies.returns[copy] + outcome.reward;
    let out_of_time = rules.time_limit > 0i32 && age >= rules.time_limit;
    results.rewards[entry] = outcome.reward;
    if outcome.terminated || out_of_time {
        let length = select(copies.clocks[clock + 1] == 0i32, age, 0i32);
        results.ends[entry] = select(outcome.terminated, 1i32 + length, -1i32 - length);
        results.ended_returns[entry] = total;
        let episode = copies.clocks[clock + 2] + 1i32;
        copies.clocks[clock] = 0i32;
        copies.clocks[clock + 1] = 0i32;
        copies.clocks[clock + 2] = episode;
        copies.returns[copy] = 0.0f32;
        let mut rng = rng_at(
            rules.key_low,
            rules.key_high,
            RESET,
            u32::cast_from(episode),
            u32::cast_from(lane),
        );
        env.reset(&mut copies.states[base..base + sizes.state], &mut rng);
    } else {
        results.ends[entry] = 0i32;
        results.ended_returns[entry] = 0.0f32;
        copies.clocks[clock] = age;
        copies.returns[copy] = total;
    }
    see(&copies.states, copy, &mut results.obs, copy, env);
}

/// Copies the state of a copy from `old` to `copies`.
#[cube]
pub(super) fn carry_over(copy: usize, old: &Copies, copies: &mut Copies, #[comptime] sizes: Sizes) {
    #[unroll]
    for i in 0..sizes.state {
        copies.states[copy * sizes.state + i] = old.states[copy * sizes.state + i];
    }
    #[unroll]
    for i in 0..3usize {
        copies.clocks[copy * 3 + i] = old.clocks[copy * 3 + i];
    }
    copies.returns[copy] = old.returns[copy];
}

/// Kernel for one step of all `count` copies, one thread each.
#[cube(launch)]
pub(super) fn step_kernel(
    old: &Copies,
    actions: &[f32],
    copies: &mut Copies,
    results: &mut Results,
    rules: &Rules,
    count: usize,
    #[comptime] env: DeviceEnv,
) {
    let copy = ABSOLUTE_POS;
    if copy >= count {
        terminate!();
    }
    carry_over(copy, old, copies, comptime!(env.sizes()));
    advance(
        copy, copy, rules.step, copy, copies, actions, results, rules, env,
    );
}
