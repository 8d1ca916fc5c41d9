//! Whole iterations on fused paths and on Burn's operations, which have to learn the same.

use crate::{device::device, run};
use burn::tensor::Tensor;
use uphill_algos::{
    AlgoConfig, RunConfig, Trainer,
    a2c::A2cConfig,
    a3c::A3cConfig,
    config::Distribution,
    critic_fit::CriticConfig,
    npg::NpgConfig,
    optimizer::OptimizerKind,
    ppo::{AdvantageNorm, Objective, PpoConfig},
    reinforce::{Baseline, ReinforceConfig},
    trpo::TrpoConfig,
    trust_region::TrustRegionConfig,
    vpg::VpgConfig,
};
use uphill_core::{nn::Activation, schedule::Schedule};

const COPIES: usize = 32;
/// Few, because rounding grows along an episode.
const STEPS: usize = 8;
const ITERATIONS: usize = 3;
/// Of optimisers, as large as gradients are: a step has the size of its gradient, and rounding of a small one does
/// not decide its sign.
const EPSILON: f64 = 1e-2;

fn ppo() -> PpoConfig {
    PpoConfig {
        steps: STEPS,
        epochs: 3,
        minibatches: 2,
        learning_rate: Schedule::Constant(1e-2),
        adam_epsilon: EPSILON,
        entropy_coef: Schedule::Constant(0.02),
        ..Default::default()
    }
}

fn critic() -> CriticConfig {
    CriticConfig {
        epochs: 3,
        minibatches: 2,
        learning_rate: Schedule::Constant(1e-2),
        adam_epsilon: EPSILON,
        max_grad_norm: 0.5,
        value_clip: 0.2,
        ..Default::default()
    }
}

/// Every algorithm, PPO with each of its losses.
fn algorithms() -> Vec<(&'static str, AlgoConfig)> {
    let (steps, entropy_coef) = (STEPS, Schedule::Constant(0.02));
    let kl = PpoConfig {
        objective: Objective::Kl,
        optimizer: OptimizerKind::Separate,
        value_clip: 0.0,
        normalize_advantages: AdvantageNorm::Batch,
        ..ppo()
    };
    let a2c = A2cConfig {
        steps,
        learning_rate: Schedule::Constant(1e-2),
        epsilon: EPSILON,
        ..Default::default()
    };
    let a3c = A3cConfig {
        workers: 1,
        steps,
        updates: 2,
        learning_rate: Schedule::Constant(1e-2),
        epsilon: EPSILON,
        ..Default::default()
    };
    let vpg = VpgConfig {
        steps,
        learning_rate: Schedule::Constant(1e-2),
        critic_learning_rate: Schedule::Constant(1e-2),
        critic_steps: 5,
        adam_epsilon: EPSILON,
        entropy_coef,
        ..Default::default()
    };
    let trust_region = TrustRegionConfig {
        steps,
        entropy_coef,
        critic: critic(),
        ..Default::default()
    };
    let npg = NpgConfig {
        steps,
        entropy_coef,
        critic: critic(),
        ..Default::default()
    };
    let trpo = TrpoConfig {
        steps,
        entropy_coef,
        critic: critic(),
        ..Default::default()
    };
    vec![
        ("ppo", ppo().into()),
        ("ppo, KL penalty", kl.into()),
        ("a2c", a2c.into()),
        ("a3c", a3c.into()),
        ("vpg", vpg.into()),
        ("trust-region", trust_region.into()),
        ("npg", npg.into()),
        ("trpo", trpo.into()),
    ]
}

/// By how much the parameters of actor and critic have changed after some iterations.
fn learnt(mut config: RunConfig, fused: bool) -> [Vec<f64>; 2] {
    config.network.fused = fused;
    let mut trainer = Trainer::new(config, &device()).unwrap();
    assert_eq!(trainer.actor().net.fused(), fused);
    let params = |trainer: &Trainer| [trainer.actor().net.flat(), trainer.critic().net.flat()];
    let before = params(&trainer);
    for _ in 0..ITERATIONS {
        trainer.step().unwrap();
    }
    let numbers = |params: Tensor<1>| -> Vec<f64> { params.into_data().iter().collect() };
    let [actor, critic] = params(&trainer).map(numbers);
    let [actor_before, critic_before] = before.map(numbers);
    [(actor, actor_before), (critic, critic_before)]
        .map(|(after, before)| after.iter().zip(before).map(|(a, b)| a - b).collect())
}

#[track_caller]
fn same(config: RunConfig, what: &str) {
    // Conjugate gradients multiply rounding.
    let tolerance = match config.algo {
        AlgoConfig::Npg(_) | AlgoConfig::Trpo(_) => 1e-3,
        _ => 1e-4,
    };
    let pairs = learnt(config.clone(), true)
        .into_iter()
        .zip(learnt(config, false));
    for ((fused, stock), net) in pairs.zip(["actor", "critic"]) {
        let largest = stock.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        assert!(largest > 1e-3, "{what}: the {net} learns nothing");
        let off = fused.iter().zip(&stock).map(|(f, s)| (f - s).abs());
        let off = off.fold(0.0, f64::max) / largest;
        assert!(
            off < tolerance,
            "{what}: the {net}'s change is off by {off:.1e} of the largest"
        );
    }
}

#[test]
fn iterations_learn_the_same_as_on_tensors() {
    let policies = [
        ("CartPole-v1", Distribution::Auto),
        ("ProbeDigits-v0", Distribution::Auto),
        ("ProbeMask-v0", Distribution::Auto),
        ("Pendulum-v1", Distribution::Gaussian),
        ("Pendulum-v1", Distribution::SquashedGaussian),
    ];
    for (env, distribution) in policies {
        for (name, algo) in algorithms() {
            for activation in [Activation::Tanh, Activation::Relu] {
                let mut config = run(env, COPIES, 1_000_000, algo.clone());
                config.network.hidden = vec![24, 9];
                config.network.activation = activation;
                config.network.distribution = distribution;
                config.normalize.obs = activation == Activation::Relu;
                same(config, &format!("{name}, {distribution:?}, {activation:?}"));
            }
        }
    }
}

#[test]
fn whole_episodes_teach_the_same_as_on_tensors() {
    let reinforce = ReinforceConfig {
        learning_rate: Schedule::Constant(1e-2),
        epsilon: EPSILON,
        critic_learning_rate: Schedule::Constant(1e-2),
        critic_steps: 5,
        baseline: Baseline::Value,
        ..Default::default()
    };
    let mut config = run("CartPole-v1", 4, 1_000_000, reinforce);
    config.network.hidden = vec![24, 9];
    same(config, "reinforce");
}
