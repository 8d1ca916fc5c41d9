//! `uphill train`: one run from start to end.

use crate::{
    board::Board,
    cli::{TrainArgs, Which},
    config::{self, Source},
    console::{note, print},
    device::{self, Chosen, DeviceArg, Processor, Workload},
    failure::{UsageError, has_diverged, usage},
    interrupt::{INTERRUPTED, Interrupt, STOPPING, never_begun},
    many, memory,
    place::Moved,
    run_dir::{Meta, RunDir, lock},
    score::{score, score_beside},
    session::{Session, Stopped, check_sets},
    shell::arg,
    waiting::Waiting,
};
use anyhow::{Context, bail};
use std::{iter, path::Path, process::ExitCode, sync::Arc, time::Instant};
use uphill_algos::{
    AlgoConfig, Footprint, Horizon, RunConfig, Trainer, episodes::EpisodeStats, footprint::Bytes,
};

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

/// The validated configuration to train.
pub(crate) fn configured(args: &TrainArgs, path: &str) -> anyhow::Result<Source> {
    if let Some(out) = &args.out {
        RunDir::check_free(out)?;
    }
    let mut source = config::load(path, &args.set)?;
    if let Some(seed) = args.seed {
        source.config.seed = seed;
    }
    source.check_env()?;
    Ok(source)
}

fn start(args: &TrainArgs, path: &str) -> anyhow::Result<ExitCode> {
    let Source {
        config,
        name,
        label,
    } = configured(args, path)?;
    let interrupt = Interrupt::watch(STOPPING, args.quiet)?;
    let chosen = choose(args.device.unwrap_or(DeviceArg::Auto), &config)?;
    let footprint = memory::check(&config, &chosen, 1).context(label)?;
    if !args.quiet {
        announce(&config, 1, 0, &chosen);
    }
    warn_of_long_iterations(&config);
    if args.dry_run {
        return dry_run(&config, &footprint, 1);
    }
    let building = Waiting::on(BUILDING, args.quiet);
    let trainer = Trainer::new(config, &chosen.device)?;
    drop(building);
    announce_path(&trainer, args.quiet);
    if !interrupt.begin() {
        return never_begun(args.quiet);
    }
    // The request has been fully validated: from here on, files are written.
    let run = RunDir::create(args.out.as_deref(), &name)?;
    let _lock = lock(run.path())?;
    let meta = run.begin(trainer.config(), &chosen)?;
    let session = Session::create(run, meta, trainer)?;
    run_alone(session, &chosen, args.quiet, &interrupt)
}

fn resume(args: &TrainArgs, path: &Path) -> anyhow::Result<ExitCode> {
    let run = RunDir::open(path)?;
    check_sets(&args.set)?;
    let _lock = lock(path)?;
    let interrupt = Interrupt::watch(STOPPING, args.quiet)?;
    let chosen = chosen_again(args, &run)?;
    let which = args.checkpoint.unwrap_or(Which::Latest);
    let building = Waiting::on(BUILDING, args.quiet);
    let stopped = Stopped::read(run, which, &args.set, &chosen)?;
    drop(building);
    if !interrupt.begin() {
        return never_begun(args.quiet);
    }
    if !stopped.trainer().finished() {
        if !args.quiet {
            let trainer = stopped.trainer();
            announce(trainer.config(), 1, trainer.env_steps(), &chosen);
            announce_path(trainer, args.quiet);
        }
        let session = stopped.go_on(&chosen)?;
        return run_alone(session, &chosen, args.quiet, &interrupt);
    }
    let (steps, budget) = (stopped.trainer().env_steps(), stopped.budget());
    stopped.close()?;
    if !args.quiet {
        print(format_args!(
            "{} is finished: it is at step {steps} of {budget}; to train on: \
             uphill train --resume {} --set total_steps={}",
            path.display(),
            arg(path),
            2 * budget
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The device for resuming: the requested one, or the run's own.
pub(crate) fn chosen_again(args: &TrainArgs, run: &RunDir) -> anyhow::Result<Chosen> {
    let config = config::load_file(&run.config(), &args.set)?;
    match (args.device, run.read_meta()?) {
        (Some(arg), _) => choose(arg, &config),
        (None, Some(meta)) => the_same(&meta, &config).map_err(|error| {
            UsageError(format!(
                "{}/meta.json asks for device {:?}, on which the run was trained: {error:#}; to go on with another, \
                 which rounds differently: --device flex, or one of `uphill list devices`",
                run.path().display(),
                meta.device
            ))
            .into()
        }),
        (None, None) => choose(DeviceArg::Auto, &config),
    }
}

/// The device on which a run was trained.
fn the_same(meta: &Meta, config: &RunConfig) -> anyhow::Result<Chosen> {
    choose(meta.device.parse()?, config)
}

/// The device for runs of a configuration.
pub(crate) fn choose(arg: DeviceArg, config: &RunConfig) -> anyhow::Result<Chosen> {
    let spec = uphill_envs::spec(&config.env).map_err(|e| UsageError(format!("env: {e}")))?;
    let params = Footprint::of(config, &spec)?.params;
    let work = Workload {
        params: params.try_into().unwrap_or(usize::MAX),
        minibatch: config.algo.settings().minibatch(config.num_envs),
        host_env: host_env(config)?,
    };
    device::choose(arg, &work).map_err(usage)
}

/// Whether a configuration's environments are stepped on the host whatever the device.
pub(crate) fn host_env(config: &RunConfig) -> anyhow::Result<bool> {
    let on_gpu = uphill_envs::steps_on_gpu(&config.env, config.batch_options())
        .map_err(|e| UsageError(format!("env: {e}")))?;
    Ok(!on_gpu)
}

/// Notice while trainers are built.
pub(crate) const BUILDING: &str = "building networks and environments";

/// Notice during the first iteration, if it takes long.
pub(crate) fn first_iteration(chosen: &Chosen, quiet: bool) -> Waiting {
    let what = match chosen.processor {
        Processor::Cpu => "the first iteration",
        Processor::Gpu | Processor::Software => {
            "the first iteration, in which kernels are compiled"
        }
    };
    Waiting::on(what, quiet)
}

/// Training loop of a single run.
fn run_alone(
    mut session: Session,
    chosen: &Chosen,
    quiet: bool,
    interrupt: &Interrupt,
) -> anyhow::Result<ExitCode> {
    if !quiet {
        let run = session.run().path().display();
        note(format_args!("run directory {run}"));
    }
    let before = Made::of(session.trainer());
    let waiting = first_iteration(chosen, quiet);
    let board = Board::new(iter::once(session.trainer()), waiting, quiet);
    let board = Arc::new(board);
    session.add(board.of(session.trainer()));
    let clock = Instant::now();
    session.start_clock(clock);
    while !session.trainer().finished() {
        let step = match interrupt.raised() {
            true => session.checkpoint(&mut Trainer::save).map(|()| None),
            false => session.step(interrupt.flag()),
        };
        let step = step.map_err(|error| {
            board.finish();
            with_remedy(error, session.run().path())
        })?;
        if step.is_none() {
            interrupt.await_notice();
            board.finish();
            if !quiet {
                print(format_args!(
                    "interrupted at step {}; go on with: uphill train --resume {}",
                    session.trainer().env_steps(),
                    arg(session.run().path())
                ))?;
            }
            return Ok(ExitCode::from(INTERRUPTED));
        }
    }
    board.finish();
    if !quiet {
        summarise(&session, &before, clock.elapsed().as_secs_f64())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Adds advice on resuming to an error that ended training, if that helps.
pub(crate) fn with_remedy(error: anyhow::Error, run: &Path) -> anyhow::Error {
    if has_diverged(&error) || error.chain().any(|e| e.is::<Moved>()) {
        return error;
    }
    error.context(format!(
        "stopped; go on with `uphill train --resume {}` when this is mended",
        arg(run)
    ))
}

/// Announces the training of `seeds` agents together, which have taken `env_steps` in all.
pub(crate) fn announce(config: &RunConfig, seeds: u64, env_steps: u64, chosen: &Chosen) {
    let first = config.seed;
    let (which, each) = match seeds {
        1 => (format!("seed {first}"), ""),
        _ => (format!("seeds {first} to {}", first + seeds - 1), " each"),
    };
    let copies = match config.num_envs {
        1 => "1 copy".to_owned(),
        n => format!("{n} copies"),
    };
    let going_on = match env_steps {
        0 => String::new(),
        steps => format!(", going on at {steps}"),
    };
    note(format_args!(
        "{} on {}, {copies}, {which}, {} steps{each}{going_on}",
        config.algo.name(),
        config.env,
        config.total_steps,
    ));
    note(format_args!(
        "device {}: {} ({})",
        chosen.name, chosen.adapter, chosen.reason
    ));
}

/// Warns if the first iteration is larger than the whole budget.
pub(crate) fn warn_of_long_iterations(config: &RunConfig) {
    // A3C stops at its budget.
    if matches!(config.algo, AlgoConfig::A3c(_)) {
        return;
    }
    let (copies, budget) = (config.num_envs, config.total_steps);
    if let Horizon::Steps(steps) = config.algo.settings().horizon()
        && (steps * copies) as u64 > budget
    {
        note(format_args!(
            "warning: one iteration is {} steps (algo.steps {steps} × num_envs {copies}), more than total_steps {budget}",
            steps * copies
        ));
    }
}

/// Describes a run of `agents` together without starting it.
pub(crate) fn dry_run(
    config: &RunConfig,
    footprint: &Footprint,
    agents: u64,
) -> anyhow::Result<ExitCode> {
    let budget = config.total_steps;
    match config.algo.settings().horizon() {
        Horizon::Steps(steps) => {
            let steps = steps as u64 * config.num_envs as u64;
            let count = match budget.div_ceil(steps) {
                1 => "1 iteration".to_owned(),
                n => format!("{n} iterations"),
            };
            print(format_args!("{count} of up to {steps} environment steps"))?;
        }
        Horizon::Episodes { .. } => print("iterations of whole episodes")?,
    }
    let each = if agents > 1 { ", each" } else { "" };
    print(format_args!("at least {footprint}{each}"))?;
    if let Some(available) = memory::available() {
        print(format_args!("{} can be had", Bytes(available)))?;
    }
    print("nothing was written: this was a dry run")?;
    Ok(ExitCode::SUCCESS)
}

/// Announces the reason if a run uses a slow path.
pub(crate) fn announce_path(trainer: &Trainer, quiet: bool) {
    if let Some(cause) = trainer.slower_path().filter(|_| !quiet) {
        note(cause);
    }
}

/// Amount of work that a run has done.
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

    /// Work done in `seconds` after `before`, in words; earlier work is listed separately.
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
        arg(session.run().path())
    ))
}

/// Conclusion from the last 100 episodes.
fn verdict(stats: &EpisodeStats, threshold: Option<f64>) -> String {
    let Some(mean) = stats.full_mean_return() else {
        return match stats.mean_return() {
            Some(mean) => format!(
                "mean return {} over the {} episodes there were",
                score(mean),
                stats.episodes
            ),
            None => "no episode ended".to_owned(),
        };
    };
    let shown = threshold.map_or_else(|| score(mean), |at| score_beside(mean, at));
    let result = format!("mean return {shown} over the last 100 episodes");
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
