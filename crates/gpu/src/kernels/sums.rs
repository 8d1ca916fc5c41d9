//! Sums over the threads of a cube.

use crate::layers::UNITS;
use cubecl::prelude::*;

/// Numbers that a thread has on their way from memory at a time where it reads many of them one after the other.
pub(super) const AHEAD: usize = 8;

/// The sum of `terms[0]`, .., one for each thread, in the first; a tree whose shape is always the same.
#[cube]
pub(super) fn sum_up(terms: &mut [f32]) {
    let unit = UNIT_POS as usize;
    #[unroll]
    for level in 0..comptime!(UNITS.trailing_zeros()) {
        let half = comptime!(UNITS >> (level + 1));
        sync_cube();
        if unit < half {
            terms[unit] += terms[unit + half];
        }
    }
    sync_cube();
}

/// The sum of a number of each thread, for all of them.
#[cube]
pub(super) fn total(own: f32, terms: &mut [f32]) -> f32 {
    sync_cube();
    terms[UNIT_POS as usize] = own;
    sum_up(terms);
    terms[0]
}
