//! Every loss, log-probability, entropy and KL against central differences, in f64.
//!
//! A binary of its own: the float type of a device is fixed once per process.

#![allow(clippy::unwrap_used)]

#[path = "gradients/dense.rs"]
mod dense;
#[path = "gradients/dist.rs"]
mod dist;
#[path = "gradients/lbfgs.rs"]
mod lbfgs;
#[path = "gradients/memory.rs"]
mod memory;
#[path = "gradients/second_order.rs"]
mod second_order;
#[path = "gradients/tensors.rs"]
mod tensors;

use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::sync::OnceLock;
use uphill_core::{
    advantage::standardize,
    dist::{Bounds, DistKind},
    loss::{
        ActorCriticLoss, Surrogate, approx_kl, clipped_surrogate, clipped_value_loss,
        policy_gradient_surrogate, ratio_surrogate, value_loss,
    },
    network::{Net, WithLogStd},
    nn::{Activation, Init, MlpConfig},
    policy::{Actor, Critic},
    rollout::Batch,
};

fn device() -> Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    let make = || {
        let mut device = Device::flex();
        device.configure(FloatDType::F64).unwrap();
        device
    };
    DEVICE.get_or_init(make).clone()
}

fn vector(values: &[f64]) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), &device())
}

fn random(len: usize, scale: f64, seed: u64) -> Vec<f64> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut unit = || rng.next_u32() as f64 / f64::from(u32::MAX);
    (0..len).map(|_| (2.0 * unit() - 1.0) * scale).collect()
}

fn matrix(rows: usize, columns: usize, scale: f64, seed: u64) -> Tensor<2> {
    vector(&random(rows * columns, scale, seed)).reshape([rows, columns])
}

fn numbers(tensor: Tensor<1>) -> Vec<f64> {
    tensor.into_data().iter().collect()
}

/// Compares d f / d x by autodiff with central differences, `f: [P] → [1]`.
#[track_caller]
fn check(at: &[f64], f: impl Fn(Tensor<1>) -> Tensor<1>) {
    let x = vector(at).autodiff().require_grad();
    let grads = f(x.clone()).backward();
    check_against(at, &numbers(x.grad(&grads).unwrap()), f);
}

#[track_caller]
fn check_against(at: &[f64], found: &[f64], f: impl Fn(Tensor<1>) -> Tensor<1>) {
    const STEP: f64 = 1e-5;
    let value = |i: usize, e: f64| {
        let mut moved = at.to_vec();
        moved[i] += e;
        numbers(f(vector(&moved)))[0]
    };
    let expected: Vec<f64> = (0..at.len())
        .map(|i| (value(i, STEP) - value(i, -STEP)) / (2.0 * STEP))
        .collect();
    let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
    let difference: Vec<f64> = found.iter().zip(&expected).map(|(a, b)| a - b).collect();
    assert!(
        norm(&expected) > 1e-3,
        "this test sees no slope: {expected:?}"
    );
    let error = norm(&difference) / norm(&expected);
    assert!(
        error < 1e-7,
        "relative error {error:e}\nfound {found:?}\nexpected {expected:?}"
    );
}

const BATCH: usize = 5;

/// One of each kind.
fn kinds() -> [DistKind; 5] {
    let bounds = Bounds::new(&[-1.0, 0.5], &[2.0, 0.75]).unwrap();
    [
        DistKind::Categorical { choices: 3 },
        DistKind::MultiDiscrete {
            choices: vec![2, 3],
        },
        DistKind::Gaussian { dim: 2 },
        DistKind::SquashedGaussian {
            bounds: bounds.clone(),
        },
        DistKind::Beta { bounds },
    ]
}

/// Actions that the kind could take.
fn actions(kind: &DistKind) -> Tensor<2> {
    let indices = |choices: &[usize]| {
        let row = |i: usize| choices.iter().map(move |n| (i % n) as f64);
        let rows: Vec<f64> = (0..BATCH).flat_map(row).collect();
        vector(&rows).reshape([BATCH, choices.len()])
    };
    match kind {
        DistKind::Categorical { choices } => indices(&[*choices]),
        DistKind::MultiDiscrete { choices } => indices(choices),
        _ => matrix(BATCH, kind.action_width(), 1.5, 11),
    }
}

#[test]
fn log_prob_entropy_and_kl() {
    for kind in kinds() {
        let width = kind.param_width();
        let at = random(BATCH * width, 0.8, 1);
        let weights = vector(&random(BATCH, 1.0, 2));
        let dist = |x: Tensor<1>| kind.with_params(x.reshape([BATCH, width]));
        let fixed = kind.with_params(matrix(BATCH, width, 0.8, 3));
        check(&at, |x| {
            (dist(x).log_prob(actions(&kind)) * weights.clone()).sum()
        });
        check(&at, |x| (dist(x).entropy() * weights.clone()).sum());
        check(&at, |x| (dist(x).kl(&fixed) * weights.clone()).sum());
        check(&at, |x| (fixed.kl(&dist(x)) * weights.clone()).sum());
    }
}

#[test]
fn surrogates() {
    // Ratios on both sides of the clip, none within a step of it.
    let log_ratios = [0.5, -0.5, 0.1, -0.1, 0.05];
    for sign in [1.0, -1.0] {
        let advantages = vector(&random(BATCH, 1.0, 4)) * sign;
        check(&log_ratios, |x| {
            clipped_surrogate(x, advantages.clone(), 0.2)
        });
        check(&log_ratios, |x| {
            policy_gradient_surrogate(x, advantages.clone())
        });
        check(&log_ratios, |x| ratio_surrogate(x, advantages.clone()));
    }
    check(&log_ratios, approx_kl);
}

#[test]
fn value_losses() {
    let values = random(BATCH, 1.0, 5);
    let old_values = vector(&random(BATCH, 1.0, 6));
    let returns = vector(&random(BATCH, 2.0, 7));
    check(&values, |x| value_loss(x, returns.clone()));
    check(&values, |x| {
        clipped_value_loss(x, old_values.clone(), returns.clone(), 0.3)
    });
}

#[test]
fn standardisation_passes_gradients_through() {
    let at = random(BATCH, 1.0, 8);
    let weights = vector(&random(BATCH, 1.0, 9));
    check(&at, |x| (standardize(x) * weights.clone()).sum());
}

#[test]
fn networks_by_all_their_parameters() {
    for activation in [Activation::Tanh, Activation::Relu] {
        let config = MlpConfig {
            hidden: vec![4, 3],
            activation,
            init: Init::Uniform,
        };
        let mlp = config.build(2, 2, 1.0, &mut SmallRng::seed_from_u64(1), &device());
        let net = Net::new(WithLogStd::new(mlp, 2, -0.3, &device()));
        let (obs, weights) = (matrix(BATCH, 2, 1.0, 12), matrix(BATCH, 4, 1.0, 13));
        let f = |net: &Net| (net.forward(obs.clone()) * weights.clone()).sum();
        let tracked = net.tracked();
        let grad = numbers(tracked.flat_grad(&f(&tracked).backward()));
        check_against(&numbers(net.flat()), &grad, |x| f(&net.with_flat(x)));
    }
}

/// The whole loss of each algorithm by the parameters of actor and critic together.
#[test]
fn losses_of_actor_and_critic() {
    for kind in kinds() {
        for surrogate in [
            Surrogate::LogProb,
            Surrogate::Clipped { clip: 0.2 },
            Surrogate::Penalised {
                kl_coef: 3.0,
                clip: 0.2,
            },
        ] {
            check_loss(&kind, surrogate.clone(), false);
            check_loss(&kind, surrogate, true);
        }
    }
}

fn check_loss(kind: &DistKind, surrogate: Surrogate, standardize: bool) {
    let mlp = |outputs, seed| {
        let config = MlpConfig {
            hidden: vec![4],
            ..Default::default()
        };
        let mut rng = SmallRng::seed_from_u64(seed);
        config.build(2, outputs, 1.0, &mut rng, &device())
    };
    let actor = |seed| match kind {
        DistKind::Gaussian { dim } => {
            let net = WithLogStd::new(mlp(*dim, seed), *dim, 0.1, &device());
            Actor::new(net, kind.clone())
        }
        _ => Actor::new(mlp(kind.param_width(), seed), kind.clone()),
    };
    let (actor, critic, old) = (actor(1), Critic::new(mlp(1, 2)), actor(3));
    let obs = matrix(BATCH, 2, 1.0, 14);
    let shift = vector(&random(BATCH, 0.5, 15));
    let old_log_probs = actor.dist(obs.clone()).log_prob(actions(kind)) + shift;
    let advantages = vector(&random(BATCH, 1.0, 16));
    let returns = vector(&random(BATCH, 1.0, 17));
    let batch = Batch {
        obs: obs.clone().into(),
        actions: actions(kind),
        log_probs: old_log_probs,
        values: vector(&random(BATCH, 1.0, 18)),
        advantages,
        returns,
        sequences: None,
        agents: 1,
    };
    let loss = ActorCriticLoss {
        surrogate,
        value_clip: if standardize { 0.3 } else { 0.0 },
        value_coef: 0.5,
        entropy_coef: 0.01,
        standardize,
    };
    let loss = |actor: &Actor, critic: &Critic| loss.on((actor, critic), &old, &batch).total;
    let (a, c) = (actor.net.tracked(), critic.net.tracked());
    let grads = loss(&actor.with_net(a.clone()), &critic.with_net(c.clone())).backward();
    let found = [numbers(a.flat_grad(&grads)), numbers(c.flat_grad(&grads))].concat();
    let split = actor.net.num_params();
    let at = [numbers(actor.net.flat()), numbers(critic.net.flat())].concat();
    check_against(&at, &found, |x| {
        let rest = x.dims()[0] - split;
        let actor = actor.with_net(actor.net.with_flat(x.clone().narrow(0, 0, split)));
        let critic = critic.with_net(critic.net.with_flat(x.narrow(0, split, rest)));
        loss(&actor, &critic)
    });
}
