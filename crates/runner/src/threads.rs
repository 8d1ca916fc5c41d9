//! Global thread pool, with as many threads as the system grants.
//!
//! rayon would start its threads on first use, and panic if the system refuses one. Here the threads are started first
//! and handed to rayon afterwards, however many there are.

use rayon::{ThreadBuilder, ThreadPoolBuilder};
use std::{
    io,
    sync::mpsc::{Sender, channel},
    thread::{self, JoinHandle, available_parallelism},
};

/// Maximum number of threads per core, since more would only wait for each other; and a number that is always allowed.
const MOST_PER_CORE: usize = 4;
const ALWAYS_ALLOWED: usize = 16;

/// Threads left for other purposes if there are not enough: signal notices and progress.
const LEFT: usize = 2;

/// A started thread that waits for its task.
struct Waiting {
    task: Sender<ThreadBuilder>,
    thread: JoinHandle<()>,
}

/// Starts the pool: as many threads as there are cores, or as `RAYON_NUM_THREADS` says, or as the system grants. To be
/// called once, before the first use.
pub(crate) fn start() {
    let cores = available_parallelism().map_or(1, usize::from);
    let asked = std::env::var("RAYON_NUM_THREADS").ok();
    let asked = asked.and_then(|text| text.parse().ok());
    let wanted = wanted(asked, cores);
    if let Some(asked) = asked.filter(|asked| *asked > wanted) {
        tracing::warn!(
            "RAYON_NUM_THREADS={asked}: {wanted} threads are used, more are of no use on {cores} cores"
        );
    }
    let granted = granted(wanted);
    if granted.len() < wanted {
        let threads = granted.len().max(1);
        tracing::warn!(
            "the system refuses to start {wanted} threads (see `ulimit -u`): going on with {threads}"
        );
    }
    if let Err(error) = hand_over(granted) {
        // The pool was already started elsewhere and is used as it is.
        tracing::debug!(%error, "threads");
    }
}

fn wanted(asked: Option<usize>, cores: usize) -> usize {
    let most = ALWAYS_ALLOWED.max(MOST_PER_CORE * cores);
    match asked {
        None | Some(0) => cores,
        Some(asked) => asked.min(most),
    }
}

/// At most `wanted` threads; if fewer are granted, some of them are released for other purposes.
fn granted(wanted: usize) -> Vec<Waiting> {
    let mut threads: Vec<Waiting> = (0..wanted).map_while(|_| waiting().ok()).collect();
    if threads.len() < wanted {
        let kept = threads.len().saturating_sub(LEFT).max(1);
        for surplus in threads.split_off(kept.min(threads.len())) {
            drop(surplus.task);
            let _ = surplus.thread.join();
        }
    }
    threads
}

fn waiting() -> io::Result<Waiting> {
    let (task, tasks) = channel::<ThreadBuilder>();
    let work = move || {
        if let Ok(task) = tasks.recv() {
            task.run();
        }
    };
    let thread = thread::Builder::new().spawn(work)?;
    Ok(Waiting { task, thread })
}

/// Hands the threads to rayon; the calling thread takes their place if there are none.
fn hand_over(mut threads: Vec<Waiting>) -> Result<(), rayon::ThreadPoolBuildError> {
    let pool = ThreadPoolBuilder::new().num_threads(threads.len().max(1));
    if threads.is_empty() {
        return pool.use_current_thread().build_global();
    }
    let hand = |task| {
        let next = threads.pop().ok_or(io::ErrorKind::WouldBlock)?;
        (next.task.send(task)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    };
    pool.spawn_handler(hand).build_global()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_wanted_than_are_of_use() {
        assert_eq!(wanted(None, 8), 8);
        assert_eq!(wanted(Some(0), 8), 8);
        assert_eq!(wanted(Some(3), 8), 3);
        assert_eq!(wanted(Some(100_000), 8), 32);
        assert_eq!(wanted(Some(100_000), 2), 16);
    }
}
