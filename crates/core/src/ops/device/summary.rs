//! What is reported of a whole update, in one launch.

use super::layers::UNITS;
use super::plan::REPORTED;
use super::step::sum_up;
use cubecl::prelude::*;

/// The sum of a number of each thread, for all of them.
#[cube]
fn total(own: f32, terms: &mut [f32]) -> f32 {
    sync_cube();
    terms[UNIT_POS as usize] = own;
    sum_up(terms);
    terms[0]
}

/// Means of the columns of `reported` `[M, REPORTED]`, then the explained variance of `values` `[B]`, then the
/// norm of all parameters. One cube.
#[cube(launch)]
pub(super) fn summary_kernel(
    reported: &[f32],
    values: &[f32],
    returns: &[f32],
    actor: &[f32],
    critic: &[f32],
    summary: &mut [f32],
) {
    let mut terms = Shared::<[f32]>::new_slice(UNITS);
    let unit = UNIT_POS as usize;

    let mut of_returns = 0.0f32;
    let mut of_residuals = 0.0f32;
    let mut e = unit;
    while e < returns.len() {
        of_returns += returns[e];
        of_residuals += returns[e] - values[e];
        e += UNITS;
    }
    let len = f32::cast_from(returns.len() as u32);
    let mean = total(of_returns, &mut terms) / len;
    let residual = total(of_residuals, &mut terms) / len;
    of_returns = 0.0f32;
    of_residuals = 0.0f32;
    let mut e = unit;
    while e < returns.len() {
        let deviation = returns[e] - mean;
        of_returns += deviation * deviation;
        let deviation = returns[e] - values[e] - residual;
        of_residuals += deviation * deviation;
        e += UNITS;
    }
    let spread = total(of_returns, &mut terms);
    let unexplained = total(of_residuals, &mut terms);

    let mut squares = 0.0f32;
    let mut e = unit;
    while e < actor.len() {
        squares += actor[e] * actor[e];
        e += UNITS;
    }
    let mut e = unit;
    while e < critic.len() {
        squares += critic[e] * critic[e];
        e += UNITS;
    }
    let squares = total(squares, &mut terms);

    if unit < REPORTED {
        let rows = reported.len() / REPORTED;
        let mut sum = 0.0f32;
        for row in 0..rows {
            sum += reported[row * REPORTED + unit];
        }
        summary[unit] = sum / f32::cast_from(rows as u32);
    }
    if unit == 0 {
        summary[REPORTED] = 1.0f32 - unexplained / spread;
        summary[REPORTED + 1] = squares.sqrt();
    }
}
