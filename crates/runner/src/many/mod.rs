//! `uphill train --seeds N`: independent agents of one configuration in one process.
//!
//! ```text
//! seed-1/, seed-2/, …   one ordinary run directory per seed
//! summary.json          results of each seed, and statistics over all of them
//! lock                  held by the process that trains them
//! ```
//!
//! Nothing is shared between agents, so each is bit for bit the run that its seed produces alone. They are cheap on a
//! CPU because each agent stays on one core: small batches gain little from several cores, and there are enough agents
//! to use all cores ([`spread()`]). On a GPU every launch serves all of them ([`together()`]).

mod spread;
mod summary;
mod together;

use crate::{
    board::Board,
    cli::{TrainArgs, Which},
    config::Source,
    console::{note, print},
    device::{Chosen, DeviceArg, Processor},
    failure::has_diverged,
    interrupt::{INTERRUPTED, Interrupt, STOPPING, never_begun},
    list::table,
    memory,
    place::Place,
    run_dir::{RunDir, lock},
    session::{Session, Stopped, check_sets},
    shell::arg,
    train::{
        BUILDING, announce, announce_path, choose, chosen_again, configured, dry_run,
        first_iteration, warn_of_long_iterations, with_remedy,
    },
    waiting::Waiting,
};
use anyhow::Context;
pub(crate) use spread::{Crew, spread};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use summary::{Outcome, Summary};
use together::together;
use uphill_algos::{Report, RunConfig, Trainer};

/// Time of work on one agent before the next has its turn, so that all advance at a similar rate.
const TURN: Duration = Duration::from_millis(100);

/// Notice for agents on a GPU that cannot be trained together.
const TURNS_ON_DEVICE: &str = "these agents take turns on the device; at once it trains those of PPO with clipping \
     and without target_kl, whose networks and environment have kernels";

/// Whether a directory contains the runs of several seeds.
pub(crate) fn is_set(path: &Path) -> bool {
    Summary::path(path).is_file()
}

/// The first run in a directory of several.
pub(crate) fn first_run(set: &Path) -> Option<PathBuf> {
    let summary = is_set(set).then(|| Summary::read(set).ok()).flatten()?;
    Some(seed_dir(set, summary.seeds.first()?.seed))
}

/// Run directory of one seed.
fn seed_dir(set: &Path, seed: u64) -> PathBuf {
    set.join(format!("seed-{seed}"))
}

/// Agents with their files; those that have spent their budget are kept separately.
struct Set {
    dir: Place,
    /// Configuration of any seed.
    config: RunConfig,
    agents: Vec<Agent>,
    finished: Vec<Trainer>,
    /// Seconds on the clock in earlier sessions.
    earlier_s: f64,
}

/// One agent, and the error that stopped it, if any.
struct Agent {
    session: Session,
    error: Option<anyhow::Error>,
}

/// The configuration for its own seed and the following ones, `count` in all.
pub(crate) fn with_seeds(config: &RunConfig, count: u64) -> impl Iterator<Item = RunConfig> {
    // A valid seed is far below the maximum of u64.
    (config.seed..config.seed + count).map(|seed| RunConfig {
        seed,
        ..config.clone()
    })
}

pub(crate) fn start(args: &TrainArgs, path: &str, seeds: u64) -> anyhow::Result<ExitCode> {
    let Source {
        config,
        name,
        label,
    } = configured(args, path)?;
    let configs: Vec<RunConfig> = with_seeds(&config, seeds).collect();
    if let Some(last) = configs.last() {
        last.validate().context("--seeds")?;
    }
    let interrupt = Interrupt::watch(STOPPING, args.quiet)?;
    let chosen = choose(args.device.unwrap_or(DeviceArg::Auto), &config)?;
    let footprint = memory::check(&config, &chosen, seeds).context(label)?;
    if !args.quiet {
        announce(&config, seeds, 0, &chosen);
    }
    warn_of_long_iterations(&config);
    if args.dry_run {
        return dry_run(&config, &footprint, seeds);
    }
    let building = Waiting::on(BUILDING, args.quiet);
    let trainers = configs
        .into_iter()
        .map(|config| Ok(Trainer::new(config, &chosen.device)?))
        .collect::<anyhow::Result<Vec<_>>>()?;
    drop(building);

    announce_path(&trainers[0], args.quiet);
    if !interrupt.begin() {
        return never_begun(args.quiet);
    }
    // The request has been fully validated: from here on, files are written.
    let dir = RunDir::create(args.out.as_deref(), &name)?.place().clone();
    let _lock = lock(dir.path())?;
    let begun = |trainer: Trainer| {
        let run = RunDir::create(Some(&seed_dir(dir.path(), trainer.config().seed)), "")?;
        let meta = run.begin(trainer.config(), &chosen)?;
        Ok((run, meta, trainer))
    };
    let runs = trainers
        .into_iter()
        .map(begun)
        .collect::<anyhow::Result<Vec<_>>>()?;
    // From here on the directory is one of several runs, which can be resumed.
    let outcomes: Vec<Outcome> = (runs.iter())
        .map(|(_, _, trainer)| Outcome::of(trainer, false))
        .collect();
    let threshold = runs[0].2.spec().reward_threshold;
    Summary::of(&config, (&chosen.name, threshold), outcomes, 0.0).write(&dir)?;
    let agent = |(run, meta, trainer)| {
        Ok(Agent {
            session: Session::create(run, meta, trainer)?,
            error: None,
        })
    };
    let agents = runs
        .into_iter()
        .map(agent)
        .collect::<anyhow::Result<Vec<_>>>()?;
    let set = Set {
        dir,
        config,
        agents,
        finished: vec![],
        earlier_s: 0.0,
    };
    set.run(&chosen, args.quiet, &interrupt)
}

pub(crate) fn resume(args: &TrainArgs, path: &Path) -> anyhow::Result<ExitCode> {
    check_sets(&args.set)?;
    let _lock = lock(path)?;
    let interrupt = Interrupt::watch(STOPPING, args.quiet)?;
    let dir = Place::of(path).with_context(|| path.display().to_string())?;
    let seeds = Summary::read(path)?.seeds;
    let runs = (seeds.iter())
        .map(|of| RunDir::open(&seed_dir(path, of.seed)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let chosen = chosen_again(args, &runs[0])?;
    let which = args.checkpoint.unwrap_or(Which::Latest);
    // All are read before the first is changed.
    let stopped = |run: RunDir| {
        let context = run.path().display().to_string();
        Stopped::read(run, which, &args.set, &chosen).context(context)
    };
    let building = Waiting::on(BUILDING, args.quiet);
    let stopped = runs
        .into_iter()
        .map(stopped)
        .collect::<anyhow::Result<Vec<_>>>()?;
    drop(building);

    if !interrupt.begin() {
        return never_begun(args.quiet);
    }

    let budget = stopped[0].budget();
    let mut set = Set {
        dir,
        config: stopped[0].trainer().config().clone(),
        agents: vec![],
        finished: vec![],
        earlier_s: (stopped.iter().map(Stopped::wall_s)).fold(0.0, f64::max),
    };
    let unfinished = stopped.iter().any(|run| !run.trainer().finished());
    if unfinished && !args.quiet {
        let made = stopped.iter().map(|run| run.trainer().env_steps()).sum();
        announce(&set.config, stopped.len() as u64, made, &chosen);
        announce_path(stopped[0].trainer(), args.quiet);
    }
    for run in stopped {
        if run.trainer().finished() {
            set.finished.push(run.close()?);
        } else {
            set.agents.push(Agent {
                session: run.go_on(&chosen)?,
                error: None,
            });
        }
    }
    set.summary(&chosen, 0.0).write(&set.dir)?;
    if unfinished {
        return set.run(&chosen, args.quiet, &interrupt);
    }
    if !args.quiet {
        print(format_args!(
            "{} is finished: its {} seeds have made their {budget} steps; to train on: \
             uphill train --resume {} --set total_steps={}",
            path.display(),
            set.finished.len(),
            arg(path),
            2 * budget
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Set {
    fn run(
        mut self,
        chosen: &Chosen,
        quiet: bool,
        interrupt: &Interrupt,
    ) -> anyhow::Result<ExitCode> {
        if !quiet {
            let set = self.dir.path().display();
            note(format_args!("run directories {set}/seed-*"));
        }
        let first = self.env_steps();
        let waiting = first_iteration(chosen, quiet);
        let board = Arc::new(Board::new(self.trainers(), waiting, quiet));
        let failed = AtomicBool::new(false);
        let stop = || interrupt.raised() || failed.load(Ordering::Relaxed);

        // Other agents continue after a divergence, and stop after any other error.
        let tell = |agent: &Agent| match &agent.error {
            Some(error) if !has_diverged(error) => failed.store(true, Ordering::Relaxed),
            Some(error) => board.say(&format!("seed {}: {error:#}", agent.seed())),
            None => {}
        };

        let clock = Instant::now();
        for agent in &mut self.agents {
            let shown = board.of(agent.session.trainer());
            agent.session.add(shown);
            agent.session.start_clock(clock);
        }
        let on_cores = chosen.processor == Processor::Cpu;
        if on_cores || !together(&mut self.agents, (&stop, interrupt.flag()), &tell) {
            if !on_cores && self.agents.len() > 1 && !stop() {
                board.say(TURNS_ON_DEVICE);
            }
            let crew = Crew::new(self.agents.len(), chosen.processor);
            self.agents = spread(self.agents, crew, |agent| {
                let more = agent.turn((&stop, interrupt.flag()));
                tell(agent);
                more
            });
        }
        let seconds = clock.elapsed().as_secs_f64();
        interrupt.await_notice();
        board.finish();
        let summary = self.summary(chosen, seconds);
        summary.write(&self.dir)?;
        self.report(&summary, (first, seconds), quiet)
    }

    /// Final report and exit code.
    fn report(
        self,
        summary: &Summary,
        (first, seconds): (u64, f64),
        quiet: bool,
    ) -> anyhow::Result<ExitCode> {
        let steps = summary.env_steps;
        let stopped = self.agents.iter().any(Agent::goes_on);
        let (diverged, failed): (Vec<_>, Vec<_>) = self
            .agents
            .into_iter()
            .filter_map(|agent| Some((agent.seed(), agent.error?)))
            .partition(|(_, error)| has_diverged(error));
        if let Some((seed, error)) = failed.into_iter().next() {
            let error = error.context(format!("seed {seed}"));
            return Err(with_remedy(error, self.dir.path()));
        }
        if stopped {
            if !quiet {
                print(format_args!(
                    "interrupted at step {steps} of all seeds together; \
                     go on with: uphill train --resume {}",
                    arg(self.dir.path())
                ))?;
            }
            return Ok(ExitCode::from(INTERRUPTED));
        }
        if !quiet {
            print(table(&summary.rows()).trim_end())?;
            print(format_args!(
                "{} steps in {seconds:.1} s ({:.0} steps/s, all seeds together)",
                steps - first,
                (steps - first) as f64 / seconds.max(1e-9)
            ))?;
            print(summary.verdict())?;
            let one = seed_dir(self.dir.path(), summary.seeds[0].seed);
            print(format_args!(
                "evaluate one of them: uphill eval {}",
                arg(&one)
            ))?;
        }
        let count = diverged.len();
        match diverged.into_iter().next() {
            None => Ok(ExitCode::SUCCESS),
            Some((seed, error)) => {
                let total = summary.seeds.len();
                let context = format!("{count} of {total} seeds diverged; seed {seed}");
                Err(error.context(context))
            }
        }
    }

    fn env_steps(&self) -> u64 {
        self.trainers().map(Trainer::env_steps).sum()
    }

    fn trainers(&self) -> impl Iterator<Item = &Trainer> {
        let going = self.agents.iter().map(|agent| agent.session.trainer());
        self.finished.iter().chain(going)
    }

    /// Summary after `seconds` of this session.
    fn summary(&self, chosen: &Chosen, seconds: f64) -> Summary {
        let ended = self
            .finished
            .iter()
            .map(|trainer| Outcome::of(trainer, false));
        let going = self.agents.iter().map(|agent| {
            let diverged = agent.error.as_ref().is_some_and(has_diverged);
            Outcome::of(agent.session.trainer(), diverged)
        });
        let mut outcomes: Vec<Outcome> = ended.chain(going).collect();
        outcomes.sort_by_key(|outcome| outcome.seed);
        let threshold = self.trainers().find_map(|one| one.spec().reward_threshold);
        let on = (chosen.name.as_str(), threshold);
        Summary::of(&self.config, on, outcomes, self.earlier_s + seconds)
    }
}

impl Agent {
    fn seed(&self) -> u64 {
        self.session.trainer().config().seed
    }

    /// Whether the agent has work left.
    fn goes_on(&self) -> bool {
        self.error.is_none() && !self.session.trainer().finished()
    }

    /// Runs some iterations; returns whether there are more. On `stop` it saves; a long iteration is abandoned if
    /// `interrupted`.
    fn turn(&mut self, (stop, interrupted): (&impl Fn() -> bool, &AtomicBool)) -> bool {
        if !self.goes_on() {
            return false;
        }
        let clock = Instant::now();
        self.session.begin_turn();
        while !stop() {
            let Some(result) = self.session.step(interrupted).transpose() else {
                return false;
            };
            if !self.took(result) {
                return false;
            }
            if clock.elapsed() >= TURN {
                return true;
            }
        }
        self.error = self.session.checkpoint(&mut Trainer::save).err();
        false
    }

    /// Records the result of an iteration; returns whether there are more.
    fn took(&mut self, result: anyhow::Result<Report>) -> bool {
        self.error = result.err();
        self.goes_on()
    }
}
