//! `uphill`: train and evaluate policy-gradient agents from the command line.
//!
//! This crate is glue: command line, configuration files, choice of a device, run directories,
//! progress. What it runs lives in `uphill-algos`.

mod ablate;
mod bench;
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
mod presets;
mod progress;
mod run_dir;
mod score;
mod session;
mod stats;
mod tensorboard;
mod train;

use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    start_logging();
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

/// Logs go to stderr, warnings and above unless `RUST_LOG` says otherwise.
fn start_logging() {
    use std::io::{IsTerminal, stderr};
    use tracing_subscriber::{EnvFilter, filter::LevelFilter};
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::WARN.into())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(stderr().is_terminal())
        .with_writer(progress::log_writer)
        .init();
}
