//! Kernels on a GPU against the same in host memory; nothing to do on other devices.

use crate::{
    device::device,
    fused::{loss, random_values, same_to, step},
    numbers,
};
use burn::backend::{Backend, Dispatch};
use burn::tensor::{Bool, Device, Tensor, TensorData};
use rand::{SeedableRng, rngs::SmallRng};
use uphill_core::{
    advantage::{Trace, gae_with_returns},
    dist::DistKind,
    network::{Net, WithLogStd},
    nn::{Activation, MlpConfig},
    normalize::ObsNorm,
    ops::{
        ActorCriticLoss, DeviceLearner, HostLearner, HostStep, StepDiagnostics, Surrogate,
        actor_critic_gradient, device_gradient, device_order, shuffle_keys,
    },
    optim::Adam,
    policy::{Actor, Critic},
    rollout::Batch,
};

/// The device under test, if there are kernels for it.
fn gpu() -> Option<Device> {
    device_order([1, 2], 3, &device()).map(|_| device())
}

/// A copy on another device: what is no kernel of ours is computed on the host, where nothing is compiled for it.
fn on<const D: usize>(device: &Device, tensor: &Tensor<D>) -> Tensor<D> {
    Tensor::from_data(tensor.clone().into_data(), device)
}

/// The same numbers on two devices.
fn random<const D: usize>(
    shape: [usize; D],
    rng: &mut SmallRng,
) -> impl Fn(&Device) -> Tensor<D> + use<D> {
    let values = random_values(shape.iter().product(), rng);
    move |device| Tensor::from_data(TensorData::new(values.clone(), shape), device)
}

#[track_caller]
fn same(found: &[f64], expected: &[f64], what: &str) {
    same_to(5e-5, found, expected, what);
}

/// A step of actor and critic on the GPU and on the host.
#[derive(Clone, Debug)]
struct Case {
    discrete: bool,
    hidden: Vec<usize>,
    activation: Activation,
    inputs: usize,
    width: usize,
    len: usize,
    minibatches: usize,
    value_clip: f32,
    standardize: bool,
    clipped: bool,
    max_grad_norm: f64,
    joint: bool,
}

impl Case {
    fn loss(&self) -> ActorCriticLoss {
        let surrogate = if self.clipped {
            Surrogate::Clipped { clip: 0.2 }
        } else {
            Surrogate::LogProb
        };
        loss(surrogate, self.value_clip, self.standardize)
    }

    fn step(&self) -> HostStep {
        step(self.max_grad_norm, self.joint)
    }

    fn agent(&self, device: &Device) -> (Actor, Critic) {
        let mut rng = SmallRng::seed_from_u64(5);
        let config = MlpConfig {
            hidden: self.hidden.clone(),
            activation: self.activation,
            ..MlpConfig::default()
        };
        let net = config.build(self.inputs, self.width, 1.0, &mut rng, device);
        let mut actor = if self.discrete {
            let choices = self.width;
            Actor::new(net, DistKind::Categorical { choices })
        } else {
            let net = WithLogStd::new(net, self.width, -0.4, device);
            Actor::new(net, DistKind::Gaussian { dim: self.width })
        };
        let host = Device::flex();
        let mut norm = ObsNorm::new(self.inputs, 1.5, &host);
        norm.merge(random([50, self.inputs], &mut rng)(&host));
        norm.moments.mean = on(device, &norm.moments.mean);
        norm.moments.variance = on(device, &norm.moments.variance);
        let mut critic = Critic::new(config.build(self.inputs, 1, 1.0, &mut rng, device));
        critic.obs_norm = Some(norm.clone());
        actor.obs_norm = Some(norm);
        (actor, critic)
    }

    /// Samples that the policy could have made some updates ago, on both devices.
    fn batches(&self, [gpu, host]: [&Device; 2]) -> [Batch; 2] {
        let mut rng = SmallRng::seed_from_u64(6);
        let (actor, _) = self.agent(host);
        let obs = random([self.len, self.inputs], &mut rng);
        let noise = random([self.len, actor.kind.noise().0], &mut rng);
        let dist = actor.dist(obs(host));
        let actions = dist.sample(noise(host));
        let drift = random([self.len], &mut rng)(host) * 0.2;
        let log_probs = dist.log_prob(actions.clone()) + drift;
        let others = [(); 3].map(|()| random([self.len], &mut rng));
        [gpu, host].map(|device| {
            let [values, advantages, returns] = others.each_ref().map(|x| x(device));
            Batch {
                obs: obs(device).into(),
                actions: on(device, &actions),
                log_probs: on(device, &log_probs),
                values,
                advantages,
                returns,
                sequences: None,
                agents: 1,
            }
        })
    }

    /// Moments that are not zero any more, so that a step has the size of its gradient.
    fn adam(&self, len: usize, device: &Device) -> Adam {
        let mut rng = SmallRng::seed_from_u64(7);
        let host = Device::flex();
        let mut adam = Adam::new(len, 1e-5, device);
        adam.first = on(device, &(random([len], &mut rng)(&host) * 1e-2));
        adam.second = on(
            device,
            &(random([len], &mut rng)(&host).square() * 1e-2 + 1e-3),
        );
        adam.steps = 7;
        adam
    }

    fn check_gradient(&self, gpu: &Device) {
        let host = Device::flex();
        let [batch, host_batch] = self.batches([gpu, &host]);
        let (actor, critic) = self.agent(gpu);
        let (found, means) = device_gradient(&actor, &critic, &batch, &self.loss()).unwrap();
        let (actor, critic) = self.agent(&host);
        let expected = actor_critic_gradient(&actor, &critic, &host_batch, &self.loss());
        let (expected, measured) = expected.unwrap();
        for (found, expected) in found.into_iter().zip(expected) {
            same(&numbers(found), &numbers(expected), "gradient");
        }
        let (kl, clipped) = (measured.approx_kl, measured.clip_fraction);
        let measured = [
            measured.surrogate,
            measured.entropy,
            kl,
            clipped,
            measured.value_loss,
        ];
        same(&numbers(means), &measured.map(f64::from), "mean");
    }

    fn check(&self, gpu: &Device) {
        let host = Device::flex();
        let [batch, host_batch] = self.batches([gpu, &host]);
        let (mut actor, mut critic) = self.agent(gpu);
        let (mut host_actor, mut host_critic) = self.agent(&host);
        let split = actor.net.num_params();
        let len = split + critic.net.num_params();
        let keys = [[3, 4], [5, 6]];

        let adam = self.adam(len, gpu);
        let (loss, step) = (self.loss(), self.step());
        let parts = self.minibatches;
        let agent = (&actor, &critic);
        let learner = DeviceLearner::new(None, agent, &batch, parts, adam, &loss, step);
        let mut learner = learner.unwrap();
        let reported = learner.epochs(shuffle_keys(&keys, gpu));
        let adam = learner.finish(&mut actor.net, &mut critic.net);

        let adams = self.adam(len, &host).split(split, 1);
        let minibatch = self.len / parts;
        let agent = (&host_actor, &host_critic);
        let learner = HostLearner::new(agent.0, agent.1, &host_batch, minibatch, adams, &loss);
        let mut learner = learner.unwrap();
        let mut expected = vec![];
        for key in keys {
            let order = device_order(key, self.len, gpu).unwrap().into_data();
            let order: Vec<i32> = order.iter().collect();
            let parts: Vec<_> = order
                .chunks_exact(self.len / self.minibatches)
                .map(<[i32]>::to_vec)
                .collect();
            expected.extend(learner.epoch(&parts, step));
        }
        let adams = learner.finish(&mut host_actor.net, &mut host_critic.net);

        let row = |d: &StepDiagnostics| {
            let means = [-d.surrogate, d.value_loss, d.entropy];
            [means, [d.approx_kl, d.clip_fraction, d.grad_norm]].concat()
        };
        let expected: Vec<f64> = expected.iter().flat_map(row).map(f64::from).collect();
        same(&numbers(reported), &expected, "measurement");
        let expected = Adam::joined(adams, 1);
        assert_eq!(adam.steps, expected.steps);
        same(&numbers(adam.first), &numbers(expected.first), "moment");
        same(
            &numbers(adam.second),
            &numbers(expected.second),
            "second moment",
        );
        for (net, host_net) in [(actor.net, host_actor.net), (critic.net, host_critic.net)] {
            same(&numbers(net.flat()), &numbers(host_net.flat()), "parameter");
        }
    }
}

/// PPO's step. Each case costs a driver the compilation of its kernels, so there are two.
fn clipped() -> Case {
    Case {
        discrete: true,
        hidden: vec![18, 9],
        activation: Activation::Tanh,
        inputs: 4,
        width: 2,
        len: 200,
        minibatches: 2,
        value_clip: 0.3,
        standardize: true,
        clipped: true,
        max_grad_norm: 0.5,
        joint: true,
    }
}

/// A2C's, with real actions, nothing optional, and more tiles than there are cubes.
fn plain() -> Case {
    Case {
        discrete: false,
        hidden: vec![17],
        activation: Activation::Relu,
        inputs: 5,
        width: 3,
        len: 4200,
        minibatches: 1,
        value_clip: 0.0,
        standardize: false,
        clipped: false,
        max_grad_norm: 0.0,
        joint: false,
    }
}

#[test]
fn gradient_steps_are_those_of_the_host() {
    let Some(gpu) = gpu() else { return };
    clipped().check(&gpu);
    plain().check(&gpu);
    plain().check_gradient(&gpu);
    // A gradient norm for each of the networks.
    let separate = Case {
        max_grad_norm: 0.05,
        ..plain()
    };
    separate.check(&gpu);
}

/// What ten updates of ten steps, in so many calls each, measure and leave, and whether the last was replayed.
/// Orders, rates and samples change from one to the next, and so do the networks.
fn updates(gpu: &Device, calls: usize, keep: bool) -> (Vec<f64>, [Vec<f64>; 4], bool) {
    let case = clipped();
    let [batch, _] = case.batches([gpu, &Device::flex()]);
    let (mut actor, mut critic) = case.agent(gpu);
    let len = actor.net.num_params() + critic.net.num_params();
    let (mut adam, mut kept, mut measured) = (case.adam(len, gpu), None, vec![]);
    let mut replayed = false;
    for update in 0..10 {
        let mut batch = batch.clone();
        batch.advantages = batch.advantages * (1.0 + f64::from(update));
        let (loss, mut step) = (case.loss(), case.step());
        step.learning_rates[0] /= 1.0 + f64::from(update);
        let agent = (&actor, &critic);
        let learner = DeviceLearner::new(kept.take(), agent, &batch, 2, adam, &loss, step);
        let mut learner = learner.unwrap();
        let keys: Vec<_> = (0..5).map(|epoch| [epoch, update]).collect();
        let reported: Vec<_> = keys
            .chunks(5 / calls)
            .map(|keys| learner.epochs(shuffle_keys(keys, gpu)))
            .collect();
        measured.extend(numbers(learner.summary(reported.clone())));
        measured.extend(reported.into_iter().flat_map(numbers));
        replayed = learner.is_recorded();
        adam = learner.finish(&mut actor.net, &mut critic.net);
        kept = keep.then_some(learner);
    }
    assert_eq!(adam.steps, 7 + 100);
    let state = [actor.net.flat(), critic.net.flat(), adam.first, adam.second];
    (measured, state.map(numbers), replayed)
}

#[test]
fn replayed_steps_are_the_same_bits() {
    let Some(gpu) = gpu() else { return };
    let (measured, state, replayed) = updates(&gpu, 1, false);
    assert!(!replayed);
    for calls in [1, 5] {
        let found = updates(&gpu, calls, true);
        assert!(found.2, "{calls} calls were not replayed");
        assert!(found.0 == measured, "{calls} calls: measurements differ");
        assert!(found.1 == state, "{calls} calls: states differ");
    }
    // A device that is about to record something else does not record this.
    Dispatch::graph_prepare(gpu.as_dispatch()).unwrap();
    let found = updates(&gpu, 1, true);
    Dispatch::graph_stop_capture(gpu.as_dispatch()).unwrap_err();
    assert!(!found.2 && found.0 == measured && found.1 == state);
}

#[test]
fn outputs_of_a_perceptron_are_those_of_burns_operations() {
    let Some(gpu) = gpu() else { return };
    let net = |device: &Device| {
        let mut rng = SmallRng::seed_from_u64(1);
        let hidden = vec![18, 9];
        let config = MlpConfig {
            hidden,
            ..MlpConfig::default()
        };
        let net = config.build(5, 3, 1.0, &mut rng, device);
        WithLogStd::new(net, 3, -0.4, device)
    };
    let host = Device::flex();
    let (kernel, stock) = (Net::new(net(&gpu)), Net::stock(net(&host)));
    for batch in [1, 100] {
        let obs = random([batch, 5], &mut SmallRng::seed_from_u64(2));
        let expected = numbers(stock.forward(obs(&host)));
        same(&numbers(kernel.forward(obs(&gpu))), &expected, "output");
    }
}

/// Two perceptrons in one, and two normalisers: each agent's part of the samples is what its own would make of it.
#[test]
fn several_agents_in_one_are_what_each_is_alone() {
    let Some(gpu) = gpu() else { return };
    let mut rng = SmallRng::seed_from_u64(9);
    let mut net = || Net::new(MlpConfig::default().build(3, 2, 1.0, &mut rng, &gpu));
    let nets = [net(), net()];
    let flat = Tensor::cat(nets.iter().map(Net::flat).collect(), 0);
    let both = nets[0].of_agents(flat.clone()).unwrap();
    let mut rng = SmallRng::seed_from_u64(10);
    let obs: Tensor<2> = random([2 * 5, 3], &mut rng)(&gpu);
    let parts = obs.clone().chunk(2, 0);
    let alone = |k: usize| numbers(nets[k].forward(parts[k].clone()));
    assert_eq!(
        numbers(both.forward(obs.clone())),
        [alone(0), alone(1)].concat()
    );
    assert_eq!(numbers(both.flat()), numbers(flat.clone()));
    assert_eq!(both.num_params(), nets[0].num_params());
    let changed = both.with_flat(flat * 0.5).forward(obs.clone());
    assert!(numbers(changed) != numbers(both.forward(obs.clone())));

    let norms = parts.iter().map(|part| {
        let mut norm = ObsNorm::new(3, 2.0, &gpu);
        norm.merge(part.clone());
        norm
    });
    let norms: Vec<ObsNorm> = norms.collect();
    let joined = |of: fn(&ObsNorm) -> &Tensor<1>| {
        Tensor::cat(norms.iter().map(|norm| of(norm).clone()).collect(), 0)
    };
    let mut both = norms[0].clone();
    both.moments.mean = joined(|norm| &norm.moments.mean);
    both.moments.variance = joined(|norm| &norm.moments.variance);
    both.moments.agents = 2;
    assert_eq!(both.features(), 3);
    let alone = |k: usize| numbers(norms[k].apply(parts[k].clone()));
    assert_eq!(
        numbers(both.apply(obs.clone())),
        [alone(0), alone(1)].concat()
    );
    both.merge(obs);
    let mut merged = norms;
    for (norm, part) in merged.iter_mut().zip(&parts) {
        norm.merge(part.clone());
    }
    let means = merged
        .iter()
        .flat_map(|norm| numbers(norm.moments.mean.clone()));
    assert_eq!(numbers(both.moments.mean), means.collect::<Vec<_>>());
    assert_eq!(both.moments.count, 10.0);
}

#[test]
fn advantages_are_those_of_the_host() {
    let Some(gpu) = gpu() else { return };
    let mut rng = SmallRng::seed_from_u64(2);
    let shape = [37, 300];
    let numbers_of = [(); 3].map(|()| random(shape, &mut rng));
    let flags = [(); 2].map(|()| random(shape, &mut rng));
    let on = |device: &Device| {
        let [rewards, values, next_values] = numbers_of.each_ref().map(|x| x(device));
        let flag =
            |x: &dyn Fn(&Device) -> Tensor<2>| -> Tensor<2, Bool> { x(device).greater_elem(1.7) };
        let trace = Trace {
            rewards,
            values,
            next_values,
            terminated: flag(&flags[0]),
            truncated: flag(&flags[1]),
            agents: 1,
        };
        gae_with_returns(&trace, 0.97, 0.9).map(numbers)
    };
    let (found, expected) = (on(&gpu), on(&Device::flex()));
    for (found, expected) in found.iter().zip(&expected) {
        same(found, expected, "advantage or target");
    }
}

#[test]
fn an_order_has_every_sample_once_and_keys_decide_it() {
    let Some(gpu) = gpu() else { return };
    for len in [1, 2, 3, 100, 1024, 1025] {
        let order = |key| -> Vec<f64> {
            let order = device_order(key, len, &gpu).unwrap();
            order.into_data().iter().collect()
        };
        let mut sorted = order([8, 9]);
        sorted.sort_by(f64::total_cmp);
        let all: Vec<f64> = (0..len).map(|i| i as f64).collect();
        assert_eq!(sorted, all, "{len} samples");
        if len >= 100 {
            assert_ne!(order([8, 9]), order([8, 10]));
            assert_ne!(order([8, 9]), order([7, 9]));
        }
    }
}

#[test]
fn samples_are_spread_evenly_over_places() {
    let Some(gpu) = gpu() else { return };
    // How often a sample from each eighth comes to each eighth of the order. Keys that differ in one bit, as
    // those of epochs may.
    let (len, orders) = (1000, 64);
    let mut counts = [[0.0; 8]; 8];
    let mut rises = 0;
    for key in 0..orders {
        let order = device_order([key, 77], len, &gpu).unwrap().into_data();
        let order: Vec<f64> = order.iter().collect();
        for (place, sample) in order.iter().enumerate() {
            counts[place * 8 / len][*sample as usize * 8 / len] += 1.0;
        }
        rises += order.windows(2).filter(|w| w[0] < w[1]).count();
    }
    let expected = (len * orders as usize) as f64 / 64.0;
    let chi_square: f64 = counts
        .as_flattened()
        .iter()
        .map(|count: &f64| (count - expected).powi(2) / expected)
        .sum();
    // 49 degrees of freedom: mean 49, standard deviation 9.9. Orders are permutations, which makes it smaller.
    assert!(chi_square < 90.0, "χ² = {chi_square}");
    // Half of the neighbours rise, with a standard deviation of √(n/12).
    let pairs = ((len - 1) * orders as usize) as f64;
    let off = (rises as f64 - pairs / 2.0) / (pairs / 12.0).sqrt();
    assert!(off.abs() < 5.0, "{off} standard deviations from half");
}
