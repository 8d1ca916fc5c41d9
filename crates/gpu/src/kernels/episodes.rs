//! Kernel that finds the last finished episodes.

use crate::envs::COUNT_BASE;
use cubecl::prelude::*;

/// Finds the number of episodes in `entries` entries and the last `most` of them, with one cube of `units` threads for
/// each of the concatenated batches `[T, N]`.
///
/// Every thread has a range of adjacent entries. It counts the episodes that end there, learns from the other threads'
/// counts how many end later, and so finds the positions of its own in the list.
#[cube(launch)]
#[allow(clippy::needless_range_loop)] // a kernel counts where Rust would iterate
pub(super) fn last_episodes_kernel(
    ended_returns: &[f32],
    ends: &[i32],
    out: &mut [f32],
    entries: usize,
    copies: usize,
    most: u32,
    #[comptime] units: u32,
) {
    let unit = UNIT_POS as usize;
    let stretch = (entries + comptime!(units as usize - 1)) / comptime!(units as usize);
    let batch = CUBE_POS_X as usize;
    let start = batch * entries;
    let first = start + min(unit * stretch, entries);
    let end = min(first + stretch, start + entries);

    let mut counts = Shared::<[u32]>::new_slice(comptime!(units as usize));
    let mut mine = 0u32;
    for entry in first..end {
        mine += select(ends[entry].abs() > 1i32, 1u32, 0u32);
    }
    counts[unit] = mine;
    sync_cube();

    let mut total = 0u32;
    let mut later = 0u32;
    for other in 0..units {
        let count = counts[other as usize];
        total += count;
        later += select(other > UNIT_POS, count, 0u32);
    }
    let shown = min(total, most);
    let to = batch * (2 + 4 * most as usize);
    if unit == 0 {
        // A single number would not be exact beyond 2²⁴.
        out[to] = f32::cast_from(total / comptime!(COUNT_BASE as u32));
        out[to + 1] = f32::cast_from(total % comptime!(COUNT_BASE as u32));
    }
    let mut row = shown + UNIT_POS;
    while row < most {
        let at = to + 2 + 4 * row as usize;
        out[at] = 0.0f32;
        out[at + 1] = 0.0f32;
        out[at + 2] = 0.0f32;
        out[at + 3] = 0.0f32;
        row += units;
    }
    for back in first..end {
        let entry = end - 1 - (back - first);
        if ends[entry].abs() > 1i32 {
            if later < shown {
                let at = to + 2 + 4 * (shown - 1 - later) as usize;
                out[at] = f32::cast_from(entry % copies);
                out[at + 1] = ended_returns[entry];
                out[at + 2] = f32::cast_from(ends[entry].abs() - 1i32);
                out[at + 3] = select(ends[entry] > 0i32, 1.0f32, 0.0f32);
            }
            later += 1u32;
        }
    }
}
