//! Processes of a test: threads.

use std::sync::{Arc, Barrier, Mutex};
use uphill_core::peers::Peers;

/// Threads that meet at a barrier: sums are taken in the order of their ranks, the same for all.
#[derive(Clone, Debug)]
pub(crate) struct Threads {
    rank: usize,
    shared: Arc<(Barrier, Mutex<Vec<Vec<f32>>>)>,
}

impl Threads {
    fn all(size: usize) -> Vec<Self> {
        let shared = Arc::new((Barrier::new(size), Mutex::new(vec![vec![]; size])));
        let of = |rank| Self {
            rank,
            shared: shared.clone(),
        };
        (0..size).map(of).collect()
    }
}

impl Peers for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.shared.1.lock().unwrap().len()
    }

    fn sum(&self, values: &mut [f32]) {
        let (barrier, all) = &*self.shared;
        all.lock().unwrap()[self.rank] = values.to_vec();
        barrier.wait();
        for (i, value) in values.iter_mut().enumerate() {
            *value = all.lock().unwrap().iter().map(|own| own[i]).sum();
        }
        barrier.wait();
    }
}

/// What each of several processes finds.
pub(crate) fn in_each<R: Send>(size: usize, work: impl Fn(&Threads) -> R + Sync) -> Vec<R> {
    std::thread::scope(|scope| {
        let threads = Threads::all(size).into_iter();
        let threads = threads.map(|peers| scope.spawn(|| work(&{ peers })));
        let threads: Vec<_> = threads.collect();
        let found = threads.into_iter().map(|thread| thread.join().unwrap());
        found.collect()
    })
}
