//! A step of one copy, as a kernel function.

use super::{
    random::{philox, uniform},
    slices::{Copies, Results, Rules},
};
use crate::Stream;
#[allow(clippy::wildcard_imports)] // the vocabulary of kernels
use crate::kernel::*;

/// Purpose of the numbers that start states are made of.
const RESET: u32 = Stream::Reset as u32;

/// The dynamics of one environment as kernel functions, the same ones that its
/// [`HostEnv`](crate::HostEnv) calls. States and observations of all copies lie behind one another; a function
/// is told where its own copy begins.
#[cube]
pub trait Dynamics: Send + Sync + 'static {
    /// Writes a start state at `base` from up to four numbers uniform in [0, 1).
    fn start(state: &mut [f32], base: usize, u0: f32, u1: f32, u2: f32, u3: f32);

    /// Advances the state at `base` by one step under the action at `at`; returns the reward. A real action is
    /// not yet clipped.
    fn step(state: &mut [f32], base: usize, actions: &[f32], at: usize) -> f32;

    /// Whether the state at `base` ends the episode.
    fn terminated(state: &[f32], base: usize) -> bool;

    /// Writes what the agent sees of the state at `base` to `obs`, from `at` on.
    fn observe(state: &[f32], base: usize, obs: &mut [f32], at: usize);
}

/// Widths of the rows of one copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sizes {
    /// `S`
    pub state: usize,
    /// `A`
    pub action: usize,
    /// `O`
    pub obs: usize,
}

/// One step of `copy`: dynamics, time limit, autoreset and the return so far.
///
/// `copies` and what the policy sees next are changed in place. The action is row `entry` of `actions`, and that
/// row of the rest of the results is written. Where batches with seeds of their own follow one another, `lane` is the
/// number of the copy in its batch.
#[cube]
pub fn advance<E: Dynamics>(
    copy: usize,
    lane: usize,
    entry: usize,
    copies: &mut Copies,
    actions: &[f32],
    results: &mut Results,
    rules: &Rules,
    #[comptime] sizes: Sizes,
) {
    let base = copy * sizes.state;
    let clock = copy * 3;
    let reward = E::step(&mut copies.states, base, actions, entry * sizes.action);
    E::observe(
        &copies.states,
        base,
        &mut results.next_obs,
        entry * sizes.obs,
    );
    let terminated = E::terminated(&copies.states, base);
    let age = copies.clocks[clock] + 1i32;
    let total = copies.returns[copy] + reward;
    let out_of_time = rules.time_limit > 0i32 && age >= rules.time_limit;
    results.rewards[entry] = reward;
    if terminated || out_of_time {
        let length = select(copies.clocks[clock + 1] == 0i32, age, 0i32);
        results.ends[entry] = length * 4i32 + select(terminated, 1i32, 2i32);
        results.ended_returns[entry] = total;
        let episode = copies.clocks[clock + 2] + 1i32;
        copies.clocks[clock] = 0i32;
        copies.clocks[clock + 1] = 0i32;
        copies.clocks[clock + 2] = episode;
        copies.returns[copy] = 0.0f32;
        let mut words = Array::<u32>::new(4usize);
        philox(
            &mut words,
            0u32,
            u32::cast_from(lane),
            u32::cast_from(episode),
            RESET,
            rules.key_low,
            rules.key_high,
        );
        E::start(
            &mut copies.states,
            base,
            uniform(words[0]),
            uniform(words[1]),
            uniform(words[2]),
            uniform(words[3]),
        );
    } else {
        results.ends[entry] = 0i32;
        results.ended_returns[entry] = 0.0f32;
        copies.clocks[clock] = age;
        copies.returns[copy] = total;
    }
    E::observe(&copies.states, base, &mut results.obs, copy * sizes.obs);
}

/// Takes over where a copy stood.
#[cube]
pub fn carry_over(copy: usize, old: &Copies, copies: &mut Copies, #[comptime] sizes: Sizes) {
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

/// One step of all `count` copies, one thread each.
#[cube(launch)]
pub(super) fn step_kernel<E: Dynamics>(
    old: &Copies,
    actions: &[f32],
    copies: &mut Copies,
    results: &mut Results,
    rules: &Rules,
    count: usize,
    #[comptime] sizes: Sizes,
) {
    let copy = ABSOLUTE_POS;
    if copy >= count {
        terminate!();
    }
    carry_over(copy, old, copies, sizes);
    advance::<E>(copy, copy, copy, copies, actions, results, rules, sizes);
}
