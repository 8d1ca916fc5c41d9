//! Log of finished episodes that are still on the device.

use burn::tensor::{Int, Tensor, Transaction};
use uphill_gpu::envs::last_episodes;

use crate::Episode;

/// Maximum number of parts of a log, each of which owns one or two buffers.
const MOST_PARTS: usize = 4096;
/// Maximum number of entries of a log, one per step of a copy: 128 MiB.
const MOST_ENTRIES: usize = 1 << 24;

/// Ends of episodes, step by step.
#[derive(Clone, Debug, Default)]
pub struct EpisodeLog {
    /// Returns of the episodes that ended, and `ends` as in [`Steps`](uphill_gpu::envs::Steps), `[T, N]` each.
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
