//! Ctrl-C: the first lets the work at hand come to a good end, the second ends the program.

use crate::console::{note, print};
use anyhow::Context;
use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// As a shell reports a program that ended on Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;

/// What a run answers.
pub(crate) const STOPPING: &str = "stopping as soon as the work at hand is done";

/// A flag that the first Ctrl-C raises, for whoever works to stop, saying so with `message` unless `quiet`.
///
/// To be called before anything is written, so that no Ctrl-C ends a run without a word.
pub(crate) fn watch(message: &'static str, quiet: bool) -> anyhow::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
        if !quiet {
            note(format_args!("\n{message}; Ctrl-C again stops at once"));
        }
    })
    .context("installing the Ctrl-C handler")?;
    Ok(interrupted)
}

/// How to end if that happened before anything was written.
pub(crate) fn never_begun(quiet: bool) -> anyhow::Result<ExitCode> {
    if !quiet {
        print("interrupted before it began; nothing was written")?;
    }
    Ok(ExitCode::from(INTERRUPTED))
}
