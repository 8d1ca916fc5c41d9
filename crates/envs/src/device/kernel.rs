//! A step of one copy, as a kernel function.

use super::random::{philox, uniform};
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
/// `states` `[N, S]`, `clocks` `[N, 3]` and `returns` `[N]` (`DeviceState`) are changed in
/// place, and so is `obs` `[N, O]`, what the policy sees next. The action is row `entry` of `actions`, and that
/// row of `next_obs`, `rewards`, `ended_returns` and `ends` is written.
///
/// `ends` is 0 while an episode goes on. Otherwise it is 4 · length + 1 if it terminated and + 2 if it was
/// truncated, with length 0 if the episode is not to be reported, because it began at a random age.
#[cube]
#[allow(clippy::too_many_arguments)]
pub fn advance<E: Dynamics>(
    copy: usize,
    entry: usize,
    states: &mut [f32],
    clocks: &mut [i32],
    returns: &mut [f32],
    actions: &[f32],
    obs: &mut [f32],
    next_obs: &mut [f32],
    rewards: &mut [f32],
    ended_returns: &mut [f32],
    ends: &mut [i32],
    key_low: u32,
    key_high: u32,
    time_limit: i32,
    #[comptime] sizes: Sizes,
) {
    let base = copy * sizes.state;
    let clock = copy * 3;
    let reward = E::step(states, base, actions, entry * sizes.action);
    E::observe(&*states, base, next_obs, entry * sizes.obs);
    let terminated = E::terminated(&*states, base);
    let age = clocks[clock] + 1i32;
    let total = returns[copy] + reward;
    let out_of_time = time_limit > 0i32 && age >= time_limit;
    rewards[entry] = reward;
    if terminated || out_of_time {
        let length = select(clocks[clock + 1] == 0i32, age, 0i32);
        ends[entry] = length * 4i32 + select(terminated, 1i32, 2i32);
        ended_returns[entry] = total;
        let episode = clocks[clock + 2] + 1i32;
        clocks[clock] = 0i32;
        clocks[clock + 1] = 0i32;
        clocks[clock + 2] = episode;
        returns[copy] = 0.0f32;
        let mut words = Array::<u32>::new(4usize);
        philox(
            &mut words,
            0u32,
            u32::cast_from(copy),
            u32::cast_from(episode),
            RESET,
            key_low,
            key_high,
        );
        E::start(
            states,
            base,
            uniform(words[0]),
            uniform(words[1]),
            uniform(words[2]),
            uniform(words[3]),
        );
    } else {
        ends[entry] = 0i32;
        ended_returns[entry] = 0.0f32;
        clocks[clock] = age;
        returns[copy] = total;
    }
    E::observe(&*states, base, obs, copy * sizes.obs);
}

/// One step of every copy, one thread each.
#[cube(launch)]
#[allow(clippy::too_many_arguments)]
pub(super) fn step_kernel<E: Dynamics>(
    old_states: &[f32],
    old_clocks: &[i32],
    old_returns: &[f32],
    actions: &[f32],
    states: &mut [f32],
    clocks: &mut [i32],
    returns: &mut [f32],
    obs: &mut [f32],
    next_obs: &mut [f32],
    rewards: &mut [f32],
    ended_returns: &mut [f32],
    ends: &mut [i32],
    key_low: u32,
    key_high: u32,
    time_limit: i32,
    #[comptime] sizes: Sizes,
) {
    let copy = ABSOLUTE_POS;
    if copy >= old_returns.len() {
        terminate!();
    }
    #[unroll]
    for i in 0..sizes.state {
        states[copy * sizes.state + i] = old_states[copy * sizes.state + i];
    }
    #[unroll]
    for i in 0..3usize {
        clocks[copy * 3 + i] = old_clocks[copy * 3 + i];
    }
    returns[copy] = old_returns[copy];
    advance::<E>(
        copy,
        copy,
        states,
        clocks,
        returns,
        actions,
        obs,
        next_obs,
        rewards,
        ended_returns,
        ends,
        key_low,
        key_high,
        time_limit,
        sizes,
    );
}
