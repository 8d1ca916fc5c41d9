//! Kernel for the metrics of a whole update, in one launch.

use super::sums::{AHEAD, total};
use crate::layers::UNITS;
use crate::plan::reported;
use cubecl::prelude::*;

/// This thread's part of Σ (r − `mean`)ᵖ and of Σ (r − v − `residual`)ᵖ over returns r and values v `[B]`, which begin
/// at `own`, with p = 2 if `squared`, else 1.
#[cube]
fn part(
    returns: &[f32],
    values: &[f32],
    own: usize,
    batch: usize,
    mean: f32,
    residual: f32,
    #[comptime] squared: bool,
) -> Array<f32> {
    let mut sums = Array::<f32>::new(2usize);
    sums[0] = 0.0f32;
    sums[1] = 0.0f32;
    let mut first = UNIT_POS as usize;
    while first < batch {
        let mut r = Array::<f32>::new(AHEAD);
        let mut v = Array::<f32>::new(AHEAD);
        #[unroll]
        for k in 0..AHEAD {
            // Beyond the end this reads the last one, which is excluded below.
            let at = own + min(first + comptime!(k * UNITS), batch - 1);
            r[k] = returns[at];
            v[k] = values[at];
        }
        #[unroll]
        for k in 0..AHEAD {
            let inside = first + comptime!(k * UNITS) < batch;
            let mut x = r[k] - mean;
            let mut y = r[k] - v[k] - residual;
            if comptime!(squared) {
                x *= x;
                y *= y;
            }
            sums[0] += select(inside, x, 0.0f32);
            sums[1] += select(inside, y, 0.0f32);
        }
        first += comptime!(AHEAD * UNITS);
    }
    sums
}

/// Means of the columns of `rows` `[M, S, COUNT]`, then the explained variance of `values` `[S, B]` and the norm of all
/// parameters: `[S, SUMMARY]`, see [`reported`]. `steps` is M, `batch` is B. One cube per agent.
#[cube(launch)]
pub(super) fn summary_kernel(
    rows: &[f32],
    values: &[f32],
    returns: &[f32],
    actor: &[f32],
    critic: &[f32],
    summary: &mut [f32],
    steps: usize,
    batch: usize,
    actor_len: usize,
    critic_len: usize,
) {
    let mut terms = Shared::<[f32]>::new_slice(UNITS);
    let unit = UNIT_POS as usize;
    let agent = CUBE_POS_X as usize;
    let own = agent * batch;

    let len = f32::cast_from(batch as u32);
    let sums = part(returns, values, own, batch, 0.0f32, 0.0f32, false);
    let mean = total(sums[0], &mut terms) / len;
    let residual = total(sums[1], &mut terms) / len;
    let sums = part(returns, values, own, batch, mean, residual, true);
    let spread = total(sums[0], &mut terms);
    let unexplained = total(sums[1], &mut terms);

    let mut squares = 0.0f32;
    let mut e = unit;
    while e < actor_len {
        let x = actor[agent * actor_len + e];
        squares += x * x;
        e += UNITS;
    }
    let mut e = unit;
    while e < critic_len {
        let x = critic[agent * critic_len + e];
        squares += x * x;
        e += UNITS;
    }
    let squares = total(squares, &mut terms);

    let to = agent * reported::SUMMARY;
    if unit < reported::COUNT {
        let mut sum = 0.0f32;
        for step in 0..steps {
            sum += rows[(step * CUBE_COUNT_X as usize + agent) * reported::COUNT + unit];
        }
        summary[to + unit] = sum / f32::cast_from(steps as u32);
    }
    if unit == 0 {
        summary[to + reported::EXPLAINED_VARIANCE] = 1.0f32 - unexplained / spread;
        summary[to + reported::PARAM_NORM] = squares.sqrt();
    }
}
