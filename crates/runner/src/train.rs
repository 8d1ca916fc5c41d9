//! `uphill train`: the loop around the trainer, and what it writes.

use crate::{
    cli::{TrainArgs, Which},
    config,
    device::{self, Chosen, DeviceArg, Workload},
    failure::{UsageError, usage},
    metrics_csv::{MetricsCsv, Rows},
    progress::Progress,
    run_dir::{Meta, RunDir, timestamp},
    tensorboard::EventWriter,
};
use anyhow::{Context, bail};
use std::{
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use uphill_algos::{Checkpoint, Report, RunConfig, Trainer, agent_params};

/// As a shell reports a program that ended on Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;

/// How far what is on disk may lag behind for those who watch it grow.
const FLUSH_EVERY: Duration = Duration::from_secs(2);

/// Keys that a resumed run may change: they do not alter what has been learnt so far.
const RESUMABLE: [&str; 2] = ["total_steps", "checkpoint_every"];

pub(crate) fn train(args: &TrainArgs) -> anyhow::Result<ExitCode> {
    match (&args.config, &args.resume) {
        (Some(config), _) => start(args, config)?.run(args.quiet),
        (None, Some(path)) => match resume(args, path)? {
            Some(session) => session.run(args.quiet),
            None => Ok(ExitCode::SUCCESS),
        },
        (None, None) => bail!(UsageError(
            "give a configuration, or --resume RUN".to_owned()
        )),
    }
}

/// A trainer with the files it writes to.
struct Session {
    run: RunDir,
    meta: Meta,
    trainer: Trainer,
    metrics: MetricsCsv,
    events: EventWriter,
    /// Seconds on the clock of the run's earlier sessions.
    earlier_s: f64,
    device_reason: String,
}

fn start(args: &TrainArgs, path: &str) -> anyhow::Result<Session> {
    let mut source = config::load(path, &args.set)?;
    if let Some(seed) = args.seed {
        source.config.seed = seed;
        source.config.validate().context("--seed")?;
    }
    source.check_env()?;
    let config = source.config;
    let chosen = choose(args.device.unwrap_or(DeviceArg::Auto), &config)?;
    let trainer = Trainer::new(config.clone(), &chosen.device)?;

    // Everything that can be wrong with the request has been found: now leave traces.
    let run = RunDir::create(args.out.as_deref(), &source.name)?;
    let meta = Meta::now(&chosen.name, &chosen.adapter);
    run.write_config(&config)?;
    run.write_meta(&meta)?;
    let metrics = MetricsCsv::create(&run.metrics())?;
    let events = EventWriter::create(run.path(), None)?;
    trainer.save().write(&run.checkpoint(Which::Latest))?;
    Ok(Session {
        run,
        meta,
        trainer,
        metrics,
        events,
        earlier_s: 0.0,
        device_reason: chosen.reason,
    })
}

/// `None` if the run has spent its budget, which is said.
fn resume(args: &TrainArgs, path: &Path) -> anyhow::Result<Option<Session>> {
    let run = RunDir::open(path)?;
    for set in &args.set {
        let key = set.split('=').next().unwrap_or_default().trim();
        if !RESUMABLE.contains(&key) {
            bail!(UsageError(format!(
                "--set {set}: a resumed run may change only {}; start a new run for anything else",
                RESUMABLE.join(" and ")
            )));
        }
    }
    let budget = config::load_file(&run.config(), &[])?.total_steps;
    let config = config::load_file(&run.config(), &args.set)?;
    let mut meta = run.read_meta()?;
    let arg = match args.device {
        Some(arg) => arg,
        None => (meta.device.parse()).map_err(|e| anyhow::anyhow!("meta.json: {e}"))?,
    };
    let chosen = choose(arg, &config)?;
    let which = args.checkpoint.unwrap_or(Which::Latest);
    let checkpoint = run.read_checkpoint(which)?;
    let mut trainer = Trainer::new(config.clone(), &chosen.device)?;
    (trainer.restore(&checkpoint)).with_context(|| run.checkpoint(which).display().to_string())?;
    if trainer.finished() && config.total_steps != budget {
        bail!(UsageError(format!(
            "--set total_steps={}: the run is at step {} already; ask for more than that",
            config.total_steps,
            trainer.env_steps()
        )));
    }

    let rows = Rows::read(&run.metrics(), trainer.iteration())?;
    if which != Which::Latest {
        // Before later rows go: the latest checkpoint must never be ahead of them.
        checkpoint.write(&run.checkpoint(Which::Latest))?;
    }
    let metrics = MetricsCsv::resume(&run.metrics(), &rows)?;
    if trainer.finished() {
        if meta.finished.is_none() {
            meta.finished = Some(timestamp());
            run.write_meta(&meta)?;
        }
        if !args.quiet {
            say_finished(&run, trainer.env_steps(), budget);
        }
        return Ok(None);
    }
    let events = EventWriter::create(run.path(), Some(trainer.env_steps()))?;
    meta.resumed.push(timestamp());
    (meta.device, meta.adapter) = (chosen.name, chosen.adapter);
    meta.finished = None;
    run.write_config(&config)?;
    run.write_meta(&meta)?;
    Ok(Some(Session {
        run,
        meta,
        trainer,
        metrics,
        events,
        earlier_s: rows.wall_s,
        device_reason: chosen.reason,
    }))
}

fn say_finished(run: &RunDir, env_steps: u64, budget: u64) {
    let run = run.path().display();
    println!(
        "{run} is finished: it is at step {env_steps} of {budget}; to train on: \
         uphill train --resume {run} --set total_steps={}",
        2 * budget
    );
}

/// The device for the runs of a configuration.
pub(crate) fn choose(arg: DeviceArg, config: &RunConfig) -> anyhow::Result<Chosen> {
    let spec = uphill_envs::spec_with(&config.env, config.frames)
        .map_err(|e| UsageError(format!("env: {e}")))?;
    let work = Workload {
        params: agent_params(config, &spec)?,
        minibatch: config.algo.settings().minibatch(config.num_envs),
        host_env: true,
    };
    device::choose(arg, &work).map_err(usage)
}

/// A flag that the first Ctrl-C raises, for the loop to stop, saying so with `message` unless that is
/// empty; the second ends the program.
pub(crate) fn watch_for_interrupts(message: &'static str) -> anyhow::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
        if !message.is_empty() {
            eprintln!("\n{message}; Ctrl-C again stops at once");
        }
    })
    .context("installing the Ctrl-C handler")?;
    Ok(interrupted)
}

impl Session {
    fn run(mut self, quiet: bool) -> anyhow::Result<ExitCode> {
        let interrupted = watch_for_interrupts(if quiet {
            ""
        } else {
            "saving after this iteration"
        })?;
        let total = self.trainer.config().total_steps;
        let interval = self.trainer.config().checkpoint_interval();
        let first = self.trainer.env_steps();
        self.announce(quiet);
        let mut progress = Progress::new(total, first, quiet);
        let clock = Instant::now();
        let mut flushed = clock;
        let mut last_s = 0.0;
        let mut best: Option<Checkpoint> = None;

        while !self.trainer.finished() {
            let before = self.trainer.env_steps();
            let report = match self.trainer.step() {
                Ok(report) => report,
                Err(diverged) => {
                    progress.finish();
                    self.metrics.sync()?;
                    self.events.flush()?;
                    if let Some(best) = best {
                        best.write(&self.run.checkpoint(Which::Best))?;
                    }
                    let kept = self.run.checkpoint(Which::Latest);
                    return Err(diverged)
                        .with_context(|| format!("stopped; {} is from before", kept.display()));
                }
            };
            let now_s = clock.elapsed().as_secs_f64();
            let rate = (report.env_steps - before) as f64 / (now_s - last_s);
            self.log(&report, now_s, rate)?;
            last_s = now_s;
            if flushed.elapsed() >= FLUSH_EVERY {
                self.metrics.flush()?;
                self.events.flush()?;
                flushed = Instant::now();
            }
            progress.update(report.env_steps, report.episode_return_mean);
            if report.improved {
                best = Some(self.trainer.save());
            }
            let stop = interrupted.load(Ordering::Relaxed);
            let due = report.env_steps / interval > before / interval;
            if due || stop || self.trainer.finished() {
                self.checkpoint(best.take())?;
            }
            if stop && !self.trainer.finished() {
                progress.finish();
                if !quiet {
                    let run = self.run.path().display();
                    println!(
                        "interrupted at step {}; go on with: uphill train --resume {run}",
                        report.env_steps
                    );
                }
                return Ok(ExitCode::from(INTERRUPTED));
            }
        }
        progress.finish();
        self.meta.finished = Some(timestamp());
        self.run.write_meta(&self.meta)?;
        if !quiet {
            self.summarise(first, clock.elapsed().as_secs_f64());
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Metrics of one iteration that ended `now_s` after this session began and took `rate`
    /// environment steps per second.
    fn log(&mut self, report: &Report, now_s: f64, rate: f64) -> anyhow::Result<()> {
        self.metrics.write(report, self.earlier_s + now_s, rate)?;
        let step = report.env_steps;
        let common = [
            ("rollout/episode_return_mean", report.episode_return_mean),
            ("rollout/episode_length_mean", report.episode_length_mean),
            ("time/env_steps_per_s", Some(rate)),
        ];
        for (tag, value) in common {
            if let Some(value) = value {
                self.events.scalar(tag, step, value as f32)?;
            }
        }
        for (name, value) in &report.metrics.0 {
            if let Some(value) = value {
                self.events
                    .scalar(&format!("update/{name}"), step, *value as f32)?;
            }
        }
        Ok(())
    }

    /// The rows first: a checkpoint must never be ahead of the metrics that led to it.
    fn checkpoint(&mut self, best: Option<Checkpoint>) -> anyhow::Result<()> {
        self.metrics.sync()?;
        self.events.flush()?;
        if let Some(best) = best {
            best.write(&self.run.checkpoint(Which::Best))?;
        }
        let latest = self.run.checkpoint(Which::Latest);
        self.trainer.save().write(&latest)?;
        tracing::info!(path = %latest.display(), env_steps = self.trainer.env_steps(), "checkpoint");
        Ok(())
    }

    fn announce(&self, quiet: bool) {
        if quiet {
            return;
        }
        let config = self.trainer.config();
        eprintln!(
            "{} on {}, {} copies, seed {}, {} steps{}",
            config.algo.name(),
            config.env,
            config.num_envs,
            config.seed,
            config.total_steps,
            match self.trainer.env_steps() {
                0 => String::new(),
                done => format!(", going on at {done}"),
            }
        );
        eprintln!(
            "device {}: {} ({})",
            self.meta.device, self.meta.adapter, self.device_reason
        );
        eprintln!("run directory {}", self.run.path().display());
    }

    fn summarise(&self, first: u64, seconds: f64) {
        let steps = self.trainer.env_steps() - first;
        println!(
            "{steps} steps in {seconds:.1} s ({:.0} steps/s), {} episodes",
            steps as f64 / seconds.max(1e-9),
            self.trainer.episodes().episodes
        );
        println!("{}", self.verdict());
        println!("evaluate: uphill eval {}", self.run.path().display());
    }

    /// What the last 100 episodes say.
    fn verdict(&self) -> String {
        let stats = self.trainer.episodes();
        let Some(mean) = stats.full_mean_return() else {
            return match stats.mean_return() {
                Some(mean) => format!(
                    "mean return {mean:.1} over the {} episodes there were",
                    stats.episodes
                ),
                None => "no episode ended".to_owned(),
            };
        };
        let result = format!("mean return {mean:.1} over the last 100 episodes");
        match (self.trainer.spec().reward_threshold, stats.solved_at) {
            (None, _) => result,
            (Some(threshold), Some(at)) if mean >= threshold => {
                format!(
                    "solved: {result} (at least {threshold} asked for, first reached at step {at})"
                )
            }
            (Some(threshold), Some(at)) => {
                format!(
                    "not solved: {result} ({threshold} was reached at step {at} and lost again; the best checkpoint has it)"
                )
            }
            (Some(threshold), None) => format!("not solved: {result} ({threshold} asked for)"),
        }
    }
}
