//! Observations kept as bytes are what a network would have seen as floats.

use crate::{assert_close, device::device, numbers};
use burn::tensor::{Int, Tensor, TensorData};
use rand::{SeedableRng, rngs::SmallRng};
use uphill_core::{
    dist::DistKind,
    nn::MlpConfig,
    obs::Obs,
    policy::{Actor, Critic},
};

const UNIT: f32 = 1.0 / 255.0;

/// All values, in an order that is none.
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 167 + i / 256) as u8).collect()
}

fn kept(bytes: &[u8], width: usize) -> Obs<2> {
    Obs::from_bytes(bytes, width, UNIT, &device())
}

/// The same as floats, [`UNIT`] times each in single precision.
fn seen(bytes: &[u8], width: usize) -> Tensor<2> {
    let floats: Vec<f32> = bytes.iter().map(|byte| f32::from(*byte) * UNIT).collect();
    let shape = [bytes.len() / width, width];
    Tensor::from_data(TensorData::new(floats, shape), &device())
}

#[track_caller]
fn same<const D: usize>(found: Tensor<D>, expected: Tensor<D>) {
    assert_eq!(found.dims(), expected.dims());
    assert_eq!(numbers(found), numbers(expected));
}

#[test]
fn bytes_are_scaled_where_they_are_read() {
    for width in [1, 3, 4, 5, 16] {
        let bytes = bytes(64 * width);
        let kept = kept(&bytes, width);
        assert_eq!(kept.dims(), [64, width]);
        // Four bytes to a word, and a row begins with one.
        assert_eq!(kept.bytes(), 64 * width.div_ceil(4) * 4);
        same(kept.floats(), seen(&bytes, width));
    }
}

#[test]
fn what_a_network_sees_goes_back_to_bytes() {
    for width in [1, 4, 6] {
        let bytes = bytes(256 * width);
        let packed = Obs::packed(seen(&bytes, width), UNIT);
        assert_eq!(packed.bytes(), 256 * width.div_ceil(4) * 4);
        same(packed.floats(), seen(&bytes, width));
    }
}

#[test]
fn rows_and_steps_are_those_of_floats() {
    let bytes = bytes(6 * 5);
    let (kept, floats) = (kept(&bytes, 5), seen(&bytes, 5));
    let rows = || Tensor::<1, Int>::from_data([4, 0, 4], &device());
    same(
        kept.clone().select(0, rows()).floats(),
        floats.clone().select(0, rows()),
    );
    let in_steps = kept.clone().in_steps([3, 2]);
    assert_eq!(in_steps.dims(), [3, 2, 5]);
    let cube = floats.clone().reshape([3, 2, 5]);
    same(
        (in_steps.clone().narrow(0, 1, 2).narrow(1, 1, 1)).floats(),
        cube.narrow(0, 1, 2).narrow(1, 1, 1),
    );
    same(in_steps.flat().floats(), floats.clone());
    let parts = vec![kept.clone().narrow(0, 0, 1), kept.narrow(0, 1, 5)];
    same(Obs::cat(parts).floats(), floats);
}

/// Images of a whole rollout are read in passes, for they are many numbers: here two and a half passes.
#[test]
fn passes_over_many_bytes_give_what_one_pass_gives() {
    let (rows, width) = (160, 1 << 16);
    let bytes = bytes(rows * width);
    let mut rng = SmallRng::seed_from_u64(1);
    let mlp = MlpConfig {
        hidden: vec![2],
        ..MlpConfig::default()
    };
    let mut net = |outputs| mlp.build(width, outputs, 1.0, &mut rng, &device());
    let actor = Actor::new(net(3), DistKind::Categorical { choices: 3 });
    let critic = Critic::new(net(1));
    let (kept, floats) = (kept(&bytes, width), seen(&bytes, width));
    let expected = numbers(critic.values(floats.clone()));
    assert_close(critic.values(kept.clone()), &expected, 1e-6);

    let keep = Tensor::ones([rows / 4, 4], &device());
    let steps = |obs: Obs<2>| obs.in_steps([rows / 4, 4]);
    let actions = Tensor::ones([rows, 1], &device());
    let log_probs = |obs| {
        let dist = actor.follow(steps(obs), keep.clone(), None);
        dist.log_prob(actions.clone())
    };
    let expected = numbers(log_probs(floats.clone().into()));
    assert_close(log_probs(kept.clone()), &expected, 1e-6);

    let both = |obs: Obs<2>| [steps(obs.clone()), steps(obs)];
    let ([values, next_values], _) = critic.follow(both(floats.into()), keep.clone(), None);
    let (found, state) = critic.follow(both(kept), keep.clone(), None);
    assert!(state.is_none());
    assert_close(found[0].clone(), &numbers(values), 1e-6);
    assert_close(found[1].clone(), &numbers(next_values), 1e-6);
}
