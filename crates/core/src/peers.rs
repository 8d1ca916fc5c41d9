//! Data-parallel training of one agent by several processes: sums and means over all of them.
//!
//! Each process steps its own copies, as many as any other, and all learn from the experience of all: every mean over
//! samples passes through [`Peers`] where it is computed. Rollouts of a fixed number of steps have equally many samples
//! in every process, so that the mean over processes is the mean over all samples; rollouts of whole episodes are
//! weighted. This concerns gradients, the moments of normalisers, the mean and spread of advantages, divergences and
//! finished episodes. Equal sums give equal parameters in all processes, so that parameters are never sent.

use crate::{advantage, loss, normalize::Moments, read_back};
use burn::tensor::{Device, Tensor, TensorData};
use std::fmt::Debug;

/// The processes that train one agent, seen from one of them.
///
/// Every process makes the same calls in the same order. The results of [`sum`](Peers::sum) must be equal in all of
/// them to the last bit, or their parameters diverge.
///
/// ```
/// use uphill_core::peers::Peers;
///
/// /// Two processes that have seen the same.
/// #[derive(Debug)]
/// struct Twins;
///
/// impl Peers for Twins {
///     fn rank(&self) -> usize {
///         0
///     }
///     fn size(&self) -> usize {
///         2
///     }
///     fn sum(&self, values: &mut [f32]) {
///         values.iter_mut().for_each(|value| *value *= 2.0);
///     }
/// }
///
/// let mut values = [1.0, 3.0];
/// Twins.sum(&mut values);
/// assert_eq!(values, [2.0, 6.0]);
/// ```
pub trait Peers: Debug + Send + Sync {
    /// Number of this process, starting at 0.
    fn rank(&self) -> usize;

    /// Number of processes.
    fn size(&self) -> usize;

    /// Replaces the values, equally many in every process, by their sums over all processes.
    fn sum(&self, values: &mut [f32]);

    /// The values of all processes, in order of rank.
    fn gather(&self, values: &[f32]) -> Vec<f32> {
        let mut all = vec![0.0; values.len() * self.size()];
        all[self.rank() * values.len()..][..values.len()].copy_from_slice(values);
        self.sum(&mut all);
        all
    }
}

/// A single process.
///
/// ```
/// use uphill_core::peers::{Alone, Peers};
///
/// assert_eq!((Alone.rank(), Alone.size()), (0, 1));
/// assert_eq!(Alone.gather(&[1.0, 2.0]), [1.0, 2.0]);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Peers for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn sum(&self, _: &mut [f32]) {}
}

/// Mean over all processes, element by element. A single process reads nothing back.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::peers::{Alone, mean};
///
/// let x = Tensor::<1>::from_floats([2.0], &Device::flex());
/// assert_eq!(mean(&Alone, x).into_scalar::<f32>(), 2.0);
/// ```
pub fn mean<const D: usize>(peers: &dyn Peers, x: Tensor<D>) -> Tensor<D> {
    if peers.size() == 1 {
        return x;
    }
    let (device, shape) = (x.device(), x.dims());
    let mut values = numbers(x);
    peers.sum(&mut values);
    let share = 1.0 / peers.size() as f32;
    values.iter_mut().for_each(|x| *x *= share);
    Tensor::from_data(TensorData::new(values, shape), &device)
}

/// Number of samples of this process, relative to the mean over all processes; 1 for a single process. Rollouts of
/// whole episodes differ in their numbers of samples.
///
/// ```
/// use uphill_core::peers::{Alone, share};
///
/// assert_eq!(share(&Alone, 100), 1.0);
/// ```
pub fn share(peers: &dyn Peers, samples: usize) -> f64 {
    if peers.size() == 1 {
        return 1.0;
    }
    let mut total = [samples as f32];
    peers.sum(&mut total);
    samples as f64 * peers.size() as f64 / f64::from(total[0])
}

/// Mean over the samples of all processes; `x` is the mean over the `samples` of this one.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::peers::{Alone, mean_over};
///
/// let x = Tensor::<1>::from_floats([2.0], &Device::flex());
/// assert_eq!(mean_over(&Alone, x, 100).into_scalar::<f32>(), 2.0);
/// ```
pub fn mean_over<const D: usize>(peers: &dyn Peers, x: Tensor<D>, samples: usize) -> Tensor<D> {
    match peers.size() {
        1 => x,
        _ => mean(peers, x * share(peers, samples)),
    }
}

/// Maximum of a value `[1]` over all processes.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::peers::{Alone, max};
///
/// let x = Tensor::<1>::from_floats([2.0], &Device::flex());
/// assert_eq!(max(&Alone, x).into_scalar::<f32>(), 2.0);
/// ```
pub fn max(peers: &dyn Peers, x: Tensor<1>) -> Tensor<1> {
    if peers.size() == 1 {
        return x;
    }
    let device = x.device();
    let all = peers.gather(&numbers(x));
    let largest = |a: f32, b: f32| if b > a || b.is_nan() { b } else { a };
    let max = all.into_iter().reduce(largest).unwrap_or(f32::NAN);
    Tensor::from_data([max], &device)
}

/// [`advantage::standardize`] with the mean and standard deviation of the advantages `[B]` of all processes.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::peers::{Alone, standardize};
///
/// // Mean 2, standard deviation √2 with Bessel's correction.
/// let advantages = standardize(&Alone, Tensor::from_floats([1.0, 3.0], &Device::flex()));
/// let advantages: Vec<f32> = advantages.into_data().iter().collect();
/// assert!((advantages[1] - 0.5f32.sqrt()).abs() < 1e-6 && advantages[0] == -advantages[1]);
/// ```
pub fn standardize(peers: &dyn Peers, advantages: Tensor<1>) -> Tensor<1> {
    if peers.size() == 1 {
        return advantage::standardize(advantages);
    }
    let (device, len) = (advantages.device(), advantages.dims()[0]);
    let own = Moments::new(1, &device).merge(advantages.clone().reshape([len, 1]));
    let all = merge(peers, &Moments::new(1, &device), &own);
    if all.count < 2.0 {
        return advantages;
    }
    let std = (all.variance * (all.count / (all.count - 1.0))).sqrt();
    (advantages - all.mean) / (std + 1e-8)
}

/// [`loss::explained_variance`] of the values and returns `[B]` of all processes.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::peers::{Alone, explained_variance};
///
/// let vector = |values: [f32; 2]| Tensor::<1>::from_floats(values, &Device::flex());
/// let explained = explained_variance(&Alone, vector([1.0, 1.0]), vector([0.0, 2.0]));
/// assert_eq!(explained.into_scalar::<f32>(), 0.0); // as good as a constant
/// ```
pub fn explained_variance(peers: &dyn Peers, values: Tensor<1>, returns: Tensor<1>) -> Tensor<1> {
    if peers.size() == 1 {
        return loss::explained_variance(values, returns);
    }
    let device = returns.device();
    let columns = Tensor::stack::<2>(vec![returns.clone() - values, returns], 1);
    let own = Moments::new(2, &device).merge(columns);
    let all = merge(peers, &Moments::new(2, &device), &own);
    let [residual, mean] = [0, 1].map(|column| all.mean.clone().narrow(0, column, 1));
    let [unexplained, variance] = [0, 1].map(|column| all.variance.clone().narrow(0, column, 1));
    let size = mean.square() + residual.square() + unexplained.clone();
    let flat = variance.clone().lower_equal(size * loss::ROUNDING);
    ((unexplained / variance).neg() + 1.0).mask_fill(flat, f64::NAN)
}

/// `moments`, which are equal in all processes, after adding what each process has recorded in `fresh`.
pub(crate) fn merge(peers: &dyn Peers, moments: &Moments, fresh: &Moments) -> Moments {
    let device = moments.mean.device();
    let row = |moments: &Moments| {
        let count = Tensor::from_data([moments.count], &device);
        numbers(Tensor::cat(
            vec![count, moments.mean.clone(), moments.variance.clone()],
            0,
        ))
    };
    let own = row(fresh);
    let all = peers.gather(&own);
    let mut total: Vec<f64> = row(moments).into_iter().map(f64::from).collect();
    total[0] = moments.count;
    for other in all.chunks_exact(own.len()) {
        chan(&mut total, other);
    }
    let features = (own.len() - 1) / 2;
    Moments {
        count: total[0],
        mean: vector(&total[1..=features], &device),
        variance: vector(&total[1 + features..], &device),
        agents: 1,
    }
}

/// Adds the statistics of `other` to those of `total`: count, means and variances of each (Chan, Golub & LeVeque 1983).
fn chan(total: &mut [f64], other: &[f32]) {
    let (count, fresh) = (total[0], f64::from(other[0]));
    let sum = count + fresh;
    if fresh == 0.0 {
        return;
    }
    let (old, new) = (count / sum, fresh / sum);
    let features = (other.len() - 1) / 2;
    for f in 1..=features {
        let (mean, variance) = (f64::from(other[f]), f64::from(other[f + features]));
        let delta = mean - total[f];
        total[f] += delta * new;
        total[f + features] =
            total[f + features] * old + variance * new + delta * delta * (old * new);
    }
    total[0] = sum;
}

fn numbers<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    read_back::read(x).into_iter().map(|x| x as f32).collect()
}

fn vector(values: &[f64], device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}
