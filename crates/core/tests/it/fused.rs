//! What tests of fused operations have in common: random numbers, settings of a step, comparisons.

use crate::device::device;
use burn::tensor::{Tensor, TensorData};
use rand::{Rng, rngs::SmallRng};
use uphill_core::ops::{ActorCriticLoss, HostStep, Surrogate};

/// Numbers in [−2, 2].
pub(crate) fn random_values(len: usize, rng: &mut SmallRng) -> Vec<f32> {
    let unit = |rng: &mut SmallRng| rng.next_u32() as f32 / u32::MAX as f32;
    (0..len).map(|_| 4.0 * unit(rng) - 2.0).collect()
}

/// The same as a tensor on the test device.
pub(crate) fn random<const D: usize>(shape: [usize; D], rng: &mut SmallRng) -> Tensor<D> {
    let values = random_values(shape.iter().product(), rng);
    Tensor::from_data(TensorData::new(values, shape), &device())
}

/// A loss with a bonus for entropy.
pub(crate) fn loss(surrogate: Surrogate, value_clip: f32, standardize: bool) -> ActorCriticLoss {
    ActorCriticLoss {
        surrogate,
        value_clip,
        value_coef: 0.7,
        entropy_coef: 0.05,
        standardize,
    }
}

/// A step whose rates differ between actor and critic.
pub(crate) fn step(max_grad_norm: f64, joint_norm: bool) -> HostStep {
    HostStep {
        learning_rates: [1e-2, 3e-3],
        max_grad_norm,
        joint_norm,
    }
}

/// Panics unless the numbers agree to `tolerance`, measured by the largest of them, or by 1 where all are smaller.
#[track_caller]
pub(crate) fn same_to(tolerance: f64, found: &[f64], expected: &[f64], what: &str) {
    same_on_scale(1.0, tolerance, found, expected, what);
}

/// Panics unless the numbers agree to `tolerance`, measured by the largest of them, however small it is.
#[track_caller]
pub(crate) fn same_by_largest(tolerance: f64, found: &[f64], expected: &[f64], what: &str) {
    same_on_scale(1e-12, tolerance, found, expected, what);
}

#[track_caller]
fn same_on_scale(least: f64, tolerance: f64, found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: number of elements");
    let scale = expected.iter().fold(least, |m, x| m.max(x.abs()));
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let error = (f - e).abs() / scale;
        assert!(
            error < tolerance,
            "{what} {i}: found {f}, expected {e}, {error:.1e} of the largest"
        );
    }
}

/// Panics unless several numbers of threads give the same.
#[track_caller]
pub(crate) fn same_on_any_threads<T: PartialEq + Send>(run: impl Fn() -> T + Clone + Send) {
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(run.clone())
    };
    let one = on(1);
    for threads in [2, 3, 7] {
        assert!(on(threads) == one, "{threads} threads give other bits");
    }
}
