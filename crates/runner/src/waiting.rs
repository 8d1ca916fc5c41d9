//! Notices about long steps before there is progress to show.

use crate::progress::{in_words, log_writer};
use std::{
    io::Write,
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Delay of the first notice …
const FIRST: Duration = Duration::from_secs(2);

/// … and interval of further ones.
const EVERY: Duration = Duration::from_secs(10);

/// Writes a notice about an activity if it takes long, until it is dropped.
#[must_use]
pub(crate) struct Waiting(Option<(Sender<()>, JoinHandle<()>)>);

impl Waiting {
    /// A notice for `what`, as in "building the networks"; silent if `quiet`.
    pub(crate) fn on(what: impl Into<String>, quiet: bool) -> Self {
        if quiet {
            return Self(None);
        }
        let (what, (over, is_over)) = (what.into(), channel());
        let talk = move || {
            let begun = Instant::now();
            let mut patience = FIRST;
            while is_over.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                // A failure to write it is ignored.
                let _ = writeln!(log_writer(), "{what}: {} so far", in_words(begun.elapsed()));
                patience = EVERY;
            }
        };
        // Without a thread it stays silent.
        let thread = thread::Builder::new()
            .name("waiting".to_owned())
            .spawn(talk);
        Self(thread.ok().map(|thread| (over, thread)))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some((over, thread)) = self.0.take() {
            drop(over);
            let _ = thread.join();
        }
    }
}
