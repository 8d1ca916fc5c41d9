//! Every algorithm on every probe, in seconds: the value where the critic has to know it, the action where the
//! policy has to choose it, and the mean return at which the environment counts as solved.
//!
//! Left out, because they are elsewhere: PPO's clipped objective (`probes.rs`, `actions.rs`), ProbeIdentity
//! and ProbeLqr (`solves.rs`, `second_order.rs`), ProbeRecall, which needs a memory (`memory.rs`).

use crate::{actions::greedy, device::device, probes::values, run, train};
use uphill_algos::{
    ALGORITHMS, AlgoConfig, Trainer,
    a2c::A2cConfig,
    a3c::A3cConfig,
    config::Distribution,
    critic_fit::CriticConfig,
    eval::evaluate,
    npg::NpgConfig,
    ppo::{Objective, PpoConfig},
    reinforce::{Baseline, ReinforceConfig},
    trpo::TrpoConfig,
    trust_region::TrustRegionConfig,
    vpg::VpgConfig,
};
use uphill_core::schedule::Schedule;

/// A learning rate that falls to zero.
fn falling(from: f64) -> Schedule {
    Schedule::Linear { from, to: 0.0 }
}

/// Every algorithm, with settings that learn small problems in a second.
fn algorithms(gamma: f64) -> [AlgoConfig; 8] {
    let (steps, rate) = (32, Schedule::Constant(1e-2));
    let critic = CriticConfig {
        epochs: 4,
        minibatches: 2,
        learning_rate: Schedule::Constant(5e-3),
        ..Default::default()
    };
    [
        ReinforceConfig {
            episodes: 2,
            baseline: Baseline::Value,
            gamma,
            learning_rate: falling(2e-2),
            critic_learning_rate: rate,
            critic_steps: 5,
            ..Default::default()
        }
        .into(),
        VpgConfig {
            steps,
            gamma,
            learning_rate: falling(3e-2),
            critic_learning_rate: rate,
            critic_steps: 8,
            ..Default::default()
        }
        .into(),
        A2cConfig {
            gamma,
            learning_rate: falling(1e-2),
            ..Default::default()
        }
        .into(),
        A3cConfig {
            workers: 2,
            gamma,
            learning_rate: falling(5e-3),
            ..Default::default()
        }
        .into(),
        TrustRegionConfig {
            steps,
            gamma,
            epsilon: falling(0.05),
            critic: critic.clone(),
            ..Default::default()
        }
        .into(),
        NpgConfig {
            steps,
            gamma,
            max_kl: falling(0.05),
            critic: critic.clone(),
            ..Default::default()
        }
        .into(),
        TrpoConfig {
            steps,
            gamma,
            max_kl: falling(0.05),
            critic,
            ..Default::default()
        }
        .into(),
        PpoConfig {
            objective: Objective::Kl,
            steps,
            epochs: 4,
            minibatches: 2,
            gamma,
            learning_rate: falling(1e-2),
            value_clip: 0.0,
            ..Default::default()
        }
        .into(),
    ]
}

/// A probe, and what is known of its optimum.
struct Probe {
    env: &'static str,
    gamma: f64,
    total_steps: u64,
    distribution: Distribution,
    /// Observations and their values V.
    values: &'static [(&'static [f32], f64)],
    /// Largest |V̂ − V|.
    value_error: f64,
    /// Observations and the best actions there.
    actions: &'static [(&'static [f32], &'static [f32])],
    /// Largest |a − a*|: 0 for choices.
    action_error: f32,
}

/// Nothing is known yet.
const PROBE: Probe = Probe {
    env: "",
    gamma: 0.99,
    total_steps: 8_000,
    distribution: Distribution::Auto,
    values: &[],
    value_error: 0.1,
    actions: &[],
    action_error: 0.0,
};

/// Panics unless every algorithm finds the optimum.
#[track_caller]
fn assert_every_algorithm_solves(probe: &Probe) {
    for algo in algorithms(probe.gamma) {
        let what = format!("{} on {}", algo.name(), probe.env);
        let mut config = run(probe.env, 8, probe.total_steps, algo);
        config.network.hidden = vec![16];
        config.network.distribution = probe.distribution;
        let (trainer, _) = train(config);

        for (obs, value) in probe.values {
            let found = values(&trainer, &[obs])[0];
            let error = (f64::from(found) - value).abs();
            assert!(error <= probe.value_error, "{what}: V({obs:?}) = {found}");
        }
        for (obs, best) in probe.actions {
            let found = greedy(&trainer, &[obs]);
            assert_eq!(found.len(), best.len());
            for (a, best) in found.iter().zip(*best) {
                let error = (a - best).abs();
                assert!(error <= probe.action_error, "{what}: {found:?} for {obs:?}");
            }
        }
        let spec = uphill_envs::spec(probe.env).unwrap();
        if let Some(threshold) = spec.reward_threshold {
            let mean = mean_return(&trainer);
            assert!(mean >= threshold, "{what}: a mean return of {mean}");
        }
    }
}

/// Of the policy as it explores.
fn mean_return(trainer: &Trainer) -> f64 {
    let mut env = uphill_envs::make(&trainer.config().env, 32, &device()).unwrap();
    let result = evaluate(trainer.actor(), env.as_mut(), 1024, 9, true);
    result.unwrap().mean_return()
}

#[test]
fn no_algorithm_is_left_out() {
    let tested = algorithms(PROBE.gamma);
    for (name, _) in ALGORITHMS {
        assert!(tested.iter().any(|algo| algo.name() == *name), "{name}");
    }
}

#[test]
fn a_constant_reward_is_one_value() {
    assert_every_algorithm_solves(&Probe {
        env: "ProbeConstant-v0",
        values: &[(&[0.0], 1.0)],
        value_error: 0.05,
        ..PROBE
    });
}

#[test]
fn values_follow_the_observation() {
    assert_every_algorithm_solves(&Probe {
        env: "ProbeObservation-v0",
        values: &[(&[1.0], 1.0), (&[-1.0], -1.0)],
        ..PROBE
    });
}

#[test]
fn a_delayed_reward_is_discounted_once() {
    assert_every_algorithm_solves(&Probe {
        env: "ProbeTwoStep-v0",
        gamma: 0.5,
        total_steps: 12_000,
        values: &[(&[0.0], 0.5), (&[1.0], 1.0)],
        value_error: 0.05,
        ..PROBE
    });
}

#[test]
fn the_rewarded_action_is_taken() {
    assert_every_algorithm_solves(&Probe {
        env: "ProbeAction-v0",
        values: &[(&[0.0], 1.0)],
        actions: &[(&[0.0], &[1.0])],
        ..PROBE
    });
}

#[test]
fn both_digits_are_named() {
    assert_every_algorithm_solves(&Probe {
        env: "ProbeDigits-v0",
        total_steps: 16_000,
        actions: &[
            (&[1., 0., 0., 0., 0., 0., 1.], &[0.0, 3.0]),
            (&[0., 1., 0., 1., 0., 0., 0.], &[1.0, 0.0]),
            (&[0., 0., 1., 0., 1., 0., 0.], &[2.0, 1.0]),
        ],
        ..PROBE
    });
}

#[test]
fn the_best_allowed_item_is_taken() {
    assert_every_algorithm_solves(&Probe {
        env: "ProbeMask-v0",
        total_steps: 32_000,
        actions: &[
            (&[0., 0.33, 0.67, 1., 1., 1., 1., 1.], &[3.0]),
            (&[0., 0.33, 0.67, 1., 1., 1., 0., 0.], &[1.0]),
            (&[1., 0.67, 0.33, 0., 0., 0., 0., 1.], &[3.0]),
            (&[0.33, 1., 0.67, 0., 1., 0., 1., 1.], &[2.0]),
        ],
        ..PROBE
    });
}

/// A picture of bytes, given to a perceptron.
#[test]
fn the_bright_quarter_of_a_picture_is_named() {
    const B: f32 = 0.8;
    const D: f32 = 0.2;
    assert_every_algorithm_solves(&Probe {
        env: "ProbeImage-v0",
        total_steps: 24_000,
        actions: &[
            (&[B, B, D, D, B, B, D, D, D, D, D, D, D, D, D, D], &[0.0]),
            (&[D, D, B, B, D, D, B, B, D, D, D, D, D, D, D, D], &[1.0]),
            (&[D, D, D, D, D, D, D, D, B, B, D, D, B, B, D, D], &[2.0]),
            (&[D, D, D, D, D, D, D, D, D, D, B, B, D, D, B, B], &[3.0]),
        ],
        ..PROBE
    });
}

/// With a policy that cannot touch the stop.
#[test]
fn targets_beside_the_stop_are_hit() {
    assert_every_algorithm_solves(&Probe {
        env: "ProbeStop-v0",
        total_steps: 24_000,
        distribution: Distribution::SquashedGaussian,
        actions: &[(&[-0.9], &[-0.9]), (&[0.9], &[0.9])],
        action_error: 0.08,
        ..PROBE
    });
}
