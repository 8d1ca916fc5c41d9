//! Log of finished episodes that are still on the device.

use burn::backend::Dispatch;
use burn::tensor::{Int, Tensor, Transaction};

use super::ops::EnvOps;
#[allow(clippy::wildcard_imports)] // the vocabulary of kernels
use crate::kernel::*;
use crate::{Episode, finished::COUNT_BASE};

/// Maximum number of parts of a log, each of which owns one or two buffers.
const MOST_PARTS: usize = 4096;
/// Maximum number of entries of a log, one per step of a copy: 128 MiB.
const MOST_ENTRIES: usize = 1 << 24;

/// Ends of episodes, step by step.
#[derive(Clone, Debug, Default)]
pub struct EpisodeLog {
    /// Returns of the episodes that ended, and `ends` as in [`Results`](super::Results), `[T, N]` each.
    parts: Vec<(Tensor<2>, Tensor<2, Int>)>,
}

impl EpisodeLog {
    /// Appends the next steps.
    pub fn push(&mut self, ended_returns: Tensor<2>, ends: Tensor<2, Int>) {
        self.parts.push((ended_returns, ends));
    }

    /// Whether the log is so long that it should be read, if nobody takes the episodes.
    pub(super) fn is_long(&self) -> bool {
        let entries: usize = self
            .parts
            .iter()
            .map(|(_, ends)| ends.shape().num_elements())
            .sum();
        self.parts.len() >= MOST_PARTS || entries >= MOST_ENTRIES
    }

    /// Concatenates all steps.
    fn joined(self) -> Option<(Tensor<2>, Tensor<2, Int>)> {
        if self.parts.len() == 1 {
            return self.parts.into_iter().next();
        }
        let (returns, ends): (Vec<_>, Vec<_>) = self.parts.into_iter().unzip();
        (!returns.is_empty()).then(|| (Tensor::cat(returns, 0), Tensor::cat(ends, 0)))
    }

    /// All episodes, read back at once.
    #[must_use]
    pub fn read(self) -> Vec<Episode> {
        let Some((returns, ends)) = self.joined() else {
            return vec![];
        };
        let [_, copies] = ends.dims();
        let read = Transaction::default().register(returns).register(ends);
        let [returns, ends]: [_; 2] = read
            .execute()
            .try_into()
            .unwrap_or_else(|_| unreachable!("two tensors were registered"));
        let ends = returns.iter::<f32>().zip(ends.iter::<i32>());
        let ends = ends.enumerate().filter(|(_, (_, end))| end.abs() > 1);
        ends.map(|(entry, (episode_return, end))| Episode {
            env: entry % copies,
            episode_return: episode_return.into(),
            length: end.unsigned_abs() - 1,
            terminated: end > 0,
        })
        .collect()
    }

    /// [`Finished::Device`](crate::Finished::Device) for the last `most` episodes; `None` without steps.
    #[must_use]
    pub fn last(self, most: usize) -> Option<Tensor<1>> {
        let (returns, ends) = self.joined()?;
        Some(last_episodes(returns, ends, most, 1))
    }
}

/// [`Finished::Device`](crate::Finished::Device) for the last `most` episodes of each of `batches` `S` concatenated
/// batches, `[S·(2 + 4 M)]`, from `ended_returns` and `ends` `[S·T, N]` as described at [`Results`](super::Results).
#[must_use]
pub fn last_episodes(
    ended_returns: Tensor<2>,
    ends: Tensor<2, Int>,
    most: usize,
    batches: usize,
) -> Tensor<1> {
    let (ended_returns, ends) = (ended_returns.into_dispatch(), ends.into_dispatch());
    Tensor::from_dispatch(Dispatch::last_episodes(ended_returns, ends, most, batches))
}

/// Finds the number of episodes in a log and the last `most` of them, with one cube of `units` threads for each of the
/// concatenated batches `[T, N]`.
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
