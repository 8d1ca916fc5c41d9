//! `uphill ablate`: comparison of variants of one configuration.
//!
//! The built-in variants measure the effect of PPO's code-level optimisations, after Engstrom et al.
//! (arXiv:2005.12729).
//!
//! ```text
//! ablation.csv   one row per run, written as soon as it ends
//! ppo.toml, …    configuration of each variant, for `uphill train`
//! ```

mod report;
mod rows;
mod variants;

use crate::{
    cli::AblateArgs,
    config,
    console::{note, print},
    device::{Chosen, DeviceArg},
    failure::{UsageError, usage},
    interrupt::{INTERRUPTED, Interrupt, never_begun},
    list::table,
    many::{Crew, spread},
    memory,
    run_dir::RunDir,
    score::score,
    shell::arg,
    train::{BUILDING, choose},
    waiting::Waiting,
};
use anyhow::{Context, bail};
use rows::{Row, Rows};
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};
use uphill_algos::{RunConfig, Trainer, checkpoint::write_atomically};
use variants::{Variant, Variants};

/// File with the rows of an ablation, in its directory.
const ROWS: &str = "ablation.csv";

/// A variant with its configuration; each run sets its own seed.
type Configured<'a> = (&'a Variant, RunConfig);

pub(crate) fn ablate(args: &AblateArgs) -> anyhow::Result<ExitCode> {
    let source = config::load(&args.config, &args.set)?;
    let mut base = source.config;
    if let Some(steps) = args.total_steps {
        base.total_steps = steps;
    }
    // Each run has its own seed.
    base.seed = 1;
    let of_file = Variants::load(args.changes.as_deref())?;
    let from = match &args.changes {
        None => args.config.clone(),
        Some(file) => format!("{}: {}", args.config, file.display()),
    };
    let variants = (of_file.chosen(&args.variants)?.into_iter())
        .map(|variant| {
            let config = of_file.config(variant, &base);
            let config = config.with_context(|| format!("{from}: variant {}", variant.name));
            Ok((variant, config.map_err(usage)?))
        })
        .collect::<anyhow::Result<Vec<Configured>>>()?;
    let interrupt = Interrupt::watch("stopping; runs that have ended are kept", false)?;
    let chosen = choose(args.device.unwrap_or(DeviceArg::Auto), &base)?;
    // Remaining configuration errors show when the trainer is built.
    let building = Waiting::on(BUILDING, args.json);
    for (_, config) in &variants {
        memory::check(config, &chosen, 1).context(args.config.clone())?;
        Trainer::new(config.clone(), &chosen.device)?;
    }
    drop(building);

    if !interrupt.begin() {
        return never_begun(false);
    }
    let dir = open_dir(args.out.as_deref(), &source.name, &variants)?;
    let mut rows = Rows::open(&dir.join(ROWS))?;
    note(format_args!(
        "{} variants × {} seeds of {} steps on {}, device {}: {} ({})",
        variants.len(),
        args.seeds,
        base.total_steps,
        base.env,
        chosen.name,
        chosen.adapter,
        chosen.reason
    ));
    note(format_args!("directory {}", dir.display()));

    let ended = run_all(&variants, args.seeds, &chosen, &mut rows, &interrupt)?;
    if !ended {
        interrupt.await_notice();
        print(format_args!(
            "interrupted; the same command with --out {} does the runs that are missing",
            arg(&dir)
        ))?;
        return Ok(ExitCode::from(INTERRUPTED));
    }
    // Rows are in the order in which runs ended, on which the report must not depend.
    rows.rows.sort_by_key(|row| row.seed);
    show(args, &base, &dir, (&of_file, &variants), &rows.rows)?;
    Ok(ExitCode::SUCCESS)
}

/// Opens a new directory with the variants' configurations, or an existing one with the same configurations.
fn open_dir(
    out: Option<&Path>,
    name: &str,
    variants: &[Configured<'_>],
) -> anyhow::Result<PathBuf> {
    let dir = match out {
        None => RunDir::create(None, &format!("ablate-{name}"))?
            .path()
            .to_owned(),
        Some(out) => {
            let in_use = fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some());
            if in_use && !out.join(ROWS).is_file() {
                let out = out.display();
                bail!(UsageError(format!(
                    "{out} exists and holds no ablation; choose another --out"
                )));
            }
            fs::create_dir_all(out).with_context(|| format!("making {}", out.display()))?;
            out.to_owned()
        }
    };
    let path = |variant: &Variant| dir.join(format!("{}.toml", variant.name));
    for (variant, config) in variants {
        let path = path(variant);
        if path.is_file() && config::load_file(&path, &[])? != *config {
            bail!(UsageError(format!(
                "{} is of another configuration than the one asked for; choose another --out",
                path.display()
            )));
        }
    }
    for (variant, config) in variants {
        let path = path(variant);
        let text = toml::to_string_pretty(config).context("writing the configuration as TOML")?;
        let text = format!("# {}: {}.\n{text}", variant.name, variant.about);
        (write_atomically(&path, text.as_bytes()))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(dir)
}

/// Runs everything that has no row yet, as many runs at a time as there are cores (or one on a GPU), seed by seed, so
/// that after an interruption all variants have rows. Returns false if it was interrupted.
fn run_all(
    variants: &[Configured<'_>],
    seeds: u64,
    chosen: &Chosen,
    rows: &mut Rows,
    interrupt: &Interrupt,
) -> anyhow::Result<bool> {
    let total = variants.len() * seeds as usize;
    let runs = (1..=seeds).flat_map(|seed| variants.iter().map(move |v| (seed, v)));
    let missing: Vec<Run<'_>> = (1..)
        .zip(runs)
        .filter(|(_, (seed, (variant, _)))| !rows.has(&variant.name, *seed))
        .map(|(number, (seed, (variant, config)))| Run {
            number,
            variant: &variant.name,
            config: RunConfig {
                seed,
                ..config.clone()
            },
            outcome: Ok(false),
        })
        .collect();
    let crew = Crew::new(missing.len(), chosen.processor);
    let (rows, failed) = (Mutex::new(rows), AtomicBool::new(false));
    let runs = spread(missing, crew, |run| {
        if !failed.load(Ordering::Relaxed) {
            run.outcome = run.make(total, chosen, &rows, interrupt);
            failed.fetch_or(run.outcome.is_err(), Ordering::Relaxed);
        }
        false
    });
    let ended: Vec<bool> = (runs.into_iter())
        .map(|run| run.outcome)
        .collect::<anyhow::Result<_>>()?;
    Ok(ended.into_iter().all(|ended| ended))
}

/// A run that has no row yet.
struct Run<'a> {
    /// Number among all runs, from 1.
    number: usize,
    variant: &'a str,
    config: RunConfig,
    /// Whether it has finished.
    outcome: anyhow::Result<bool>,
}

impl Run<'_> {
    /// Runs it, writes its row and reports it; false if it was interrupted.
    fn make(
        &self,
        total: usize,
        chosen: &Chosen,
        rows: &Mutex<&mut Rows>,
        interrupt: &Interrupt,
    ) -> anyhow::Result<bool> {
        let Some(row) = run(self.variant, self.config.clone(), chosen, interrupt)? else {
            return Ok(false);
        };
        let result = match row.final_return {
            Some(mean) => format!("final return {}", score(mean)),
            None if row.diverged => "diverged".to_owned(),
            None => "no episode ended".to_owned(),
        };
        note(format_args!(
            "[{}/{total}] {} seed {}: {result}, {:.1} s",
            self.number, self.variant, row.seed, row.seconds
        ));
        let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.push(row)?;
        Ok(true)
    }
}

/// Trains one run from start to end; `None` if it was interrupted.
fn run(
    variant: &str,
    config: RunConfig,
    chosen: &Chosen,
    interrupt: &Interrupt,
) -> anyhow::Result<Option<Row>> {
    let seed = config.seed;
    let mut trainer = Trainer::new(config, &chosen.device)?;
    let clock = Instant::now();
    let (mut curve, mut kl) = (Vec::new(), Vec::new());
    let mut diverged = false;
    while !trainer.finished() && !diverged {
        if interrupt.raised() {
            return Ok(None);
        }
        match trainer.step_unless(interrupt.flag()) {
            Ok(None) => return Ok(None),
            Ok(Some(report)) => {
                curve.extend(report.episode_return_mean);
                kl.extend(report.metrics.get("approx_kl"));
            }
            Err(error) => {
                tracing::info!(variant, seed, %error, "diverged");
                diverged = true;
            }
        }
    }
    let mean = |values: &[f64]| {
        let count = values.len();
        (count > 0).then(|| values.iter().sum::<f64>() / count as f64)
    };
    let stats = trainer.episodes();
    Ok(Some(Row {
        variant: variant.to_owned(),
        seed,
        final_return: stats.mean_return().filter(|_| !diverged),
        curve_mean: mean(&curve).filter(|_| !diverged),
        approx_kl_mean: mean(&kl),
        approx_kl_max: kl.iter().copied().reduce(f64::max),
        env_steps: trainer.env_steps(),
        episodes: stats.episodes,
        diverged,
        seconds: clock.elapsed().as_secs_f64(),
        device: chosen.name.clone(),
    }))
}

fn show(
    args: &AblateArgs,
    base: &RunConfig,
    dir: &Path,
    (of_file, variants): (&Variants, &[Configured<'_>]),
    rows: &[Row],
) -> anyhow::Result<()> {
    let variants: Vec<&Variant> = variants.iter().map(|(variant, _)| *variant).collect();
    let lines = report::lines(&variants, of_file.reference(), rows, args.seeds);
    let corners = of_file.corners.as_ref();
    if args.json {
        let object = json!({
            "dir": dir.to_string_lossy(),
            "env": base.env,
            "total_steps": base.total_steps,
            "seeds": args.seeds,
            "variants": lines,
            "improvements": report::improvements(&lines, corners),
        });
        return print(object);
    }
    print(table(&report::cells(&lines)).trim_end())?;
    for line in report::notes(&lines, corners) {
        print(line)?;
    }
    print(format_args!("rows and configurations: {}", dir.display()))
}
