//! Statistics of finished episodes: mean return and length, best mean, time to solve.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use uphill_core::peers::Peers;
use uphill_envs::{Episode, FinishedEpisodes};

/// Number of episodes in a mean.
pub const WINDOW: usize = 100;

/// Returns and lengths of the last [`WINDOW`] episodes, and the best mean so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpisodeStats {
    /// Number of finished episodes since the start of the run.
    pub episodes: u64,
    /// Highest mean return over a full window.
    pub best: Option<f64>,
    /// Number of environment steps when the mean over a full window first reached the environment's reward threshold.
    pub solved_at: Option<u64>,
    window: VecDeque<(f64, u32)>,
}

impl EpisodeStats {
    /// Adds the episodes that finished up to `env_steps`. Returns true if the mean return over a full window is the
    /// best so far.
    pub fn update(&mut self, finished: &[Episode], env_steps: u64, threshold: Option<f64>) -> bool {
        let finished = FinishedEpisodes {
            count: finished.len() as u64,
            last: finished.to_vec(),
        };
        self.update_finished(&finished, env_steps, threshold)
    }

    /// Equivalent of [`update`](Self::update) for the number of finished episodes and the last [`WINDOW`] of them (all,
    /// if there are fewer).
    pub fn update_finished(
        &mut self,
        finished: &FinishedEpisodes,
        env_steps: u64,
        threshold: Option<f64>,
    ) -> bool {
        self.episodes += finished.count;
        for episode in &finished.last {
            self.window
                .push_back((episode.episode_return, episode.length));
            if self.window.len() > WINDOW {
                self.window.pop_front();
            }
        }
        let Some(mean) = self.full_mean_return() else {
            return false;
        };
        if self.solved_at.is_none() && threshold.is_some_and(|t| mean >= t) {
            self.solved_at = Some(env_steps);
        }
        let improved = self.best.is_none_or(|best| mean > best);
        if improved {
            self.best = Some(mean);
        }
        improved
    }

    /// Mean return of up to [`WINDOW`] last episodes.
    pub fn mean_return(&self) -> Option<f64> {
        self.mean(|(episode_return, _)| *episode_return)
    }

    /// Mean length of up to [`WINDOW`] last episodes.
    pub fn mean_length(&self) -> Option<f64> {
        self.mean(|(_, length)| f64::from(*length))
    }

    /// Mean return over exactly [`WINDOW`] episodes; `None` before there are as many.
    pub fn full_mean_return(&self) -> Option<f64> {
        (self.window.len() == WINDOW)
            .then(|| self.mean_return())
            .flatten()
    }

    fn mean(&self, value: impl Fn(&(f64, u32)) -> f64) -> Option<f64> {
        let count = self.window.len();
        (count > 0).then(|| self.window.iter().map(value).sum::<f64>() / count as f64)
    }
}

/// The episodes that finished in all processes, in order of rank.
pub(crate) fn of_all(own: FinishedEpisodes, peers: &dyn Peers) -> FinishedEpisodes {
    if peers.size() == 1 {
        return own;
    }
    let mut all = FinishedEpisodes::default();
    for values in peers
        .gather(&own.to_values(WINDOW))
        .chunks_exact(2 + 4 * WINDOW)
    {
        let other = FinishedEpisodes::from_values(values);
        all.count += other.count;
        all.last.extend(other.last);
    }
    all
}

/// The first `count` episodes of every copy, from which a rollout of whole episodes is made.
pub(crate) fn first_of_each_copy(
    episodes: Vec<Episode>,
    count: usize,
    copies: usize,
) -> Vec<Episode> {
    let mut seen = vec![0; copies];
    let mut first = |episode: &Episode| {
        seen[episode.env] += 1;
        seen[episode.env] <= count
    };
    episodes
        .into_iter()
        .filter(|episode| first(episode))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn episodes_of(episode_return: f64, count: usize) -> Vec<Episode> {
        let episode = Episode {
            env: 0,
            episode_return,
            length: 3,
            terminated: true,
        };
        vec![episode; count]
    }

    #[test]
    fn a_full_window_is_solved_once_and_improves_when_it_is_better() {
        let mut stats = EpisodeStats::default();
        assert!(!stats.update(&episodes_of(9.0, WINDOW - 1), 10, Some(5.0)));
        assert_eq!(stats.solved_at, None);
        assert!(stats.update(&episodes_of(4.0, WINDOW), 20, Some(5.0)));
        assert_eq!((stats.best, stats.solved_at), (Some(4.0), None));
        assert!(!stats.update(&episodes_of(4.0, WINDOW), 30, Some(5.0)));
        assert!(!stats.update(&episodes_of(3.0, WINDOW), 40, Some(5.0)));
        assert!(stats.update(&episodes_of(5.0, WINDOW), 50, Some(5.0)));
        assert_eq!((stats.best, stats.solved_at), (Some(5.0), Some(50)));
        assert!(stats.update(&episodes_of(6.0, WINDOW), 60, Some(5.0)));
        assert_eq!((stats.best, stats.solved_at), (Some(6.0), Some(50)));
    }

    /// The first of two processes, whose other one has finished one more episode of return 8.
    #[derive(Debug)]
    struct First;

    impl Peers for First {
        fn rank(&self) -> usize {
            0
        }
        fn size(&self) -> usize {
            2
        }
        fn sum(&self, _: &mut [f32]) {}
        fn gather(&self, values: &[f32]) -> Vec<f32> {
            let other = FinishedEpisodes::of(episodes_of(8.0, 1), WINDOW);
            [values, &other.to_values(WINDOW)].concat()
        }
    }

    #[test]
    fn episodes_of_all_processes_are_counted() {
        let own = FinishedEpisodes::of(episodes_of(2.0, 2), WINDOW);
        let all = of_all(own, &First);
        let returns: Vec<f64> = all
            .last
            .iter()
            .map(|episode| episode.episode_return)
            .collect();
        assert_eq!((all.count, returns), (3, vec![2.0, 2.0, 8.0]));
    }

    #[test]
    fn the_last_episodes_and_their_number_are_enough() {
        let episode = |i: usize| Episode {
            env: 0,
            episode_return: (i * i % 37) as f64,
            length: i as u32,
            terminated: true,
        };
        let (mut all, mut last) = (EpisodeStats::default(), EpisodeStats::default());
        let mut from = 0;
        for count in [0, 3, 250, 0, 60, 99, 101] {
            let finished: Vec<Episode> = (from..from + count).map(episode).collect();
            from += count;
            let improved = all.update(&finished, from as u64, Some(18.0));
            let finished = FinishedEpisodes::of(finished, WINDOW);
            let found = last.update_finished(&finished, from as u64, Some(18.0));
            assert_eq!(found, improved);
            assert_eq!(last, all);
        }
        assert!(all.solved_at.is_some(), "{:?}", all.mean_return());
    }
}
