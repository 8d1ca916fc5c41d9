//! Arguments of kernels that step environments: states, results, rules.

// The macros below generate types that are never named directly.
#![allow(missing_docs)]

#[allow(clippy::wildcard_imports)] // the vocabulary of kernels
use crate::kernel::*;

/// [`DeviceState`](super::DeviceState) in a kernel.
#[derive(CubeType, CubeLaunch)]
pub struct Copies {
    /// States `[N, S]`.
    pub states: Box<[f32]>,
    /// Clocks `[N, 3]`.
    pub clocks: Box<[i32]>,
    /// Returns so far, `[N]`.
    pub returns: Box<[f32]>,
}

/// Results of `T` steps in a kernel.
#[derive(CubeType, CubeLaunch)]
pub struct Results {
    /// Observations after autoreset, `[N, O]`.
    pub obs: Box<[f32]>,
    /// Observations before autoreset, `[T, N, O]`.
    pub next_obs: Box<[f32]>,
    /// Rewards `[T, N]`.
    pub rewards: Box<[f32]>,
    /// Returns of the episodes that ended, `[T, N]`.
    pub ended_returns: Box<[f32]>,
    /// Ends of episodes, `[T, N]`: 0 while an episode goes on, otherwise 1 + length, negative if it was truncated.
    /// Length 0 marks an episode that is not reported because it began at a random age.
    pub ends: Box<[i32]>,
}

/// [`DeviceRules`](super::DeviceRules) in a kernel.
#[derive(CubeType, CubeLaunch)]
pub struct Rules {
    /// Low half of the seed; the high half follows.
    pub key_low: u32,
    pub key_high: u32,
    /// Number of steps since the last reset; the noise repeats after 2³².
    pub step: u32,
    /// Time limit in steps; 0: none.
    pub time_limit: i32,
}
