//! What kernels that step environments read and write.

// The macros below make types that nobody calls by name.
#![allow(missing_docs)]

#[allow(clippy::wildcard_imports)] // the vocabulary of kernels
use crate::kernel::*;

/// [`DeviceState`](super::DeviceState) in a kernel.
#[derive(CubeType, CubeLaunch)]
pub struct Copies {
    /// `[N, S]`
    pub states: Box<[f32]>,
    /// `[N, 3]`
    pub clocks: Box<[i32]>,
    /// `[N]`
    pub returns: Box<[f32]>,
}

/// What `T` steps bring.
#[derive(CubeType, CubeLaunch)]
pub struct Results {
    /// `[N, O]`, what the policy sees next.
    pub obs: Box<[f32]>,
    /// `[T, N, O]`, before autoreset.
    pub next_obs: Box<[f32]>,
    /// `[T, N]`
    pub rewards: Box<[f32]>,
    /// `[T, N]`, of the episodes that ended.
    pub ended_returns: Box<[f32]>,
    /// `[T, N]`: 0 while an episode goes on, otherwise 1 + length, negative if it was truncated, with length 0 if the
    /// episode is not to be reported, because it began at a random age.
    pub ends: Box<[i32]>,
}

/// [`DeviceRules`](super::DeviceRules) in a kernel.
#[derive(CubeType, CubeLaunch)]
pub struct Rules {
    /// The halves of the seed.
    pub key_low: u32,
    pub key_high: u32,
    /// Steps since the last reset; the noise repeats after 2³².
    pub step: u32,
    /// 0: none.
    pub time_limit: i32,
}
