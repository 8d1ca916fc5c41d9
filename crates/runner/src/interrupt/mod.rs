//! Signals that ask the program to stop: the first lets the work at hand come to a good end, a second ends it at once.
//!
//! A signal that was ignored when the program started stays ignored: SIGHUP under `nohup`, SIGINT and SIGQUIT of what
//! a script starts with `&`.

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

/// As a shell reports a program that ended on Ctrl-C.
pub(crate) const INTERRUPTED: u8 = 130;

/// What a run answers.
pub(crate) const STOPPING: &str = "stopping as soon as the work at hand is done";

/// Whether a signal has asked to stop.
#[derive(Clone)]
pub(crate) struct Interrupt {
    raised: Arc<AtomicBool>,
    stage: Arc<Mutex<Stage>>,
    /// Whether the notice has been written.
    told: Arc<(Mutex<bool>, Condvar)>,
    message: &'static str,
    quiet: bool,
}

/// How far the program has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing is written, so that there is nothing to bring to an end.
    Preparing,
    Working,
    /// Asked to stop before it began.
    Over,
}

impl Interrupt {
    /// Watches for signals from now on, and says `message` when the first comes, unless `quiet`.
    ///
    /// Until [`begin`](Self::begin) a signal ends the program at once, with a word on that.
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

    /// To be called before anything is written: from here on the first signal only raises the flag. `false` if there
    /// was one already, and the program is to [end](never_begun).
    pub(crate) fn begin(&self) -> bool {
        let mut stage = self.stage();
        *stage = match self.raised() {
            true => Stage::Over,
            false => Stage::Working,
        };
        *stage == Stage::Working
    }

    /// Whether to stop.
    pub(crate) fn raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }

    /// The flag itself, for those who know nothing of signals: true from the first one on.
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.raised
    }

    /// Waits for the notice of the first signal, if one has come: work may stop sooner than a thread gets to write it.
    pub(crate) fn await_notice(&self) {
        if self.raised() {
            let (told, news) = &*self.told;
            let told = told.lock().unwrap_or_else(PoisonError::into_inner);
            // There is no notice where the system refused the thread.
            let _ = news.wait_timeout_while(told, Duration::from_secs(1), |told| !*told);
        }
    }

    /// Says that the first signal has come, which is called `signal`; `again` stops at once. Where nothing has been
    /// written, that is the end.
    fn tell(&self, signal: &str, again: &str) {
        let stage = self.stage();
        match *stage {
            Stage::Preparing => {
                // Held until the end, so that nothing is begun meanwhile.
                let _ = never_begun(self.quiet);
                signals::exit();
            }
            Stage::Working if !self.quiet => {
                let message = self.message;
                // On a terminal, `^C` stands at the beginning of the line.
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

/// How to end if that happened before anything was written.
pub(crate) fn never_begun(quiet: bool) -> anyhow::Result<ExitCode> {
    if !quiet {
        print("interrupted before it began; nothing was written")?;
    }
    Ok(ExitCode::from(INTERRUPTED))
}
