//! Finished episodes for statistics: their number and the last few.

use burn::tensor::Tensor;
use uphill_gpu::envs::COUNT_BASE;

use crate::Episode;

/// Number of finished episodes, and the last of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FinishedEpisodes {
    /// Number of episodes.
    pub count: u64,
    /// The last episodes, ordered by step, then by copy.
    pub last: Vec<Episode>,
}

/// [`FinishedEpisodes`] on the host, or still on the device.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // there is one of these at a time
pub enum Finished {
    /// Episodes on the host.
    Host(FinishedEpisodes),
    /// Tensor on the device, `[2 + 4 M]` for the last `M` episodes: the number of all episodes, in two digits to the
    /// base 65,536, then (copy, return, length, whether terminated) of each of the last, oldest first; unused rows come
    /// last and are meaningless. [`FinishedEpisodes::from_values`] decodes it.
    Device(Tensor<1>),
}

impl FinishedEpisodes {
    /// The number of these episodes, and the last `most` of them.
    #[must_use]
    pub fn of(mut episodes: Vec<Episode>, most: usize) -> Self {
        let count = episodes.len();
        Self {
            count: count as u64,
            last: episodes.split_off(count.saturating_sub(most)),
        }
    }

    /// Decodes the numbers of [`Finished::Device`], `[2 + 4 M]`.
    #[must_use]
    pub fn from_values(values: &[f32]) -> Self {
        let [high, low, rows @ ..] = values else {
            return Self::default();
        };
        let count = *high as u64 * COUNT_BASE + *low as u64;
        let episode = |row: &[f32]| Episode {
            env: row[0] as usize,
            episode_return: row[1].into(),
            length: row[2] as u32,
            terminated: row[3] != 0.0,
        };
        let rows = rows.chunks_exact(4).take(count as usize);
        Self {
            count,
            last: rows.map(episode).collect(),
        }
    }

    /// The inverse of [`from_values`](Self::from_values), `[2 + 4 most]`, with the last `most` episodes.
    #[must_use]
    pub fn to_values(&self, most: usize) -> Vec<f32> {
        let mut values = Vec::with_capacity(2 + 4 * most);
        values.extend([self.count / COUNT_BASE, self.count % COUNT_BASE].map(|digit| digit as f32));
        let first = self.last.len().saturating_sub(most);
        for episode in &self.last[first..] {
            values.extend([
                episode.env as f32,
                episode.episode_return as f32,
                episode.length as f32,
                f32::from(u8::from(episode.terminated)),
            ]);
        }
        values.resize(2 + 4 * most, 0.0);
        values
    }
}

impl Finished {
    /// The number of these episodes, and the last `most` of them.
    #[must_use]
    pub fn of(episodes: Vec<Episode>, most: usize) -> Self {
        Self::Host(FinishedEpisodes::of(episodes, most))
    }

    /// Reads episodes that are still on a device.
    #[must_use]
    pub fn read(self) -> FinishedEpisodes {
        match self {
            Self::Host(episodes) => episodes,
            Self::Device(tensor) => {
                let values: Vec<f32> = tensor.into_data().iter().collect();
                FinishedEpisodes::from_values(&values)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_beyond_the_count_mean_nothing() {
        let values = [
            0.0, 2.0, 5.0, -1.5, 7.0, 1.0, 0.0, 2.0, 8.0, 0.0, 9.0, 9.0, 9.0, 9.0,
        ];
        let found = FinishedEpisodes::from_values(&values);
        let episode = |env, episode_return, length, terminated| Episode {
            env,
            episode_return,
            length,
            terminated,
        };
        let last = vec![episode(5, -1.5, 7, true), episode(0, 2.0, 8, false)];
        assert_eq!(found, FinishedEpisodes { count: 2, last });
    }

    #[test]
    fn large_numbers_of_episodes_are_exact() {
        // 2²⁴ + 1 is no 32-bit float.
        assert_eq!(
            FinishedEpisodes::from_values(&[256.0, 1.0]).count,
            16_777_217
        );
    }

    #[test]
    fn episodes_as_numbers_are_two_digits_and_four_numbers_each() {
        let episode = |env, terminated| Episode {
            env,
            episode_return: 0.5 * env as f64,
            length: 7,
            terminated,
        };
        let found = FinishedEpisodes {
            count: 3 * COUNT_BASE + 5,
            last: vec![episode(4, true), episode(9, false)],
        };
        let all = [
            3.0, 5.0, 4.0, 2.0, 7.0, 1.0, 9.0, 4.5, 7.0, 0.0, 0.0, 0.0, 0.0, 0.0,
        ];
        assert_eq!(found.to_values(3), all);
        // With less room the last are kept.
        assert_eq!(found.to_values(1), [&all[..2], &all[6..10]].concat());
        assert_eq!(FinishedEpisodes::from_values(&found.to_values(2)), found);
    }

    #[test]
    fn the_last_episodes_are_kept() {
        let episode = |env| Episode {
            env,
            episode_return: 1.0,
            length: 1,
            terminated: true,
        };
        let found = FinishedEpisodes::of((0..5).map(episode).collect(), 2);
        assert_eq!((found.count, found.last), (5, vec![episode(3), episode(4)]));
    }
}
