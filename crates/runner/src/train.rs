//! `uphill train`: one run from start to end.

use crate::{
    cli::{TrainArgs, Which},
    config,
    console::{note, print},
    device::{self, Chosen, DeviceArg, Workload},
    failure::{UsageError, usage},
    many,
    progress::Progress,
    run_dir::RunDir,
    session::{Session, Stopped, check_sets},
};
use anyhow::{Context, anyhow, bail};
use std::{
    path::Path,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};
use uphill_algos::{RunConfig, Trainer, agent_params, episodes::EpisodeStats};

/// As a shell reports a program that ended on Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;

pub(crate) fn train(args: &TrainArgs) -> anyhow::Result<ExitCode> {
    match (&args.config, &args.resume) {
        (Some(config), _) => match args.seeds {
            Some(seeds) => many::start(args, config, seeds),
            None => start(args, config),
        },
        (None, Some(path)) if many::is_set(path) => many::resume(args, path),
        (None, Some(path)) => resume(args, path),
        (None, None) => bail!(UsageError(
            "give a configuration, or --resume RUN".to_owned()
        )),
    }
}

/// The configuration to train, checked, and what to call it.
pub(crate) fn configured(args: &TrainArgs, path: &str) -> anyhow::Result<(RunConfig, String)> {
    let mut source = config::load(path, &args.set)?;
    if let Some(seed) = args.seed {
        source.config.seed = seed;
        source.config.validate().context("--seed")?;
    }
    source.check_env()?;
    Ok((source.config, source.name))
}

fn start(args: &TrainArgs, path: &str) -> anyhow::Result<ExitCode> {
    let (config, name) = configured(args, path)?;
    let chosen = choose(args.device.unwrap_or(DeviceArg::Auto), &config)?;
    let trainer = Trainer::new(config, &chosen.device)?;
    // Everything that can be wrong with the request has been found: now leave traces.
    let interrupted = watch(args.quiet)?;
    let run = RunDir::create(args.out.as_deref(), &name)?;
    let meta = run.begin(trainer.config(), &chosen)?;
    let session = Session::create(run, meta, trainer)?;
    run_alone(session, &chosen, args.quiet, &interrupted)
}

fn resume(args: &TrainArgs, path: &Path) -> anyhow::Result<ExitCode> {
    let run = RunDir::open(path)?;
    check_sets(&args.set)?;
    let chosen = chosen_again(args, &run)?;
    let which = args.checkpoint.unwrap_or(Which::Latest);
    let stopped = Stopped::read(run, which, &args.set, &chosen)?;
    if !stopped.trainer().finished() {
        let interrupted = watch(args.quiet)?;
        let session = stopped.go_on(&chosen)?;
        return run_alone(session, &chosen, args.quiet, &interrupted);
    }
    let (steps, budget) = (stopped.trainer().env_steps(), stopped.budget());
    stopped.close()?;
    if !args.quiet {
        let run = path.display();
        print(format_args!(
            "{run} is finished: it is at step {steps} of {budget}; to train on: \
             uphill train --resume {run} --set total_steps={}",
            2 * budget
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The device to go on with: the one asked for, or the run's own.
pub(crate) fn chosen_again(args: &TrainArgs, run: &RunDir) -> anyhow::Result<Chosen> {
    let config = config::load_file(&run.config(), &args.set)?;
    let arg = match (args.device, run.read_meta()?) {
        (Some(arg), _) => arg,
        (None, Some(meta)) => (meta.device.parse()).map_err(|e| anyhow!("meta.json: {e}"))?,
        (None, None) => DeviceArg::Auto,
    };
    choose(arg, &config)
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
            note(format_args!("\n{message}; Ctrl-C again stops at once"));
        }
    })
    .context("installing the Ctrl-C handler")?;
    Ok(interrupted)
}

/// The same for a single run; before it writes anything, so that no Ctrl-C ends it without a word.
fn watch(quiet: bool) -> anyhow::Result<Arc<AtomicBool>> {
    watch_for_interrupts(if quiet {
        ""
    } else {
        "saving after this iteration"
    })
}

/// The loop of a single run.
fn run_alone(
    mut session: Session,
    chosen: &Chosen,
    quiet: bool,
    interrupted: &AtomicBool,
) -> anyhow::Result<ExitCode> {
    if !quiet {
        announce(&session, chosen);
    }
    let before = Made::of(session.trainer());
    let total = session.trainer().config().total_steps;
    let mut progress = Progress::new(total, before.steps, quiet);
    let clock = Instant::now();
    session.start_clock(clock);
    while !session.trainer().finished() {
        let report = session.step().inspect_err(|_| progress.finish())?;
        progress.update(report.env_steps, report.episode_return_mean);
        if interrupted.load(Ordering::Relaxed) && !session.trainer().finished() {
            session.checkpoint()?;
            progress.finish();
            if !quiet {
                let run = session.run().path().display();
                print(format_args!(
                    "interrupted at step {}; go on with: uphill train --resume {run}",
                    report.env_steps
                ))?;
            }
            return Ok(ExitCode::from(INTERRUPTED));
        }
    }
    progress.finish();
    if !quiet {
        summarise(&session, &before, clock.elapsed().as_secs_f64())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn announce(session: &Session, chosen: &Chosen) {
    let config = session.trainer().config();
    note(format_args!(
        "{} on {}, {} copies, seed {}, {} steps{}",
        config.algo.name(),
        config.env,
        config.num_envs,
        config.seed,
        config.total_steps,
        going_on(session.trainer().env_steps())
    ));
    announce_device(chosen);
    note(format_args!(
        "run directory {}",
        session.run().path().display()
    ));
}

pub(crate) fn going_on(env_steps: u64) -> String {
    match env_steps {
        0 => String::new(),
        steps => format!(", going on at {steps}"),
    }
}

pub(crate) fn announce_device(chosen: &Chosen) {
    note(format_args!(
        "device {}: {} ({})",
        chosen.name, chosen.adapter, chosen.reason
    ));
}

/// What a run has made so far.
struct Made {
    steps: u64,
    episodes: u64,
}

impl Made {
    fn of(trainer: &Trainer) -> Self {
        Self {
            steps: trainer.env_steps(),
            episodes: trainer.episodes().episodes,
        }
    }

    /// In `seconds`, after what had been made `before`, which is told apart.
    fn in_words(&self, before: &Self, seconds: f64) -> String {
        let steps = self.steps - before.steps;
        let rate = steps as f64 / seconds.max(1e-9);
        let episodes = self.episodes - before.episodes;
        let now =
            format!("{steps} steps in {seconds:.1} s ({rate:.0} steps/s), {episodes} episodes");
        match before.steps {
            0 => now,
            _ => format!(
                "{now}; {} steps and {} episodes with those from before",
                self.steps, self.episodes
            ),
        }
    }
}

fn summarise(session: &Session, before: &Made, seconds: f64) -> anyhow::Result<()> {
    let trainer = session.trainer();
    print(Made::of(trainer).in_words(before, seconds))?;
    let threshold = trainer.spec().reward_threshold;
    print(verdict(trainer.episodes(), threshold))?;
    print(format_args!(
        "evaluate: uphill eval {}",
        session.run().path().display()
    ))
}

/// What the last 100 episodes say.
fn verdict(stats: &EpisodeStats, threshold: Option<f64>) -> String {
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
    match (threshold, stats.solved_at) {
        (None, _) => result,
        (Some(threshold), Some(at)) if mean >= threshold => {
            format!("solved: {result} (at least {threshold} asked for, first reached at step {at})")
        }
        (Some(threshold), Some(at)) => {
            format!(
                "not solved: {result} ({threshold} was reached at step {at} and lost again; the best checkpoint has it)"
            )
        }
        (Some(threshold), None) => format!("not solved: {result} ({threshold} asked for)"),
    }
}
