//! Kernels for running moments and scaling by them, for several concatenated agents.

use super::sums::{AHEAD, total};
use crate::layers::UNITS;
use cubecl::prelude::*;
use uphill_cpu::sample::deviation;

/// Means and variances `[S, F]` after adding `samples` `[S, B, W]`, of which the first F of W = `width` columns count;
/// `old` and `new` are the fractions of earlier samples and of these. Cube (f, s) processes column f of agent s.
#[cube(launch)]
pub(super) fn merge_kernel(
    samples: &[f32],
    old_mean: &[f32],
    old_variance: &[f32],
    mean: &mut [f32],
    variance: &mut [f32],
    batch: usize,
    width: usize,
    old: f32,
    new: f32,
) {
    let mut terms = Shared::<[f32]>::new_slice(UNITS);
    let column = CUBE_POS_X as usize;
    let agent = CUBE_POS_Y as usize;
    let first = agent * batch * width + column;
    let len = f32::cast_from(batch as u32);

    let sum = part(samples, first, width, batch, 0.0f32, false);
    let sample_mean = total(sum, &mut terms) / len;
    let squares = part(samples, first, width, batch, sample_mean, true);
    let sample_variance = total(squares, &mut terms) / len;
    if UNIT_POS == 0 {
        let at = agent * CUBE_COUNT_X as usize + column;
        let delta = sample_mean - old_mean[at];
        mean[at] = old_mean[at] + delta * new;
        variance[at] = old_variance[at] * old + sample_variance * new + delta * delta * (old * new);
    }
}

/// This thread's part of Σ (x − `mean`)ᵖ over `len` numbers starting at `first`, `stride` apart, with p = 2 if
/// `squared`, else 1.
#[cube]
fn part(
    samples: &[f32],
    first: usize,
    stride: usize,
    len: usize,
    mean: f32,
    #[comptime] squared: bool,
) -> f32 {
    let mut sum = 0.0f32;
    let mut next = UNIT_POS as usize;
    while next < len {
        let mut read = Array::<f32>::new(AHEAD);
        #[unroll]
        for k in 0..AHEAD {
            // Beyond the end this reads the last one, which is excluded below.
            let at = min(next + comptime!(k * UNITS), len - 1);
            read[k] = samples[first + at * stride];
        }
        #[unroll]
        for k in 0..AHEAD {
            let mut x = read[k] - mean;
            if comptime!(squared) {
                x *= x;
            }
            sum += select(next + comptime!(k * UNITS) < len, x, 0.0f32);
        }
        next += comptime!(AHEAD * UNITS);
    }
    sum
}

/// Divides the first `features` of the columns of `x` `[S, B, W]` by their standard deviations, or by 1 if they are
/// without spread, after subtracting their means if `centred`, and clips them to ±`clip` (0: no clipping). There are
/// `total` numbers, W = `width`, B = `batch`.
#[cube(launch)]
pub(super) fn scale_kernel(
    x: &[f32],
    mean: &[f32],
    variance: &[f32],
    scaled: &mut [f32],
    total: usize,
    batch: usize,
    width: usize,
    features: usize,
    clip: f32,
    #[comptime] centred: bool,
) {
    if ABSOLUTE_POS < total {
        let column = ABSOLUTE_POS % width;
        let mut y = x[ABSOLUTE_POS];
        if column < features {
            let at = ABSOLUTE_POS / width / batch * features + column;
            if comptime!(centred) {
                y -= mean[at];
            }
            y /= deviation(mean[at], variance[at]);
            // Comparisons are false for NaN, which is thus propagated.
            if clip > 0.0f32 {
                if y > clip {
                    y = clip;
                } else if y < -clip {
                    y = -clip;
                }
            }
        }
        scaled[ABSOLUTE_POS] = y;
    }
}

/// Discounted returns so far at each step of `rewards` `[S, T, N]`, starting from those `before`, and in `after` `[S,
/// N]` those with which the next rollout starts. One thread per copy.
#[cube(launch)]
pub(super) fn discounted_kernel<B: Int>(
    rewards: &[f32],
    ended: &[B],
    before: &[f32],
    discounted: &mut [f32],
    after: &mut [f32],
    gamma: f32,
    agents: usize,
    steps: usize,
    envs: usize,
    #[define(B)] _flags: ElemType,
) {
    if ABSOLUTE_POS < agents * envs {
        let first = ABSOLUTE_POS / envs * steps * envs + ABSOLUTE_POS % envs;
        let mut sum = before[ABSOLUTE_POS];
        for t in 0..steps {
            let at = first + t * envs;
            sum = gamma * sum + rewards[at];
            discounted[at] = sum;
            sum = select(ended[at] != B::from_int(0), 0.0f32, sum);
        }
        after[ABSOLUTE_POS] = sum;
    }
}
