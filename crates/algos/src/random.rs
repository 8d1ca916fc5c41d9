//! Action noise and permutations from counter-based random streams.
//!
//! Every number is a function of (seed, stream, step, copy), so a position in a stream is a step count, which the
//! checkpoint holds anyway, and the numbers are the same on every device.

use crate::UpdateContext;
use burn::tensor::{Device, Int, Tensor, TensorData};
use uphill_core::{
    dist::{DistKind, NoiseKind},
    rollout::Batch,
};
use uphill_envs::{NoiseAt, Philox, Stream};

/// Noise `[T, N, ..]` for `steps` steps of `envs` copies, starting at step `first` of `stream`.
pub fn action_noise(
    kind: &DistKind,
    at: NoiseAt,
    [steps, envs]: [usize; 2],
    device: &Device,
) -> Tensor<3> {
    let values = noise_values(kind, at, [steps, envs]);
    let (width, _) = kind.noise();
    Tensor::from_data(TensorData::new(values, [steps, envs, width]), device)
}

/// The numbers of [`action_noise`], row-major.
pub(crate) fn noise_values(kind: &DistKind, at: NoiseAt, [steps, envs]: [usize; 2]) -> Vec<f32> {
    let (width, noise) = kind.noise();
    let mut values = Vec::with_capacity(steps * envs * width);
    for t in 0..steps {
        let step = (at.first_step + t as u64) as u32;
        for env in 0..envs {
            let mut rng = Philox::new(at.seed, at.stream, step, env as u32);
            values.extend((0..width).map(|column| match noise {
                NoiseKind::Gumbel => -(-rng.open_uniform().ln()).ln(),
                NoiseKind::Uniform => rng.open_uniform(),
                NoiseKind::NormalThenUniform if column >= width / 2 => rng.open_uniform(),
                NoiseKind::Normal | NoiseKind::NormalThenUniform => rng.normal(),
            }));
        }
    }
    values
}

/// Random order of the samples in one epoch of one update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// The run's seed.
    pub seed: u64,
    /// Number of iterations finished before the update.
    pub iteration: u64,
    /// Number of epochs finished before this one.
    pub epoch: usize,
}

impl Order {
    /// The indices below `len` in this order, cut into `parts` equal parts `[len / parts]`.
    ///
    /// Fisher–Yates on the host: the order depends on the seed alone. `len` must be divisible by `parts`.
    pub fn minibatches(self, len: usize, parts: usize) -> Vec<Vec<i32>> {
        let order = shuffled(len, self.seed, self.iteration, self.epoch as u32);
        order.chunks_exact(len / parts).map(<[_]>::to_vec).collect()
    }

    /// [Keys](Self::key) of several agents with consecutive seeds; this order is that of the first.
    pub(crate) fn keys(self, agents: usize) -> impl Iterator<Item = [u32; 2]> {
        (self.seed..)
            .take(agents)
            .map(move |seed| Self { seed, ..self }.key())
    }

    /// Key from which a GPU derives its order of the samples, which differs from that of
    /// [`minibatches`](Self::minibatches).
    pub fn key(self) -> [u32; 2] {
        let (iteration, epoch) = (self.iteration as u32, self.epoch as u32);
        let mut rng = Philox::new(self.seed, Stream::Shuffle, iteration, epoch);
        [rng.below(u32::MAX), rng.below(u32::MAX)]
    }
}

/// Indices `[M]` on the device.
pub fn index_tensor(indices: Vec<i32>, device: &Device) -> Tensor<1, Int> {
    let len = indices.len();
    Tensor::from_data(TensorData::new(indices, [len]), device)
}

/// Seed of the environments for a rollout of whole episodes: a different one in every iteration, because start states
/// depend on the seed of the reset alone.
pub(crate) fn fresh_start_seed(seed: u64, iteration: u64) -> u64 {
    derived_seed(seed, Stream::FreshStart, iteration as u32)
}

/// Seed of a worker's environments and actions; the first worker uses the run's seed.
pub(crate) fn worker_seed(seed: u64, worker: usize) -> u64 {
    if worker == 0 {
        return seed;
    }
    derived_seed(seed, Stream::Worker, worker as u32)
}

/// Seed of one of the laboratory's independent samples.
pub(crate) fn lab_seed(seed: u64, sample: u32) -> u64 {
    derived_seed(seed, Stream::Lab, sample)
}

fn derived_seed(seed: u64, stream: Stream, position: u32) -> u64 {
    let mut rng = Philox::new(seed, stream, position, 0);
    let mut word = || u64::from(rng.below(u32::MAX));
    word() << 32 | word()
}

/// A random fraction `share` (above 0, at most 1) of the samples of a batch, or of its sequences if networks have
/// memory; a different one in every iteration.
pub(crate) fn subset(batch: &Batch, share: f64, context: UpdateContext) -> Batch {
    let units = batch.units();
    let count = (share * units as f64).ceil() as usize;
    if count >= units {
        return batch.clone();
    }
    // An epoch number that no minibatches use.
    let mut order = shuffled(units, context.seed, context.iteration, u32::MAX);
    order.truncate(count);
    batch.select(index_tensor(order, &batch.obs.device()))
}

fn shuffled(len: usize, seed: u64, iteration: u64, lane: u32) -> Vec<i32> {
    let mut rng = Philox::new(seed, Stream::Shuffle, iteration as u32, lane);
    let mut order: Vec<i32> = (0..len as i32).collect();
    for i in (1..len).rev() {
        order.swap(i, rng.below(i as u32 + 1) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_the_laboratory_differ() {
        let seeds = [lab_seed(7, 0), lab_seed(7, 1), lab_seed(8, 0)];
        assert!(seeds[0] != seeds[1] && seeds[0] != seeds[2] && seeds[1] != seeds[2]);
        assert_eq!(lab_seed(7, 1), seeds[1]);
    }

    /// Each of the six orders of three has a chance of 1/6: 1000 of 6000, with a standard deviation of 29.
    #[test]
    fn all_orders_are_equally_likely() {
        let mut counts = std::collections::HashMap::new();
        for seed in 0..6000 {
            *counts.entry(shuffled(3, seed, 0, 0)).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 6);
        assert!(
            counts.values().all(|count| (850..1150).contains(count)),
            "{counts:?}"
        );
    }

    /// Of the Beta distribution: half of the numbers are normal, the other half uniform.
    #[test]
    fn noise_is_normal_then_uniform() {
        let bounds = uphill_core::dist::Bounds::new(&[-1.0], &[1.0]).expect("bounds");
        let kind = DistKind::Beta { bounds };
        let (width, _) = kind.noise();
        let values = noise_values(&kind, NoiseAt::actions(1, 0), [1, 200]);
        let inside = |x: &f32| (0.0..1.0).contains(x);
        let (mut normal, mut all) = (0, 0);
        for row in values.chunks_exact(width) {
            let (first, second) = row.split_at(width / 2);
            assert!(second.iter().all(inside));
            normal += first.iter().filter(|x| inside(x)).count();
            all += first.len();
        }
        // P(0 < z < 1) = 0.341.
        let share = normal as f64 / all as f64;
        assert!((share - 0.341).abs() < 0.03, "{share}");
    }
}
