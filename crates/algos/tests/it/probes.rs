//! PPO on problems whose optimum is known. The first that fails names the part to look at.

use crate::{device::device, ppo, run, train};
use burn::tensor::{Tensor, TensorData};
use uphill_algos::{RunConfig, Trainer, ppo::PpoConfig};
use uphill_core::{dist::Dist, nn::Init, schedule::Schedule};
use uphill_envs::probe::lqr;

/// PPO that learns small problems in a second.
fn quick(env: &str, total_steps: u64) -> RunConfig {
    let settings = PpoConfig {
        steps: 32,
        epochs: 4,
        minibatches: 2,
        learning_rate: Schedule::Linear {
            from: 5e-3,
            to: 0.0,
        },
        value_clip: 0.0,
        ..Default::default()
    };
    let mut config = run(env, 8, total_steps, settings);
    config.network.hidden = vec![16];
    config
}

fn batch(rows: &[&[f32]]) -> Tensor<2> {
    let data = TensorData::new(rows.concat(), [rows.len(), rows[0].len()]);
    Tensor::from_data(data, &device())
}

pub(crate) fn values(trainer: &Trainer, rows: &[&[f32]]) -> Vec<f32> {
    trainer
        .critic()
        .values(batch(rows))
        .into_data()
        .iter()
        .collect()
}

pub(crate) fn modes(trainer: &Trainer, rows: &[&[f32]]) -> Vec<f32> {
    trainer
        .actor()
        .dist(batch(rows))
        .mode()
        .into_data()
        .iter()
        .collect()
}

#[track_caller]
pub(crate) fn close(found: f32, expected: f64, tolerance: f64) {
    assert!(
        (f64::from(found) - expected).abs() <= tolerance,
        "{found} is not {expected}"
    );
}

#[test]
fn constant_reward_teaches_the_critic_one_value() {
    let (trainer, _) = train(quick("ProbeConstant-v0", 8_000));
    close(values(&trainer, &[&[0.0]])[0], 1.0, 0.05);
}

#[test]
fn observed_reward_teaches_the_critic_to_look() {
    let (trainer, _) = train(quick("ProbeObservation-v0", 8_000));
    let v = values(&trainer, &[&[1.0], &[-1.0]]);
    close(v[0], 1.0, 0.1);
    close(v[1], -1.0, 0.1);
}

#[test]
fn delayed_reward_is_discounted_once() {
    let mut config = quick("ProbeTwoStep-v0", 12_000);
    ppo(&mut config).gamma = 0.5;
    let (trainer, _) = train(config);
    let v = values(&trainer, &[&[0.0], &[1.0]]);
    close(v[0], 0.5, 0.05);
    close(v[1], 1.0, 0.05);
}

#[test]
fn rewarded_action_is_taken() {
    let (trainer, reports) = train(quick("ProbeAction-v0", 8_000));
    assert_eq!(modes(&trainer, &[&[0.0]]), [1.0]);
    close(values(&trainer, &[&[0.0]])[0], 1.0, 0.1);
    assert!(reports.last().unwrap().episode_return_mean.unwrap() > 0.9);
}

#[test]
fn action_follows_the_observation() {
    let (trainer, reports) = train(quick("ProbeIdentity-v0", 16_000));
    let rows: [&[f32]; 4] = [
        &[1., 0., 0., 0.],
        &[0., 1., 0., 0.],
        &[0., 0., 1., 0.],
        &[0., 0., 0., 1.],
    ];
    assert_eq!(modes(&trainer, &rows), [0.0, 1.0, 2.0, 3.0]);
    assert!(reports.last().unwrap().episode_return_mean.unwrap() > 0.9);
}

/// Continuous actions, and episodes that only ever end by truncation: a critic that took those for
/// ends would value the states by the steps left on a clock it cannot see.
#[test]
fn the_linear_quadratic_regulator_is_solved() {
    let gamma = 0.9;
    let mut config = quick("ProbeLqr-v0", 150_000);
    // The value is an even function; tanh units without biases have no slope towards one.
    config.network.init = Init::Uniform;
    config.network.hidden = vec![32];
    config.network.log_std = -1.0;
    ppo(&mut config).steps = 128;
    ppo(&mut config).epochs = 8;
    ppo(&mut config).minibatches = 4;
    ppo(&mut config).gamma = gamma;
    let (trainer, _) = train(config);

    let states: [&[f32]; 3] = [&[-0.7], &[0.0], &[0.7]];
    let (u, v) = (modes(&trainer, &states), values(&trainer, &states));
    let dist = trainer.actor().dist(batch(&states));
    let Dist::Gaussian(gaussian) = dist else {
        panic!("a real action")
    };
    let log_std: f32 = gaussian.log_std().mean().into_scalar();
    // Exploring with standard deviation σ costs r σ² now and γ p b² σ² later, in every step.
    let p = lqr::riccati(gamma);
    let exploration = (0.1 + gamma * p * 0.25) * (2.0 * f64::from(log_std)).exp();
    for (i, x) in [-0.7, 0.0, 0.7].into_iter().enumerate() {
        close(u[i], -lqr::optimal_gain(gamma) * x, 0.25);
        close(
            v[i],
            lqr::optimal_value(x, gamma) - exploration / (1.0 - gamma),
            0.2,
        );
    }
}
