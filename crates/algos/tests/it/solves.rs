//! Every algorithm on one discrete and one continuous problem with a known optimum, in seconds. What each
//! part of an algorithm does on problems of its own is in `probes.rs`.

use crate::{device::device, run, train};
use burn::tensor::{Tensor, TensorData};
use uphill_algos::{
    AlgoConfig, RunConfig, Trainer,
    a2c::{A2cConfig, AdvantageEstimator},
    a3c::A3cConfig,
    ppo::{Objective, PpoConfig},
    reinforce::{Baseline, Credit, ReinforceConfig},
    vpg::VpgConfig,
};
use uphill_core::{nn::Init, optim::RuleKind, schedule::Schedule};
use uphill_envs::probe::lqr;

/// A learning rate that falls to zero.
fn falling(from: f64) -> Schedule {
    Schedule::Linear { from, to: 0.0 }
}

fn modes(trainer: &Trainer, rows: &[f32], width: usize) -> Vec<f32> {
    let data = TensorData::new(rows.to_vec(), [rows.len() / width, width]);
    let dist = trainer.actor().dist(Tensor::from_data(data, &device()));
    dist.mode().into_data().iter().collect()
}

/// Names the observation, one of four.
#[track_caller]
fn identity(algo: impl Into<AlgoConfig>, num_envs: usize, total_steps: u64) {
    let mut config = run("ProbeIdentity-v0", num_envs, total_steps, algo);
    config.network.hidden = vec![16];
    let (trainer, reports) = train(config);
    let mut rows = [0.0; 16];
    (0..4).for_each(|i| rows[5 * i] = 1.0);
    assert_eq!(modes(&trainer, &rows, 4), [0.0, 1.0, 2.0, 3.0]);
    let mean = reports.last().unwrap().episode_return_mean.unwrap();
    assert!(mean > 0.9, "{mean}");
}

/// Steers a linear system with the optimal gain, for a discount of 0.9.
#[track_caller]
fn regulator(algo: impl Into<AlgoConfig>, num_envs: usize, total_steps: u64) {
    let mut config: RunConfig = run("ProbeLqr-v0", num_envs, total_steps, algo);
    config.network.hidden = vec![16];
    config.network.init = Init::Uniform;
    config.network.log_std = -1.0;
    let (trainer, _) = train(config);
    let found = modes(&trainer, &[-0.7, 0.7], 1);
    for (u, x) in found.iter().zip([-0.7, 0.7]) {
        let expected = -lqr::optimal_gain(0.9) * x;
        assert!(
            (f64::from(*u) - expected).abs() < 0.3,
            "{u}, not {expected}"
        );
    }
}

fn reinforce(credit: Credit, baseline: Baseline) -> ReinforceConfig {
    ReinforceConfig {
        credit,
        baseline,
        learning_rate: falling(2e-2),
        critic_steps: 5,
        critic_learning_rate: Schedule::Constant(1e-2),
        ..Default::default()
    }
}

#[test]
fn reinforce_with_every_baseline() {
    use Baseline::*;
    for credit in [Credit::Trajectory, Credit::RewardToGo] {
        for baseline in [None, Average, Optimal, Value] {
            identity(reinforce(credit, baseline), 16, 4_000);
        }
    }
}

#[test]
fn reinforce_with_continuous_actions() {
    let algo = ReinforceConfig {
        gamma: 0.9,
        discount_steps: false,
        ..reinforce(Credit::RewardToGo, Baseline::Average)
    };
    regulator(algo, 16, 150_000);
}

fn vpg() -> VpgConfig {
    VpgConfig {
        steps: 16,
        gamma: 0.9,
        learning_rate: falling(2e-2),
        critic_learning_rate: Schedule::Constant(1e-2),
        critic_steps: 5,
        ..Default::default()
    }
}

#[test]
fn vpg_with_discrete_actions() {
    identity(vpg(), 8, 16_000);
}

#[test]
fn vpg_with_continuous_actions() {
    let algo = VpgConfig { steps: 64, ..vpg() };
    regulator(algo, 8, 100_000);
}

#[test]
fn a2c_with_every_estimator() {
    use AdvantageEstimator::*;
    for estimator in [Td, NStep, Gae, MonteCarlo] {
        let algo = A2cConfig {
            estimator,
            learning_rate: falling(1e-2),
            ..Default::default()
        };
        identity(algo, 16, 16_000);
    }
}

#[test]
fn a2c_with_continuous_actions_and_both_rules() {
    for rule in [RuleKind::RmsProp, RuleKind::Adam] {
        let algo = A2cConfig {
            rule,
            gamma: 0.9,
            steps: 8,
            n_step: 8,
            learning_rate: falling(5e-3),
            entropy_coef: Schedule::Constant(0.0),
            ..Default::default()
        };
        regulator(algo, 16, 100_000);
    }
}

fn ppo_kl() -> PpoConfig {
    PpoConfig {
        objective: Objective::Kl,
        steps: 32,
        epochs: 4,
        minibatches: 2,
        gamma: 0.9,
        learning_rate: falling(5e-3),
        value_clip: 0.0,
        ..Default::default()
    }
}

#[test]
fn ppo_with_a_kl_penalty_and_discrete_actions() {
    identity(ppo_kl(), 8, 16_000);
}

#[test]
fn ppo_with_a_kl_penalty_and_continuous_actions() {
    let algo = PpoConfig {
        steps: 128,
        minibatches: 4,
        ..ppo_kl()
    };
    regulator(algo, 8, 100_000);
}

fn a3c(learning_rate: f64) -> A3cConfig {
    A3cConfig {
        workers: 2,
        gamma: 0.9,
        learning_rate: falling(learning_rate),
        ..Default::default()
    }
}

#[test]
fn a3c_with_discrete_actions() {
    identity(a3c(5e-3), 8, 16_000);
}

#[test]
fn a3c_with_continuous_actions() {
    let algo = A3cConfig {
        steps: 8,
        entropy_coef: Schedule::Constant(0.0),
        ..a3c(3e-3)
    };
    regulator(algo, 16, 100_000);
}
