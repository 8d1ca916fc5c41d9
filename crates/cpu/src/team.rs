//! Threads that go through rounds of short tasks together.
//!
//! A gradient step on a small network takes about ten microseconds, as long as waking a sleeping thread. So helpers are
//! taken from the current rayon pool once and then spin for work until the team is dropped. No helper is required: the
//! leader runs every task that nobody else has started.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

/// Number of checks for work before a helper yields to other threads.
const PATIENCE: u32 = 10_000;

/// A leader and helpers that run tasks by number.
pub(crate) struct Team {
    shared: Arc<Shared>,
}

struct Shared {
    work: Box<dyn Fn(usize) + Send + Sync>,
    /// Number of tasks in the round and number of those that were started, 16 bits each.
    round: AtomicU32,
    /// Number of finished tasks of the round.
    finished: AtomicUsize,
    over: AtomicBool,
    /// Whether a task has panicked.
    broken: AtomicBool,
}

impl Team {
    /// A team for rounds of at most `tasks` tasks, each of which calls `work` with its number.
    pub(crate) fn new(tasks: usize, work: impl Fn(usize) + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared {
            work: Box::new(work),
            round: AtomicU32::new(0),
            finished: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            broken: AtomicBool::new(false),
        });
        let threads = rayon::current_num_threads().min(tasks);
        for _ in 1..threads {
            let shared = shared.clone();
            rayon::spawn(move || {
                // The alarm informs the leader; rayon would abort the process.
                let _ = catch_unwind(AssertUnwindSafe(|| shared.help()));
            });
        }
        Self { shared }
    }

    /// Runs tasks 0 to `tasks` − 1, in any order and on any thread, and returns when all are finished.
    pub(crate) fn round(&self, tasks: usize) {
        let shared = &*self.shared;
        assert!(tasks < 1 << 16, "number of tasks");
        shared.finished.store(0, Ordering::Relaxed);
        shared.round.store((tasks as u32) << 16, Ordering::Release);
        while shared.do_one() {}
        let mut waited = 0;
        while shared.finished.load(Ordering::Acquire) < tasks {
            assert!(!shared.broken.load(Ordering::Relaxed), "a task panicked");
            wait(&mut waited);
        }
    }
}

impl Shared {
    fn help(&self) {
        let mut waited = 0;
        while !self.over.load(Ordering::Relaxed) {
            if self.do_one() {
                waited = 0;
            } else {
                wait(&mut waited);
            }
        }
    }

    /// Runs a task that nobody has started, if there is one.
    fn do_one(&self) -> bool {
        let begin = |round: u32| {
            let (begun, tasks) = (round & 0xffff, round >> 16);
            (begun < tasks).then_some(round + 1)
        };
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        let Ok(round) = self.round.fetch_update(success, failure, begin) else {
            return false;
        };
        let alarm = Alarm(&self.broken);
        (self.work)((round & 0xffff) as usize);
        std::mem::forget(alarm);
        self.finished.fetch_add(1, Ordering::Release);
        true
    }
}

/// Sets its flag when dropped, which happens only in a panic.
struct Alarm<'a>(&'a AtomicBool);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn wait(waited: &mut u32) {
    *waited += 1;
    if *waited < PATIENCE {
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
    }
}

impl fmt::Debug for Team {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Team").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::thread;

    #[test]
    fn every_round_does_each_of_its_tasks_once() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build();
        let counts: Arc<Vec<AtomicUsize>> = Arc::new((0..9).map(|_| AtomicUsize::new(0)).collect());
        let of_work = counts.clone();
        let work = move |i: usize| {
            of_work[i].fetch_add(1, Ordering::Relaxed);
        };
        pool.map(|pool| {
            pool.install(|| {
                let team = Team::new(9, work);
                for round in 0..1000 {
                    team.round(round % 10);
                    for (i, count) in counts.iter().enumerate() {
                        let expected = usize::from(i < round % 10);
                        assert_eq!(count.swap(0, Ordering::Relaxed), expected);
                    }
                }
            })
        })
        .expect("a pool of four threads");
    }

    #[test]
    fn a_panic_in_a_task_reaches_the_leader() {
        let team = Team::new(2, |i| assert!(i != 1, "on purpose"));
        let result = catch_unwind(AssertUnwindSafe(|| team.round(2)));
        assert!(result.is_err());
    }

    /// Each task waits for the other, so that a helper has one of them: it is the one that panics.
    #[test]
    fn a_panic_of_a_helper_reaches_the_leader() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build();
        let check = || {
            let (leader, both) = (thread::current().id(), Barrier::new(2));
            let team = Team::new(2, move |_| {
                both.wait();
                assert_eq!(thread::current().id(), leader, "on purpose");
            });
            let result = catch_unwind(AssertUnwindSafe(|| team.round(2)));
            assert!(result.is_err());
        };
        pool.map(|pool| pool.install(check))
            .expect("a pool of two threads");
    }
}
