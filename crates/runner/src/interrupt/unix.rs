//! Signal handling on Unix.

use super::{INTERRUPTED, Interrupt, ignored::ignored};
use anyhow::Context;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
    iterator::Signals,
    low_level,
};
use std::thread;

pub(super) fn watch(interrupt: &Interrupt) -> anyhow::Result<()> {
    let ignored = ignored();
    let watched = [SIGINT, SIGTERM, SIGHUP].map(|signal| (signal, !ignored.contains(&signal)));
    let watched = watched.iter().filter(|(_, watch)| *watch).map(|(s, _)| *s);
    for signal in watched.clone() {
        handle(signal, interrupt).context("installing a signal handler")?;
    }
    let mut signals = Signals::new(watched).context("installing a signal handler")?;
    let interrupt = interrupt.clone();
    let talk = move || {
        if let Some(signal) = signals.forever().next() {
            let (name, again) = names(signal);
            interrupt.tell(name, again);
        }
    };
    // Handlers work without this thread; only the notices are lost.
    if let Err(error) = (thread::Builder::new().name("signals".to_owned())).spawn(talk) {
        tracing::info!(%error, "no thread to say which signal came");
    }
    Ok(())
}

/// Makes a signal set the flag or, if it is already set, end the program within the handler, whatever other threads do.
/// SIGHUP does not end it: closing a terminal sends several.
fn handle(signal: i32, interrupt: &Interrupt) -> std::io::Result<()> {
    if signal != SIGHUP {
        let code = i32::from(INTERRUPTED);
        flag::register_conditional_shutdown(signal, code, interrupt.raised.clone())?;
    }
    flag::register(signal, interrupt.raised.clone()).map(|_| ())
}

/// Names of a signal, and of the one that then stops the program at once.
fn names(signal: i32) -> (&'static str, &'static str) {
    match signal {
        SIGINT => ("Ctrl-C (SIGINT)", "Ctrl-C again"),
        SIGHUP => ("SIGHUP (the terminal was closed)", "SIGTERM"),
        _ => ("SIGTERM", "a second SIGTERM"),
    }
}

/// Ends the program without waiting for anything, as the second signal does.
pub(super) fn exit() {
    low_level::exit(i32::from(INTERRUPTED));
}
