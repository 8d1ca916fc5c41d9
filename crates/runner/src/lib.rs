//! Facade crate of Uphill: deep reinforcement learning by policy gradients.
//!
//! It contains all of Uphill ([`core`], [`envs`], [`algos`]), the crates needed to write modules and random
//! initialisation ([`burn`], [`rand`], [`serde`]), and the program itself: [`main`] is the whole command line,
//! including environments and algorithms that were registered before the call.
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     // uphill::envs::register(…), uphill::algos::register_algorithm::<…>()
//!     uphill::main()
//! }
//! ```
//!
//! | module | contents |
//! |---|---|
//! | [`core`] | distributions, networks, advantages, losses, flat parameters |
//! | [`envs`] | environments in batches: steps, resets, time limits, saved states |
//! | [`algos`] | algorithms, trainer, rollouts, checkpoints, configuration |
//!
//! Your own modules derive traits of Burn's and serde's, whose macros look for those crates by name: `use
//! uphill::burn;` before `#[derive(Module)]`, `#[serde(crate = "uphill::serde")]` below `#[derive(Serialize)]`.
//!
//! The rest of this crate is glue: command line, configuration files, choice of a device, run directories, progress.

mod ablate;
mod bench;
mod board;
mod cli;
mod config;
mod console;
mod device;
mod eval;
mod failure;
mod interrupt;
mod lab;
mod list;
mod many;
mod memory;
mod metrics_csv;
mod place;
mod presets;
mod progress;
mod run_dir;
mod score;
mod session;
mod shell;
mod sink;
mod stats;
mod tensorboard;
mod threads;
mod train;
mod waiting;

pub use anyhow;
pub use burn;
pub use rand;
pub use serde;
pub use sink::{MakeSink, Row, Sink, SinkRequest, register_sink};
pub use uphill_algos as algos;
pub use uphill_core as core;
pub use uphill_envs as envs;

use clap::Parser;
use cli::{Cli, Command};
use std::{ffi::OsString, process::ExitCode};
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};

/// The command line, from the arguments of the process to its exit code.
///
/// Whatever the program has registered before ([`algos::register_algorithm`] and its counterparts for environments) is
/// available by name: in configurations, `--set`, `list`, and for resumed runs.
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

/// [`main`] with the given arguments instead of those of the process; the first is the name of the program.
///
/// Invalid arguments, and `--help`, end the process.
pub fn run(args: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> ExitCode {
    let cli = Cli::parse_from(args);
    start_logging();
    threads::start();
    let result = match cli.command {
        Command::Train(args) => train::train(&args),
        Command::Eval(args) => eval::eval(&args),
        Command::Ablate(args) => ablate::ablate(&args),
        Command::Lab(args) => lab::lab(&args),
        Command::Bench(args) => bench::bench(&args),
        Command::List(args) => list::list(&args),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            console::note(format_args!("error: {error:#}"));
            ExitCode::from(failure::exit_code(&error))
        }
    }
}

/// Writes logs to standard error: warnings and errors, unless `RUST_LOG` says otherwise.
fn start_logging() {
    use std::io::{IsTerminal, stderr};
    use tracing_subscriber::prelude::*;
    let (targets, problem) = log_targets(std::env::var("RUST_LOG").ok().as_deref());
    let output = tracing_subscriber::fmt::layer()
        .with_ansi(stderr().is_terminal())
        .with_writer(progress::log_writer);
    // A subscriber that the caller has installed is kept.
    let _ = tracing_subscriber::registry()
        .with(output.with_filter(targets))
        .try_init();
    if let Some(problem) = problem {
        tracing::warn!("RUST_LOG: {problem}; for example RUST_LOG=uphill=info");
    }
}

/// Log levels by crate, and the error in the variable, if any.
fn log_targets(variable: Option<&str>) -> (Targets, Option<ParseError>) {
    let warnings = Targets::new().with_default(LevelFilter::WARN);
    match variable.map(str::parse::<Targets>) {
        None => (warnings, None),
        Some(Ok(asked)) if asked.default_level().is_some() => (asked, None),
        Some(Ok(asked)) => (asked.with_default(LevelFilter::WARN), None),
        Some(Err(problem)) => (warnings, Some(problem)),
    }
}

/// Compiles the program in the README with the documentation tests.
#[cfg(all(doctest, feature = "flex"))]
#[doc = include_str!("../../../README.md")]
struct Readme;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_logs_warnings() {
        let level = |variable| log_targets(variable).0.default_level();
        assert_eq!(level(None), Some(LevelFilter::WARN));
        assert_eq!(level(Some("uphill=info")), Some(LevelFilter::WARN));
        assert_eq!(level(Some("debug,wgpu=error")), Some(LevelFilter::DEBUG));
        let (targets, problem) = log_targets(Some("uphill=loud"));
        assert!(problem.is_some());
        assert_eq!(targets.default_level(), Some(LevelFilter::WARN));
    }
}
