//! Kernels for recurrences along time: one thread per copy, from the last step to the first.

use cubecl::prelude::*;

/// y_t = x_t + d_t · y_{t+1} for `[T, N]`.
#[cube(launch)]
pub(super) fn scan_kernel(x: &[f32], decay: &[f32], y: &mut [f32], steps: u32, envs: u32) {
    let env = ABSOLUTE_POS;
    if env < envs as usize {
        let mut later = 0.0f32;
        for back in 0..steps {
            let at = (steps - 1u32 - back) as usize * envs as usize + env;
            later = x[at] + decay[at] * later;
            y[at] = later;
        }
    }
}

/// Generalised advantages, and their sums with V(s_t), for `[S, T, N]`.
#[cube(launch)]
pub(super) fn gae_kernel<B: Int>(
    rewards: &[f32],
    values: &[f32],
    next_values: &[f32],
    terminated: &[B],
    truncated: &[B],
    advantages: &mut [f32],
    returns: &mut [f32],
    gamma: f32,
    decay: f32,
    agents: u32,
    steps: u32,
    envs: u32,
    #[define(B)] _flags: ElemType,
) {
    let agent = ABSOLUTE_POS / envs as usize;
    let env = ABSOLUTE_POS % envs as usize;
    if agent < agents as usize {
        let first = agent * (steps * envs) as usize + env;
        let mut later = 0.0f32;
        for back in 0..steps {
            let at = first + ((steps - 1u32 - back) * envs) as usize;
            let value = values[at];
            let terminal = terminated[at] != B::from_int(0);
            let ended = terminal || truncated[at] != B::from_int(0);
            let next = select(terminal, 0.0f32, next_values[at]);
            let residual = rewards[at] + gamma * next - value;
            later = residual + select(ended, 0.0f32, decay) * later;
            advantages[at] = later;
            returns[at] = later + value;
        }
    }
}
