//! `summary.json`: results of each seed, and statistics over all of them.

use crate::{
    place::Place,
    score::{score, score_beside},
    stats::Sample,
};
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};
use uphill_algos::{RunConfig, Trainer, checkpoint::write_atomically};

/// Results of several seeds of one configuration. The file exists from the start, which marks the directory as one of
/// several runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Summary {
    pub(super) algo: String,
    pub(super) env: String,
    /// Step budget of each seed.
    pub(super) total_steps: u64,
    /// Mean return over 100 episodes at which the environment counts as solved.
    pub(super) reward_threshold: Option<f64>,
    /// Device name, as `--device` takes it.
    pub(super) device: String,
    /// Duration of the whole loop in seconds, over all sessions.
    pub(super) wall_s: f64,
    /// Environment steps of all seeds together.
    pub(super) env_steps: u64,
    /// Mean over seeds of their final returns, without diverged ones.
    pub(super) return_mean: Option<f64>,
    /// Its 95 % confidence interval (Student's t), for at least two seeds.
    pub(super) return_ci95: Option<[f64; 2]>,
    /// Number of seeds whose mean return over 100 episodes was at the threshold at the end.
    pub(super) solved: Option<usize>,
    /// Median, over the seeds that reached the threshold, of the environment step at which they first did.
    pub(super) solved_at_median: Option<f64>,
    pub(super) diverged: usize,
    pub(super) seeds: Vec<Outcome>,
}

/// Results of one seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) seed: u64,
    pub(super) state: State,
    pub(super) env_steps: u64,
    pub(super) episodes: u64,
    /// Mean return of the last 100 training episodes, or of all if there were fewer; `None` for a run that diverged.
    pub(super) final_return: Option<f64>,
    /// Whether that mean is over 100 episodes and at the threshold; `None` without a threshold.
    pub(super) solved: Option<bool>,
    /// Environment step at which the mean over 100 episodes first reached the threshold.
    pub(super) solved_at: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    Unfinished,
    Finished,
    Diverged,
}

impl Outcome {
    pub(super) fn of(trainer: &Trainer, diverged: bool) -> Self {
        let stats = trainer.episodes();
        let solved = trainer.spec().reward_threshold.map(|threshold| {
            let mean = stats.full_mean_return();
            !diverged && mean.is_some_and(|mean| mean >= threshold)
        });
        Self {
            seed: trainer.config().seed,
            state: match trainer.finished() {
                _ if diverged => State::Diverged,
                true => State::Finished,
                false => State::Unfinished,
            },
            env_steps: trainer.env_steps(),
            episodes: stats.episodes,
            final_return: stats.mean_return().filter(|_| !diverged),
            solved,
            solved_at: stats.solved_at,
        }
    }
}

impl Summary {
    /// Summary of at least one seed; `config` is the configuration of any of them.
    pub(super) fn of(
        config: &RunConfig,
        (device, reward_threshold): (&str, Option<f64>),
        seeds: Vec<Outcome>,
        wall_s: f64,
    ) -> Self {
        let returns: Sample = seeds.iter().filter_map(|seed| seed.final_return).collect();
        let mean = returns.mean();
        let interval = mean.zip(returns.interval());
        let count = |which: fn(&Outcome) -> bool| seeds.iter().filter(|seed| which(seed)).count();
        Self {
            algo: config.algo.name().to_owned(),
            env: config.env.to_string(),
            total_steps: config.total_steps,
            reward_threshold,
            device: device.to_owned(),
            wall_s,
            env_steps: seeds.iter().map(|seed| seed.env_steps).sum(),
            return_mean: mean,
            return_ci95: interval.map(|(mean, half)| [mean - half, mean + half]),
            solved: reward_threshold.map(|_| count(|seed| seed.solved == Some(true))),
            solved_at_median: median(seeds.iter().filter_map(|seed| seed.solved_at)),
            diverged: count(|seed| seed.state == State::Diverged),
            seeds,
        }
    }

    pub(super) fn path(dir: &Path) -> PathBuf {
        dir.join("summary.json")
    }

    pub(super) fn read(dir: &Path) -> anyhow::Result<Self> {
        let path = Self::path(dir);
        let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Writes the summary into the directory, which must still be in its place.
    pub(super) fn write(&self, dir: &Place) -> anyhow::Result<()> {
        let path = Self::path(dir.path());
        let mut text = serde_json::to_string_pretty(self).context("writing the summary")?;
        text.push('\n');
        dir.when_there(|| {
            write_atomically(&path, text.as_bytes())
                .with_context(|| format!("writing {}", path.display()))
        })
    }

    /// One row per seed below a heading.
    pub(super) fn rows(&self) -> Vec<Vec<String>> {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let heading = ["seed", "return", "first solved at step", "env steps", ""];
        let shown = |mean| match self.reward_threshold {
            Some(threshold) => score_beside(mean, threshold),
            None => score(mean),
        };
        let row = |seed: &Outcome| {
            let remark = match seed.state {
                State::Diverged => "diverged",
                State::Unfinished => "unfinished",
                State::Finished if seed.solved == Some(true) => "solved",
                State::Finished => "",
            };
            vec![
                seed.seed.to_string(),
                or_dash(seed.final_return.map(shown)),
                or_dash(seed.solved_at.map(|step| step.to_string())),
                seed.env_steps.to_string(),
                remark.to_owned(),
            ]
        };
        let heading = heading.map(str::to_owned).to_vec();
        std::iter::once(heading)
            .chain(self.seeds.iter().map(row))
            .collect()
    }

    /// Summary of all seeds in one sentence.
    pub(super) fn verdict(&self) -> String {
        let total = self.seeds.len();
        let mut parts = vec![];
        match (self.return_mean, self.return_ci95) {
            (None, _) => parts.push("no episode ended".to_owned()),
            (Some(mean), None) => parts.push(format!("mean final return {}", score(mean))),
            (Some(mean), Some([low, high])) => parts.push(format!(
                "mean final return {}, 95 % confidence interval {} to {}",
                score(mean),
                score(low),
                score(high)
            )),
        }
        if let Some((solved, threshold)) = self.solved.zip(self.reward_threshold) {
            parts.push(format!("{solved} of {total} solved (at least {threshold})"));
        }
        if let Some(step) = self.solved_at_median {
            parts.push(format!("first at step {step:.0} (median)"));
        }
        if self.diverged > 0 {
            parts.push(format!("{} diverged", self.diverged));
        }
        let seeds = if total == 1 { "seed" } else { "seeds" };
        format!("{total} {seeds}: {}", parts.join("; "))
    }
}

fn median(values: impl Iterator<Item = u64>) -> Option<f64> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    let middle = values.len() / 2;
    let upper = *values.get(middle)? as f64;
    match values.len() % 2 {
        1 => Some(upper),
        _ => Some((values[middle - 1] as f64 + upper) / 2.0),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use uphill_algos::ppo::PpoConfig;

    fn outcome(seed: u64, final_return: Option<f64>, solved_at: Option<u64>) -> Outcome {
        Outcome {
            seed,
            state: match final_return {
                Some(_) => State::Finished,
                None => State::Diverged,
            },
            env_steps: 1000,
            episodes: 100,
            final_return,
            solved: Some(final_return.is_some_and(|mean| mean >= 475.0)),
            solved_at,
        }
    }

    fn summary(seeds: Vec<Outcome>) -> Summary {
        let config = RunConfig::new("CartPole-v1", 8, 1000, PpoConfig::default().into());
        Summary::of(&config, ("flex", Some(475.0)), seeds, 2.5)
    }

    #[test]
    fn by_hand() {
        let summary = summary(vec![
            outcome(3, Some(500.0), Some(700)),
            outcome(4, Some(490.0), Some(400)),
            outcome(5, Some(460.0), Some(500)),
            outcome(6, Some(470.0), None),
            outcome(7, None, Some(900)),
        ]);
        // Mean 480 of the four that ended; squares 400 + 100 + 400 + 100 = 1000, s² = 1000 / 3, s² / 4 = 83.33, whose
        // root is 9.12871, t(3) = 3.182.
        assert_eq!(summary.return_mean, Some(480.0));
        let [low, high] = summary.return_ci95.unwrap();
        assert!((low - 450.952_45).abs() < 1e-4 && (high - 509.047_55).abs() < 1e-4);
        assert_eq!((summary.solved, summary.diverged), (Some(2), 1));
        // Of 400, 500, 700, 900.
        assert_eq!(summary.solved_at_median, Some(600.0));
        assert_eq!(summary.env_steps, 5000);
        assert_eq!(
            summary.verdict(),
            "5 seeds: mean final return 480.0, 95 % confidence interval 451.0 to 509.0; \
             2 of 5 solved (at least 475); first at step 600 (median); 1 diverged"
        );
        assert_eq!(summary.rows()[5], ["7", "-", "900", "1000", "diverged"]);
    }

    #[test]
    fn one_seed_has_no_interval_and_none_may_have_solved_it() {
        let summary = summary(vec![outcome(1, Some(20.0), None)]);
        assert_eq!(summary.return_ci95, None);
        assert_eq!(
            summary.verdict(),
            "1 seed: mean final return 20.0; 0 of 1 solved (at least 475)"
        );
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let written = summary(vec![
            outcome(1, Some(20.25), None),
            outcome(2, None, Some(7)),
        ]);
        let place = Place::of(folder.path()).unwrap();
        written.write(&place).unwrap();
        assert_eq!(Summary::read(folder.path()).unwrap(), written);
    }
}
