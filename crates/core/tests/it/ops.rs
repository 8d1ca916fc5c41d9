//! Fused passes against Burn's operations.

use crate::{
    assert_close,
    device::device,
    fused::{random, same_by_largest, same_on_any_threads},
    numbers,
};
use burn::tensor::Tensor;
use proptest::prelude::*;
use rand::{SeedableRng, rngs::SmallRng};
use uphill_core::{
    network::{Net, Network, WithLogStd},
    nn::{Activation, Init, MlpConfig},
};

/// Outputs and flat gradient of Σ outputs ∘ weights.
fn pass(net: &Net, obs: &Tensor<2>, weights: &Tensor<2>) -> (Vec<f64>, Vec<f64>) {
    let net = net.tracked();
    let outputs = net.forward(obs.clone());
    let grads = (outputs.clone() * weights.clone()).sum().backward();
    (
        numbers(outputs.without_autodiff()),
        numbers(net.flat_grad(&grads)),
    )
}

#[track_caller]
fn same(found: &[f64], expected: &[f64], what: &str) {
    same_by_largest(2e-5, found, expected, what);
}

#[track_caller]
fn compare(network: impl Network, inputs: usize, batch: usize, rng: &mut SmallRng) {
    let (fused, stock) = (Net::new(network.clone()), Net::stock(network));
    assert!(fused.fused() && !stock.fused());
    let obs = random([batch, inputs], rng);
    let [_, outputs] = stock.forward(obs.clone()).dims();
    let weights = random([batch, outputs], rng);
    let (fused, stock) = (pass(&fused, &obs, &weights), pass(&stock, &obs, &weights));
    same(&fused.0, &stock.0, "output");
    same(&fused.1, &stock.1, "gradient");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// Widths on and off whole vectors, batches on and off whole blocks and chunks.
    #[test]
    fn values_and_gradients_equal_those_of_burn(
        inputs in 1usize..20,
        hidden in prop::collection::vec(1usize..70, 0..4),
        outputs in 1usize..20,
        batch in prop::sample::select(vec![1usize, 3, 8, 64, 127, 128, 129, 300, 1000]),
        relu: bool,
        log_std: bool,
        seed: u64,
    ) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let activation = if relu { Activation::Relu } else { Activation::Tanh };
        let config = MlpConfig { hidden, activation, init: Init::Uniform };
        let mlp = config.build(inputs, outputs, 1.0, &mut rng, &device());
        if log_std {
            compare(WithLogStd::new(mlp, outputs, -0.5, &device()), inputs, batch, &mut rng);
        } else {
            compare(mlp, inputs, batch, &mut rng);
        }
    }
}

#[test]
fn a_batch_of_many_chunks_equals_burn() {
    let mut rng = SmallRng::seed_from_u64(5);
    let mlp = MlpConfig::default().build(4, 2, 0.01, &mut rng, &device());
    compare(mlp, 4, 5000, &mut rng);
}

#[test]
fn the_number_of_threads_does_not_matter() {
    let mut rng = SmallRng::seed_from_u64(6);
    let net = Net::new(MlpConfig::default().build(4, 2, 1.0, &mut rng, &device()));
    let (obs, weights) = (random([3000, 4], &mut rng), random([3000, 2], &mut rng));
    same_on_any_threads(move || pass(&net, &obs, &weights));
}

#[test]
fn gradients_of_several_passes_add_up() {
    let mut rng = SmallRng::seed_from_u64(7);
    let net = Net::new(MlpConfig::default().build(3, 2, 1.0, &mut rng, &device())).tracked();
    let (a, b) = (random([5, 3], &mut rng), random([9, 3], &mut rng));
    let both = net.forward(a.clone()).sum() + net.forward(b.clone()).sum();
    // A pass that the loss does not depend on.
    net.forward(a.clone());
    let found = net.flat_grad(&both.backward());
    let one = Tensor::cat(vec![a, b], 0);
    let whole = net.tracked();
    let expected = whole.flat_grad(&whole.forward(one).sum().backward());
    assert_close(found, &numbers(expected), 1e-5);
}

#[test]
fn observations_that_record_gradients_get_theirs() {
    let mut rng = SmallRng::seed_from_u64(8);
    let network = MlpConfig::default().build(3, 1, 1.0, &mut rng, &device());
    let (fused, stock) = (Net::new(network.clone()), Net::stock(network));
    let obs = random([6, 3], &mut rng);
    let both = |net: &Net| {
        let (net, obs) = (net.tracked(), obs.clone().autodiff().require_grad());
        let grads = net.forward(obs.clone()).sum().backward();
        let by_obs = numbers(obs.grad(&grads).unwrap());
        (by_obs, numbers(net.flat_grad(&grads)))
    };
    let (fused, stock) = (both(&fused), both(&stock));
    same(&fused.0, &stock.0, "gradient by observations");
    same(&fused.1, &stock.1, "gradient by parameters");
}

#[test]
fn nan_is_not_swallowed() {
    for activation in [Activation::Tanh, Activation::Relu] {
        let mut rng = SmallRng::seed_from_u64(9);
        let config = MlpConfig {
            activation,
            ..MlpConfig::default()
        };
        let net = Net::new(config.build(2, 1, 1.0, &mut rng, &device()));
        let obs = Tensor::<2>::from_data([[0.5f32, f32::NAN]], &device());
        assert!(numbers(net.forward(obs))[0].is_nan(), "{activation:?}");
    }
}
