//! The loop in host memory against the loop on tensors; on another device, its own loop against that in host memory.

use crate::device;
use burn::tensor::{Bool, Device, Tensor};
use rand::{SeedableRng, rngs::SmallRng};
use uphill_algos::collect::{collect, start};
use uphill_core::{
    dist::{Bounds, DistKind},
    network::{Net, Network, WithLogStd},
    nn::MlpConfig,
    normalize::ObsNorm,
    policy::{Actor, Critic},
    rollout::Rollout,
};
use uphill_envs::{
    BatchEnv, BatchOptions, EnvError, EnvSpec, EnvState, Episode, NoiseAt, Step, make_with,
};

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter().collect()
}

#[track_caller]
fn same(found: Vec<f64>, expected: Vec<f64>, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}: number of elements");
    for (i, (f, e)) in found.iter().zip(&expected).enumerate() {
        let error = (f - e).abs() / e.abs().max(1.0);
        assert!(error < 1e-3, "{what} {i}: found {f}, expected {e}");
    }
}

fn perceptron(hidden: &[usize]) -> MlpConfig {
    MlpConfig {
        hidden: hidden.to_vec(),
        ..Default::default()
    }
}

fn flags(tensor: Tensor<2, Bool>) -> Vec<f64> {
    numbers(tensor.float())
}

/// Two rollouts of `steps` steps one after the other, and the observations after them.
fn rollouts(
    env: &mut dyn BatchEnv,
    (actor, critic): (&Actor, &Critic),
    steps: usize,
) -> (Vec<Rollout>, Vec<f64>) {
    let mut memory = start(actor, critic, env.num_envs());
    let rollout = |first| {
        collect(
            (actor, critic),
            env,
            &mut memory,
            steps,
            NoiseAt::actions(3, first),
        )
    };
    let rollouts = [0, steps as u64].map(rollout).into();
    (rollouts, numbers(env.obs()))
}

/// An environment that does not offer slices.
struct OnTensors(Box<dyn BatchEnv>);

impl BatchEnv for OnTensors {
    fn spec(&self) -> &EnvSpec {
        self.0.spec()
    }
    fn num_envs(&self) -> usize {
        self.0.num_envs()
    }
    fn reset(&mut self, seed: u64) -> Tensor<2> {
        self.0.reset(seed)
    }
    fn obs(&self) -> Tensor<2> {
        self.0.obs()
    }
    fn step(&mut self, actions: Tensor<2>) -> Step {
        self.0.step(actions)
    }
    fn take_episodes(&mut self) -> Vec<Episode> {
        self.0.take_episodes()
    }
    fn save(&self) -> EnvState {
        self.0.save()
    }
    fn restore(&mut self, state: &EnvState) -> Result<(), EnvError> {
        self.0.restore(state)
    }
}

fn compare<M: Network + Clone>(
    name: &str,
    kind: DistKind,
    [steps, copies]: [usize; 2],
    network: impl Fn(&Device) -> M,
) {
    let options = BatchOptions {
        random_ages: true,
        ..Default::default()
    };
    let make = |device: &Device| make_with(name, copies, device, options).unwrap();
    let agent = |device: &Device| {
        let env = make(device);
        let width = env.spec().obs.dim();
        let mut norm = ObsNorm::new(width, 5.0, device);
        norm.merge(env.obs());
        let mut rng = SmallRng::seed_from_u64(1);
        let mut critic = Critic::new(perceptron(&[8]).build(width, 1, 1.0, &mut rng, device));
        let mut actor = Actor::new(network(device), kind.clone());
        critic.obs_norm = Some(norm.clone());
        actor.obs_norm = Some(norm);
        (actor, critic)
    };
    let (actor, critic) = agent(&device());
    let run = |device: &Device, actor: &Actor, critic: &Critic| {
        rollouts(&mut *make(device), (actor, critic), steps)
    };
    let found = run(&device(), &actor, &critic);
    let host = Device::flex();
    let expected = if device() == host {
        // A module of one's own on slices, too.
        let stock = actor.with_net(Net::stock(network(&host)));
        same_rollouts(&found, &run(&host, &stock, &critic));
        let mut tensors = OnTensors(make(&host));
        rollouts(&mut tensors, (&stock, &critic), steps)
    } else {
        let (actor, critic) = agent(&host);
        run(&host, &actor, &critic)
    };
    same_rollouts(&found, &expected);
}

fn same_rollouts(found: &(Vec<Rollout>, Vec<f64>), expected: &(Vec<Rollout>, Vec<f64>)) {
    same(
        found.1.clone(),
        expected.1.clone(),
        "observation afterwards",
    );
    let mut ended = 0.0;
    for (found, expected) in found.0.iter().zip(&expected.0) {
        let (found, expected) = (found.clone(), expected.clone());
        ended += flags(expected.ended()).iter().sum::<f64>();
        same(
            numbers(found.obs.floats()),
            numbers(expected.obs.floats()),
            "observation",
        );
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
fn every_loop_sees_the_same_cartpole() {
    let network = |device: &Device| {
        let mut rng = SmallRng::seed_from_u64(2);
        MlpConfig::default().build(4, 2, 0.5, &mut rng, device)
    };
    compare(
        "CartPole-v1",
        DistKind::Categorical { choices: 2 },
        [45, 6],
        network,
    );
}

/// So many copies that a kernel serves several in one group of threads, and the last group is not full.
#[test]
fn every_loop_sees_the_same_pendulum() {
    let network = |device: &Device| {
        let mut rng = SmallRng::seed_from_u64(3);
        let net = perceptron(&[32, 16]).build(3, 1, 0.5, &mut rng, device);
        WithLogStd::new(net, 1, 0.3, device)
    };
    compare(
        "Pendulum-v1",
        DistKind::Gaussian { dim: 1 },
        [20, 513],
        network,
    );
}

/// Only slices and tensors: there is no kernel for these.
#[test]
fn every_loop_sees_the_same_pendulum_by_squashed_actions() {
    if device() != Device::flex() {
        return;
    }
    let network = |device: &Device| {
        let mut rng = SmallRng::seed_from_u64(3);
        let net = perceptron(&[16]).build(3, 1, 0.5, &mut rng, device);
        WithLogStd::new(net, 1, 0.3, device)
    };
    let bounds = Bounds::new(&[-2.0], &[2.0]).unwrap();
    let kind = DistKind::SquashedGaussian { bounds };
    compare("Pendulum-v1", kind, [20, 60], network);
}
