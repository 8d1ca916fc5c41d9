//! Ctrl-C: the first lets the work at hand come to a good end, the second ends the program.

use crate::console::note;
use anyhow::Context;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// As a shell reports a program that ended on Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;

/// A flag that the first Ctrl-C raises, saying so unless `quiet`, for whoever works to stop.
///
/// To be called before anything is written, so that no Ctrl-C ends a run without a word.
pub(crate) fn watch(quiet: bool) -> anyhow::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INTERRUPTED));
        }
        if !quiet {
            note("\nstopping as soon as nothing is lost; Ctrl-C again stops at once");
        }
    })
    .context("installing the Ctrl-C handler")?;
    Ok(interrupted)
}
