//! Acting and learning in host memory against the same on tensors.

mod acting;
mod gradients;
mod steps;

use crate::{
    device::device,
    fused::{loss, random, random_values, same_by_largest, same_on_any_threads, same_to, step},
    numbers,
};
use burn::tensor::{Int, Tensor, TensorData};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use uphill_core::{
    advantage::standardize,
    dist::{Bounds, DistKind},
    heads,
    loss::{
        self, approx_kl, clip_fraction, clipped_surrogate, clipped_value_loss,
        policy_gradient_surrogate, ratio_surrogate, value_loss,
    },
    network::{Net, Network, WithLogStd},
    nn::{Activation, MlpConfig},
    normalize::ObsNorm,
    ops::{
        ActorCriticLoss, HostCritic, HostLearner, HostPolicy, HostStep, Surrogate,
        actor_critic_gradient, gradient_through_outputs, host_values,
    },
    optim::{Adam, clip_grad_norm},
    policy::{Actor, Critic},
    recurrent::GruNet,
    rollout::{Batch, Memory, Sequences},
};

/// Actions of a policy.
#[derive(Clone, Copy, Debug)]
enum Actions {
    Choices,
    /// Of which some are forbidden.
    Masked,
    /// Several at once.
    Several,
    Reals,
    /// Squashed by tanh.
    Bounded,
}
use Actions::{Bounded, Choices, Masked, Reals, Several};

/// Of the networks of actor and critic, and of what goes in and out.
#[derive(Clone, Debug)]
struct Shape {
    inputs: usize,
    hidden: Vec<usize>,
    activation: Activation,
    /// Alternatives of one choice or several, or real components.
    width: usize,
}

/// A number of `from` to `to`.
fn draw(from: usize, to: usize, rng: &mut SmallRng) -> usize {
    from + rng.next_u32() as usize % (to - from + 1)
}

fn one_of<T: Copy, const N: usize>(values: [T; N], rng: &mut SmallRng) -> T {
    values[draw(0, N - 1, rng)]
}

impl Shape {
    /// On all sides of whole vectors and panels; a layer is wide now and then.
    fn any(rng: &mut SmallRng) -> Self {
        let layer = |rng: &mut SmallRng| match draw(0, 9, rng) {
            0 => 256,
            _ => draw(1, 80, rng),
        };
        Self {
            inputs: draw(1, 20, rng),
            hidden: (0..draw(0, 3, rng)).map(|_| layer(rng)).collect(),
            activation: one_of([Activation::Tanh, Activation::Relu], rng),
            width: draw(1, 8, rng),
        }
    }
}

/// One of one alternative, one of two, and so on, `width` in all.
fn some_choices(width: usize) -> Vec<usize> {
    let (mut choices, mut left) = (vec![], width);
    while left > 0 {
        choices.push(left.min(choices.len() + 1));
        left -= choices[choices.len() - 1];
    }
    choices
}

/// A policy and a value function that have seen some observations.
fn agent(actions: Actions, shape: &Shape, rng: &mut SmallRng) -> (Actor, Critic) {
    agent_of(false, actions, shape, rng)
}

/// An [`agent`] whose networks are perceptrons, or on Burn's operations like a module of one's own.
fn agent_of(own: bool, actions: Actions, shape: &Shape, rng: &mut SmallRng) -> (Actor, Critic) {
    let inputs = shape.inputs;
    let width = match actions {
        // A mask is a part of the observation.
        Masked => shape.width.min(inputs),
        _ => shape.width,
    };
    let config = MlpConfig {
        hidden: shape.hidden.clone(),
        activation: shape.activation,
        ..MlpConfig::default()
    };
    let net = config.build(inputs, width, 1.0, rng, &device());
    let mut actor = match actions {
        Choices => actor_of(own, net, DistKind::Categorical { choices: width }),
        // Numbers on both sides of ½ are masks as well as others.
        Masked => {
            let net = heads::Masked::new(net);
            actor_of(own, net, DistKind::Categorical { choices: width })
        }
        Several => {
            let choices = some_choices(width);
            actor_of(own, net, DistKind::MultiDiscrete { choices })
        }
        Reals => {
            let net = WithLogStd::new(net, width, -0.4, &device());
            actor_of(own, net, DistKind::Gaussian { dim: width })
        }
        Bounded => {
            let net = WithLogStd::new(net, width, -0.4, &device());
            let low: Vec<f32> = (0..width).map(|i| -1.0 - i as f32).collect();
            let bounds = Bounds::new(&low, &vec![2.0; width]).unwrap();
            actor_of(own, net, DistKind::SquashedGaussian { bounds })
        }
    };
    let mut norm = ObsNorm::new(inputs, 1.5, &device());
    norm.merge(random([50, inputs], rng));
    let critic = Critic {
        net: net_of(own, config.build(inputs, 1, 1.0, rng, &device())),
        obs_norm: Some(norm.clone()),
    };
    actor.obs_norm = Some(norm);
    (actor, critic)
}

fn net_of(own: bool, network: impl Network) -> Net {
    if own {
        Net::stock(network)
    } else {
        Net::new(network)
    }
}

fn actor_of(own: bool, network: impl Network, kind: DistKind) -> Actor {
    Actor {
        net: net_of(own, network),
        kind,
        obs_norm: None,
    }
}

/// Of which the last column allows an action, where it is a mask.
fn observations([len, inputs]: [usize; 2], rng: &mut SmallRng) -> Tensor<2> {
    let mut values = random_values(len * inputs, rng);
    values
        .iter_mut()
        .skip(inputs - 1)
        .step_by(inputs)
        .for_each(|last| *last = 2.0);
    Tensor::from_data(TensorData::new(values, [len, inputs]), &device())
}

/// How far two vectors have come from where both were.
#[track_caller]
fn same_change(found: Tensor<1>, expected: Tensor<1>, before: &Tensor<1>, what: &str) {
    let change = |after: Tensor<1>| -> Vec<f64> {
        let pairs = numbers(after).into_iter().zip(numbers(before.clone()));
        pairs.map(|(after, before)| after - before).collect()
    };
    same_by_largest(3e-5, &change(found), &change(expected), what);
}

#[track_caller]
fn same(found: &[f64], expected: &[f64], what: &str) {
    same_by_largest(3e-5, found, expected, what);
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// `B` samples that `actor` could have made some updates ago.
fn batch(actor: &Actor, len: usize, inputs: usize, rng: &mut SmallRng) -> Batch {
    let obs = observations([len, inputs], rng);
    let (noise, _) = actor.kind.noise();
    let dist = actor.dist(obs.clone());
    let actions = dist.sample(random([len, noise], rng));
    Batch {
        log_probs: dist.log_prob(actions.clone()) + random([len], rng) * 0.2,
        obs: obs.into(),
        actions,
        values: random([len], rng),
        advantages: random([len], rng),
        returns: random([len], rng),
        sequences: None,
        agents: 1,
    }
}
