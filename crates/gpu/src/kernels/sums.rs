//! Sums over the threads of a cube.

use crate::layers::UNITS;
use cubecl::prelude::*;

/// Number of elements that a thread loads ahead when it reads many of them in sequence.
pub(super) const AHEAD: usize = 8;

/// Sums `terms`, one for each thread, into `terms[0]`, by a tree of fixed shape.
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

/// The sum of one number per thread, returned to all threads.
#[cube]
pub(super) fn total(own: f32, terms: &mut [f32]) -> f32 {
    sync_cube();
    terms[UNIT_POS as usize] = own;
    sum_up(terms);
    terms[0]
}
