//! Terminal progress of one run or of several.

use crate::{
    progress::{self, Progress},
    sink::{Row, Sink},
    waiting::Waiting,
};
use std::{
    io::Write,
    sync::{Arc, Mutex, PoisonError},
};
use uphill_algos::{Report, Trainer};

/// Joint progress of all agents: their total steps and mean return.
pub(crate) struct Board {
    quiet: bool,
    shown: Mutex<Shown>,
}

struct Shown {
    progress: Progress,
    agents: Vec<Seen>,
    /// Present until the first iteration is over.
    waiting: Option<Waiting>,
}

/// Latest state of an agent.
struct Seen {
    seed: u64,
    env_steps: u64,
    mean_return: Option<f64>,
}

impl Board {
    /// Board for one or more agents, whose seeds differ.
    pub(crate) fn new<'a>(
        trainers: impl Iterator<Item = &'a Trainer>,
        waiting: Waiting,
        quiet: bool,
    ) -> Self {
        let (mut agents, mut total) = (vec![], 0);
        for trainer in trainers {
            total += trainer.config().total_steps;
            agents.push(Seen {
                seed: trainer.config().seed,
                env_steps: trainer.env_steps(),
                mean_return: trainer.episodes().mean_return(),
            });
        }
        let first = agents.iter().map(|agent| agent.env_steps).sum();
        Self {
            quiet,
            shown: Mutex::new(Shown {
                progress: Progress::new(total, first, quiet),
                agents,
                waiting: Some(waiting),
            }),
        }
    }

    /// Sink for the rows of one of its agents.
    pub(crate) fn of(self: &Arc<Self>, trainer: &Trainer) -> Box<dyn Sink> {
        Box::new(OfAgent {
            board: self.clone(),
            seed: trainer.config().seed,
        })
    }

    fn update(&self, seed: u64, report: &Report) {
        self.with(|shown| {
            shown.waiting = None;
            for agent in shown.agents.iter_mut().filter(|agent| agent.seed == seed) {
                (agent.env_steps, agent.mean_return) =
                    (report.env_steps, report.episode_return_mean);
            }
            let steps = shown.agents.iter().map(|agent| agent.env_steps).sum();
            let returns = shown.agents.iter().filter_map(|agent| agent.mean_return);
            let (sum, count) = returns.fold((0.0, 0), |(sum, n), mean| (sum + mean, n + 1));
            let mean = (count > 0).then(|| sum / f64::from(count));
            shown.progress.update(steps, mean);
        });
    }

    /// Prints a line above the bar. Errors are ignored.
    pub(crate) fn say(&self, line: &str) {
        if !self.quiet {
            let _ = writeln!(progress::log_writer(), "{line}");
        }
    }

    /// Replaces the bar by a last line.
    pub(crate) fn finish(&self) {
        self.with(|shown| {
            shown.waiting = None;
            shown.progress.finish();
        });
    }

    fn with(&self, act: impl FnOnce(&mut Shown)) {
        act(&mut self.shown.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Sink of one agent.
struct OfAgent {
    board: Arc<Board>,
    seed: u64,
}

impl Sink for OfAgent {
    fn row(&mut self, row: &Row<'_>) -> anyhow::Result<()> {
        self.board.update(self.seed, row.report);
        Ok(())
    }
}
