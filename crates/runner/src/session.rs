//! Session: a trainer with the files that it writes, alone or beside other runs.
//!
//! [`Session::create`] starts a run, [`Stopped::read`] reads a stopped one and [`Stopped::go_on`] resumes it;
//! [`Session::step`] is one iteration with its row and, if one is due, a checkpoint.

use crate::{
    cli::Which,
    config,
    device::Chosen,
    failure::UsageError,
    metrics_csv::{MetricsCsv, Rows},
    run_dir::{Meta, RunDir, timestamp},
    sink::{self, Row, Sink, SinkRequest},
    tensorboard::EventWriter,
};
use anyhow::{Context, bail};
use std::{
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};
use uphill_algos::{Checkpoint, Report, StepError, Trainer};

/// Maximum age of unflushed rows, for users who watch the files grow.
const FLUSH_EVERY: Duration = Duration::from_secs(2);

/// Inverse of the maximum fraction of time spent on saving, if the configuration leaves the interval open.
const SAVING_SHARE: u32 = 20;

/// Duration of an iteration from which the next one is abandoned instead of completed when the run is asked to stop.
const LONG: Duration = Duration::from_secs(1);

/// For iterations that are always completed.
static NEVER: AtomicBool = AtomicBool::new(false);

/// A trainer with the files that it writes.
pub(crate) struct Session {
    run: RunDir,
    meta: Meta,
    trainer: Trainer,
    /// Receivers of its rows, the files first.
    sinks: Vec<Box<dyn Sink>>,
    /// The best checkpoint so far, not yet written.
    best: Option<Checkpoint>,
    /// Seconds on the clock in the run's earlier sessions.
    earlier_s: f64,
    /// Start of this session's clock.
    clock: Instant,
    /// End of the previous iteration, or start of the turn.
    last: Instant,
    /// Duration of that iteration.
    took: Duration,
    /// Checkpoint before the current iteration, if that may be a long one.
    before: Option<Checkpoint>,
    flushed: Instant,
    saved: Saved,
}

/// The latest checkpoint.
struct Saved {
    iteration: u64,
    /// Time that writing it took.
    cost: Duration,
    /// Time spent on iterations since.
    worked: Duration,
}

/// A stopped run as it is on disk; nothing has been written yet.
pub(crate) struct Stopped {
    run: RunDir,
    meta: Meta,
    trainer: Trainer,
    which: Which,
    /// `None` for a run that has not begun.
    checkpoint: Option<Checkpoint>,
    rows: Rows,
    /// Step budget of the run when it was stopped.
    budget: u64,
}

impl Stopped {
    /// Reads the run, which this process has locked, and builds its trainer with `sets` applied, which may change its
    /// budget.
    pub(crate) fn read(
        run: RunDir,
        which: Which,
        sets: &[String],
        chosen: &Chosen,
    ) -> anyhow::Result<Self> {
        let budget = config::load_file(&run.config(), &[])?.total_steps;
        let config = config::load_file(&run.config(), sets)?;
        let meta = run.read_meta()?.unwrap_or_else(|| Meta::now(chosen));
        let checkpoint = match which {
            Which::Latest if run.is_unbegun() => None,
            _ => Some(run.read_checkpoint(which, &config, config::fixed_on_resume)?),
        };
        let mut trainer = Trainer::new(config, &chosen.device)?;
        if let Some(checkpoint) = &checkpoint {
            (trainer.restore(checkpoint))
                .with_context(|| run.checkpoint(which).display().to_string())?;
        }
        let total = trainer.config().total_steps;
        if trainer.finished() && total != budget {
            bail!(UsageError(format!(
                "--set total_steps={total}: the run is at step {} already; ask for more than that",
                trainer.env_steps()
            )));
        }
        let rows = Rows::read(&run.metrics(), trainer.iteration())?;
        Ok(Self {
            run,
            meta,
            trainer,
            which,
            checkpoint,
            rows,
            budget,
        })
    }

    pub(crate) fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    pub(crate) fn budget(&self) -> u64 {
        self.budget
    }

    /// Seconds on the clock of its sessions.
    pub(crate) fn wall_s(&self) -> f64 {
        self.rows.wall_s
    }

    /// Completes the files of a run that has spent its budget.
    pub(crate) fn close(mut self) -> anyhow::Result<Trainer> {
        self.go_back()?;
        if self.rows.unusable.is_none() {
            MetricsCsv::resume(&self.run.metrics(), &self.rows)?;
        }
        if self.meta.finished.is_none() {
            self.meta.finished = Some(timestamp());
            self.run.write_meta(&self.meta)?;
        }
        Ok(self.trainer)
    }

    /// Resumes the run.
    pub(crate) fn go_on(mut self, chosen: &Chosen) -> anyhow::Result<Session> {
        if self.checkpoint.is_none() {
            let meta = self.run.begin(self.trainer.config(), chosen)?;
            return Session::create(self.run, meta, self.trainer);
        }
        self.go_back()?;
        self.run.make_folders()?;
        let metrics = MetricsCsv::resume(&self.run.metrics(), &self.rows)?;
        let events = EventWriter::create(self.run.path(), Some(self.trainer.env_steps()))?;
        self.meta.resumed.push(timestamp());
        (self.meta.device, self.meta.adapter) = (chosen.name.clone(), chosen.adapter.clone());
        self.meta.finished = None;
        self.run.write_config(self.trainer.config())?;
        self.run.write_meta(&self.meta)?;
        Session::new(
            (self.run, self.meta, self.trainer),
            (metrics, events),
            self.rows.wall_s,
        )
    }

    /// Makes the best checkpoint the latest one, if the run resumes from it.
    fn go_back(&self) -> anyhow::Result<()> {
        if let (Which::Best, Some(best)) = (self.which, &self.checkpoint) {
            // Before later rows are dropped: the latest checkpoint must never be ahead of them.
            self.run.make_folders()?;
            self.run.save(Which::Latest, best)?;
        }
        Ok(())
    }
}

impl Session {
    /// Session of a run without any steps.
    pub(crate) fn create(run: RunDir, meta: Meta, trainer: Trainer) -> anyhow::Result<Self> {
        let metrics = MetricsCsv::create(&run.metrics())?;
        let events = EventWriter::create(run.path(), None)?;
        let clock = Instant::now();
        run.save(Which::Latest, &trainer.save())?;
        let mut session = Self::new((run, meta, trainer), (metrics, events), 0.0)?;
        session.saved.cost = clock.elapsed();
        Ok(session)
    }

    fn new(
        (run, meta, trainer): (RunDir, Meta, Trainer),
        (metrics, events): (MetricsCsv, EventWriter),
        earlier_s: f64,
    ) -> anyhow::Result<Self> {
        let own = sink::own(SinkRequest {
            dir: run.path(),
            config: trainer.config(),
            iteration: trainer.iteration(),
            env_steps: trainer.env_steps(),
        })?;
        let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(metrics), Box::new(events)];
        sinks.extend(own);
        let now = Instant::now();
        Ok(Self {
            saved: Saved {
                iteration: trainer.iteration(),
                cost: Duration::ZERO,
                worked: Duration::ZERO,
            },
            run,
            meta,
            trainer,
            sinks,
            best: None,
            earlier_s,
            clock: now,
            last: now,
            took: Duration::ZERO,
            before: None,
            flushed: now,
        })
    }

    /// Adds a receiver of rows.
    pub(crate) fn add(&mut self, sink: Box<dyn Sink>) {
        self.sinks.push(sink);
    }

    pub(crate) fn run(&self) -> &RunDir {
        &self.run
    }

    pub(crate) fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    pub(crate) fn trainer_mut(&mut self) -> &mut Trainer {
        &mut self.trainer
    }

    /// Starts the clock whose time the rows show.
    pub(crate) fn start_clock(&mut self, now: Instant) {
        (self.clock, self.last) = (now, now);
    }

    /// Begins a turn, so that time spent on other runs does not reduce this one's rate.
    pub(crate) fn begin_turn(&mut self) {
        self.last = Instant::now();
    }

    /// Runs one iteration and writes its row, and a checkpoint if one is due or the budget is spent.
    ///
    /// An iteration that takes long is abandoned once `stop` is set: the result is then `None`, and the latest
    /// checkpoint is the one before it. After `None`, and after an error, the session cannot be used any more.
    pub(crate) fn step(&mut self, stop: &AtomicBool) -> anyhow::Result<Option<Report>> {
        let before = self.trainer.env_steps();
        let stop = if self.can_give_up() { stop } else { &NEVER };
        match self.trainer.step_unless(stop) {
            Ok(None) => self.give_up().map(|()| None),
            Ok(Some(report)) => (self.stepped(before, Ok(report), &mut Trainer::save)).map(Some),
            Err(diverged) => (self.stepped(before, Err(diverged), &mut Trainer::save)).map(Some),
        }
    }

    /// Whether there is a state to go back to if the next iteration is abandoned: the latest checkpoint, or one made
    /// now if iterations are so long that its cost does not matter. Short iterations are completed instead.
    fn can_give_up(&mut self) -> bool {
        if self.saved.iteration == self.trainer.iteration() {
            return true;
        }
        self.before = (self.took >= LONG).then(|| self.trainer.save());
        self.before.is_some()
    }

    /// Leaves the run as it was before the current iteration.
    fn give_up(&mut self) -> anyhow::Result<()> {
        match self.before.take() {
            Some(before) => self.write(&before),
            None => Ok(()),
        }
    }

    /// Records an iteration, begun at step `before`, that has already been run; `save` makes the checkpoint after it.
    pub(crate) fn stepped(
        &mut self,
        before: u64,
        result: Result<Report, StepError>,
        save: &mut impl FnMut(&Trainer) -> Checkpoint,
    ) -> anyhow::Result<Report> {
        let report = match result {
            Ok(report) => report,
            Err(stopped) => {
                self.sync()?;
                self.write_best()?;
                let kept = self.run.checkpoint(Which::Latest);
                return Err(stopped)
                    .with_context(|| format!("stopped; {} is from before", kept.display()));
            }
        };
        let now = Instant::now();
        let took = now - self.last;
        let rate = (report.env_steps - before) as f64 / took.as_secs_f64();
        self.last = now;
        self.took = took;
        self.before = None;
        self.saved.worked += took;
        let row = Row {
            report: &report,
            wall_s: self.earlier_s + (now - self.clock).as_secs_f64(),
            env_steps_per_s: rate,
        };
        self.sinks.iter_mut().try_for_each(|sink| sink.row(&row))?;
        if now - self.flushed >= FLUSH_EVERY {
            self.sinks.iter_mut().try_for_each(|sink| sink.flush())?;
            self.flushed = now;
        }
        if report.improved {
            self.best = Some(save(&self.trainer));
        }
        if self.is_due(before) || self.trainer.finished() {
            self.checkpoint(save)?;
        }
        if self.trainer.finished() {
            self.meta.finished = Some(timestamp());
            self.run.write_meta(&self.meta)?;
        }
        Ok(report)
    }

    /// Writes the checkpoints of this moment, if that has not happened yet.
    ///
    /// The rows come first: a checkpoint must never be ahead of the metrics that led to it.
    pub(crate) fn checkpoint(
        &mut self,
        save: &mut impl FnMut(&Trainer) -> Checkpoint,
    ) -> anyhow::Result<()> {
        self.run.place().check()?;
        if self.saved.iteration == self.trainer.iteration() {
            return Ok(());
        }
        let clock = Instant::now();
        let checkpoint = save(&self.trainer);
        self.write(&checkpoint)?;
        self.saved = Saved {
            iteration: self.trainer.iteration(),
            cost: clock.elapsed(),
            worked: Duration::ZERO,
        };
        Ok(())
    }

    /// Makes a checkpoint the latest one.
    fn write(&mut self, checkpoint: &Checkpoint) -> anyhow::Result<()> {
        self.sync()?;
        self.write_best()?;
        let latest = self.run.checkpoint(Which::Latest);
        self.run.save(Which::Latest, checkpoint)?;
        tracing::info!(path = %latest.display(), env_steps = self.trainer.env_steps(), "checkpoint");
        Ok(())
    }

    /// Writes all rows down.
    fn sync(&mut self) -> anyhow::Result<()> {
        self.sinks.iter_mut().try_for_each(|sink| sink.sync())
    }

    /// Whether to save after the iteration that began at step `before`.
    fn is_due(&self, before: u64) -> bool {
        let config = self.trainer.config();
        let interval = config.checkpoint_interval();
        let asked_for = config.checkpoint_every > 0;
        let cheap = self.saved.worked >= self.saved.cost * SAVING_SHARE;
        self.trainer.env_steps() / interval > before / interval && (asked_for || cheap)
    }

    fn write_best(&mut self) -> anyhow::Result<()> {
        match self.best.take() {
            Some(best) => self.run.save(Which::Best, &best),
            None => Ok(()),
        }
    }
}

/// Rejects `--set` entries that a resumed run may not have.
pub(crate) fn check_sets(sets: &[String]) -> anyhow::Result<()> {
    for set in sets {
        let key = set.split('=').next().unwrap_or_default().trim();
        if config::fixed_on_resume(key) {
            bail!(UsageError(format!(
                "--set {set}: a resumed run may change only {}; start a new run for anything else",
                config::RESUMABLE.join(" and ")
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
