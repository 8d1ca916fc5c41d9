//! Signals to stop: the first ends the program in order, the second at once.
//!
//! After the first signal, the work at hand is completed and saved. A signal that was ignored when the program started
//! stays ignored: SIGHUP under `nohup`, SIGINT and SIGQUIT for what a script starts with `&`.

#[cfg(unix)]
mod ignored;
#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(not(unix), path = "other.rs")]
mod signals;

use crate::{console::print, progress};
use std::{
    io::Write,
    process::ExitCode,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Exit code that a shell reports for a program ended by Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;

/// Notice of a run after the first signal.
pub(crate) const STOPPING: &str = "stopping as soon as the work at hand is done";

/// Flag that a signal sets, with the stage of the program.
#[derive(Clone)]
pub(crate) struct Interrupt {
    raised: Arc<AtomicBool>,
    stage: Arc<Mutex<Stage>>,
    /// Whether the notice has been written.
    told: Arc<(Mutex<bool>, Condvar)>,
    message: &'static str,
    quiet: bool,
}

/// Progress of the program, which determines the effect of a signal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing has been written, so there is nothing to complete.
    Preparing,
    Working,
    /// Asked to stop before the work began.
    Over,
}

impl Interrupt {
    /// Watches for signals from now on, and writes `message` after the first one, unless `quiet`.
    ///
    /// Before [`begin`](Self::begin), a signal ends the program at once, with a notice.
    pub(crate) fn watch(message: &'static str, quiet: bool) -> anyhow::Result<Self> {
        let interrupt = Self {
            raised: Arc::default(),
            stage: Arc::new(Mutex::new(Stage::Preparing)),
            told: Arc::default(),
            message,
            quiet,
        };
        signals::watch(&interrupt)?;
        Ok(interrupt)
    }

    /// To be called before anything is written: from here on the first signal only sets the flag. `false` if there was
    /// a signal already, in which case the program must [end](never_begun).
    pub(crate) fn begin(&self) -> bool {
        let mut stage = self.stage();
        *stage = match self.raised() {
            true => Stage::Over,
            false => Stage::Working,
        };
        *stage == Stage::Working
    }

    /// Whether a signal has asked to stop.
    pub(crate) fn raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }

    /// The flag as a plain atomic, for code that is independent of signals: true from the first signal on.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.raised
    }

    /// Waits for the notice of the first signal, if one has come: the work may stop before a thread has written it.
    pub(crate) fn await_notice(&self) {
        if self.raised() {
            let (told, news) = &*self.told;
            let told = told.lock().unwrap_or_else(PoisonError::into_inner);
            // There is no notice if the system refused the thread.
            let _ = news.wait_timeout_while(told, Duration::from_secs(1), |told| !*told);
        }
    }

    /// Announces the first signal, whose name is `signal`; `again` names what stops the program at once. If nothing has
    /// been written, the program ends.
    fn tell(&self, signal: &str, again: &str) {
        let stage = self.stage();
        match *stage {
            Stage::Preparing => {
                // Held until the end, so that no work begins meanwhile.
                let _ = never_begun(self.quiet);
                signals::exit();
            }
            Stage::Working if !self.quiet => {
                let message = self.message;
                // On a terminal, `^C` is at the beginning of the line.
                let _ = writeln!(
                    progress::log_writer(),
                    "\n{signal}: {message}; {again} stops at once"
                );
            }
            Stage::Working | Stage::Over => {}
        }
        let (told, news) = &*self.told;
        *told.lock().unwrap_or_else(PoisonError::into_inner) = true;
        news.notify_all();
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a program that was stopped before it wrote anything.
pub(crate) fn never_begun(quiet: bool) -> anyhow::Result<ExitCode> {
    if !quiet {
        print("interrupted before it began; nothing was written")?;
    }
    Ok(ExitCode::from(INTERRUPTED))
}
