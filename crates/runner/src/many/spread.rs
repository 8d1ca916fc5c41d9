//! Scheduler that spreads independent pieces of work over the cores of the machine.

use crate::device::Processor;
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
};

/// Number of pieces worked on at a time, and number of threads for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crew {
    workers: usize,
    threads: usize,
}

impl Crew {
    /// On the CPU one piece per core, and several cores for each piece if there are fewer pieces than cores; on a GPU
    /// one piece at a time.
    pub(crate) fn new(pieces: usize, processor: Processor) -> Self {
        // As many as RAYON_NUM_THREADS says, if it is set.
        Self::of(pieces, processor, rayon::current_num_threads())
    }

    fn of(pieces: usize, processor: Processor, cores: usize) -> Self {
        let workers = match processor {
            Processor::Cpu => pieces.clamp(1, cores),
            Processor::Gpu | Processor::Software => 1,
        };
        Self {
            workers,
            threads: cores / workers,
        }
    }
}

/// Calls `turn` on one piece after the other, repeatedly, until it has returned `false` for each (nothing left to do).
/// Returns the pieces in their original order.
///
/// A piece is worked on by one thread at a time. Its own parallel computations run only on the threads of its worker,
/// so that pieces do not wait for each other.
pub(crate) fn spread<P: Send>(
    pieces: Vec<P>,
    crew: Crew,
    turn: impl Fn(&mut P) -> bool + Sync,
) -> Vec<P> {
    let waiting: Mutex<VecDeque<_>> = Mutex::new(pieces.into_iter().enumerate().collect());
    let ready = Mutex::new(vec![]);
    let work = || {
        // A piece that is not in the queue is with another worker, which will complete it.
        while let Some((place, mut piece)) = next(&waiting) {
            match turn(&mut piece) {
                true => lock(&waiting).push_back((place, piece)),
                false => lock(&ready).push((place, piece)),
            }
        }
    };
    if crew.workers == 1 {
        work();
    } else {
        let pool = |_| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(crew.threads)
                .build()
        };
        // The system may refuse threads; pieces then wait for the existing ones.
        let pools: Vec<_> = (0..crew.workers).map_while(|n| pool(n).ok()).collect();
        thread::scope(|scope| {
            let start = |pool| {
                let work = move || rayon::ThreadPool::install(pool, work);
                thread::Builder::new().spawn_scoped(scope, work).is_ok()
            };
            let started = pools.iter().take_while(|pool| start(pool)).count();
            if started < crew.workers {
                let workers = crew.workers;
                tracing::warn!(
                    "the system refuses to start threads for {workers} runs at a time (see `ulimit -u`): {} it is",
                    started + 1
                );
                work();
            }
        });
    }
    let mut ready = ready.into_inner().unwrap_or_else(PoisonError::into_inner);
    ready.sort_by_key(|(place, _)| *place);
    ready.into_iter().map(|(_, piece)| piece).collect()
}

fn next<T>(queue: &Mutex<VecDeque<T>>) -> Option<T> {
    lock(queue).pop_front()
}

/// A panic of one worker reaches the caller when all have ended; it must not cause further panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn cores_go_to_pieces_and_what_is_left_to_their_threads() {
        let crew = |pieces, processor, cores| {
            let Crew { workers, threads } = Crew::of(pieces, processor, cores);
            (workers, threads)
        };
        assert_eq!(crew(16, Processor::Cpu, 4), (4, 1));
        assert_eq!(crew(3, Processor::Cpu, 8), (3, 2));
        assert_eq!(crew(1, Processor::Cpu, 8), (1, 8));
        assert_eq!(crew(0, Processor::Cpu, 8), (1, 8));
        assert_eq!(crew(16, Processor::Gpu, 8), (1, 8));
    }

    #[test]
    fn every_piece_gets_its_turns_and_keeps_its_place() {
        for workers in [1, 3] {
            let crew = Crew {
                workers,
                threads: 1,
            };
            let turns = AtomicUsize::new(0);
            let pieces: Vec<(u32, u32)> = (0..10).map(|left| (left, 0)).collect();
            let ready = spread(pieces, crew, |(left, taken)| {
                turns.fetch_add(1, Ordering::Relaxed);
                *left = left.saturating_sub(1);
                *taken += 1;
                *left > 0
            });
            // Piece n has n turns, and the first piece, which has nothing to do, one turn to say so.
            let taken: Vec<u32> = ready.iter().map(|(_, taken)| *taken).collect();
            assert_eq!(taken, [1, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
            assert_eq!(turns.into_inner(), 46);
        }
    }

    #[test]
    fn a_piece_computes_on_the_threads_of_its_worker() {
        let crew = Crew {
            workers: 2,
            threads: 3,
        };
        let seen = spread(vec![0; 4], crew, |threads| {
            *threads = rayon::current_num_threads();
            false
        });
        assert_eq!(seen, [3; 4]);
    }
}
