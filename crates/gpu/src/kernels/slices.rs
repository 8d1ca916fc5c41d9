//! Arguments of kernels that step environments: states, results, rules.

use cubecl::prelude::*;

/// [`DeviceState`](crate::envs::DeviceState) in a kernel.
#[derive(CubeType, CubeLaunch)]
pub(super) struct Copies {
    /// States `[N, S]`.
    pub states: Box<[f32]>,
    /// Clocks `[N, 3]`.
    pub clocks: Box<[i32]>,
    /// Returns so far, `[N]`.
    pub returns: Box<[f32]>,
}

/// Results of `T` steps, see [`Steps`](crate::envs::Steps).
#[derive(CubeType, CubeLaunch)]
pub(super) struct Results {
    /// Observations after autoreset, `[N, O]`.
    pub obs: Box<[f32]>,
    /// Observations before autoreset, `[T, N, O]`.
    pub next_obs: Box<[f32]>,
    /// Rewards `[T, N]`.
    pub rewards: Box<[f32]>,
    /// Returns of the episodes that ended, `[T, N]`.
    pub ended_returns: Box<[f32]>,
    /// Ends of episodes, `[T, N]`.
    pub ends: Box<[i32]>,
}

/// [`DeviceRules`](crate::envs::DeviceRules) in a kernel.
#[derive(CubeType, CubeLaunch)]
pub(super) struct Rules {
    /// Low half of the seed; the high half follows.
    pub key_low: u32,
    pub key_high: u32,
    /// Number of steps since the last reset; the noise repeats after 2³².
    pub step: u32,
    /// Time limit in steps; 0: none.
    pub time_limit: i32,
}
