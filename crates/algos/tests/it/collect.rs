//! The loop in host memory against the loop on tensors.

use crate::device;
use burn::tensor::{Bool, Tensor};
use rand::{SeedableRng, rngs::SmallRng};
use uphill_algos::collect::{collect, start};
use uphill_core::{
    dist::DistKind,
    network::{Net, Network, WithLogStd},
    nn::MlpConfig,
    normalize::ObsNorm,
    policy::{Actor, Critic},
    rollout::Rollout,
};
use uphill_envs::{BatchEnv, BatchOptions, make_with};

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter().collect()
}

#[track_caller]
fn same(found: Vec<f64>, expected: Vec<f64>, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: number of elements");
    for (i, (f, e)) in found.iter().zip(&expected).enumerate() {
        let error = (f - e).abs() / e.abs().max(1.0);
        assert!(error < 1e-3, "{what} {i}: host {f}, tensors {e}");
    }
}

fn flags(tensor: Tensor<2, Bool>) -> Vec<f64> {
    numbers(tensor.float())
}

/// Two rollouts one after the other, and the observations after them.
fn rollouts(env: &mut dyn BatchEnv, actor: &Actor, critic: &Critic) -> (Vec<Rollout>, Vec<f64>) {
    let mut memory = start(actor, critic, env.num_envs());
    let rollout = |first| collect((actor, critic), env, &mut memory, 45, (3, first));
    let rollouts = [0, 45].map(rollout).into();
    (rollouts, numbers(env.obs()))
}

fn compare(name: &str, kind: DistKind, copies: usize, network: impl Network + Clone) {
    let mut rng = SmallRng::seed_from_u64(1);
    let options = BatchOptions {
        random_ages: true,
        ..Default::default()
    };
    let make = || make_with(name, copies, &device(), options).unwrap();
    let width = make().spec().obs.dim();
    let mut norm = ObsNorm::new(width, 5.0, &device());
    norm.merge(make().obs());
    let mut critic = Critic::new(MlpConfig::default().build(width, 1, 1.0, &mut rng, &device()));
    let mut actor = Actor::new(network.clone(), kind);
    critic.obs_norm = Some(norm.clone());
    actor.obs_norm = Some(norm);

    let (found, after) = rollouts(&mut *make(), &actor, &critic);
    let stock = actor.with_net(Net::stock(network));
    let (expected, expected_after) = rollouts(&mut *make(), &stock, &critic);
    same(after, expected_after, "observation afterwards");
    let mut ended = 0.0;
    for (found, expected) in found.into_iter().zip(expected) {
        ended += flags(expected.ended()).iter().sum::<f64>();
        same(numbers(found.obs), numbers(expected.obs), "observation");
        same(numbers(found.actions), numbers(expected.actions), "action");
        same(numbers(found.rewards), numbers(expected.rewards), "reward");
        let log_probs = numbers(expected.log_probs);
        same(numbers(found.log_probs), log_probs, "log-probability");
        same(numbers(found.values), numbers(expected.values), "value");
        let next_values = numbers(expected.next_values);
        same(numbers(found.next_values), next_values, "next value");
        same(
            flags(found.terminated),
            flags(expected.terminated),
            "terminated",
        );
        same(
            flags(found.truncated),
            flags(expected.truncated),
            "truncated",
        );
    }
    assert!(
        ended > 3.0,
        "no episode ended, which is where mistakes hide"
    );
}

#[test]
fn host_and_tensors_see_the_same_cartpole() {
    let mut rng = SmallRng::seed_from_u64(2);
    let net = MlpConfig::default().build(4, 2, 0.5, &mut rng, &device());
    compare("CartPole-v1", DistKind::Categorical { choices: 2 }, 6, net);
}

#[test]
fn host_and_tensors_see_the_same_pendulum() {
    let mut rng = SmallRng::seed_from_u64(3);
    let net = MlpConfig::default().build(3, 1, 0.5, &mut rng, &device());
    let net = WithLogStd::new(net, 1, 0.3, &device());
    compare("Pendulum-v1", DistKind::Gaussian { dim: 1 }, 20, net);
}
