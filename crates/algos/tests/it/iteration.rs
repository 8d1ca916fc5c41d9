//! The three calls of an iteration, and the report that the last one makes.

use crate::{bytes, device::device, run, small};
use std::sync::atomic::{AtomicBool, Ordering};
use uphill_algos::{
    Metrics, Report, RunConfig, StepError, Trainer,
    a3c::A3cConfig,
    ppo::{AdvantageNorm, PpoConfig},
    reinforce::ReinforceConfig,
    trpo::TrpoConfig,
};
use uphill_core::schedule::Schedule;

/// An iteration call by call.
fn by_calls(trainer: &mut Trainer) -> Result<Report, StepError> {
    let stop = AtomicBool::new(false);
    let collected = trainer.collect(&stop)?.unwrap();
    let learned = trainer.learn(collected, &stop)?.unwrap();
    trainer.report(learned)
}

#[test]
fn the_three_calls_are_an_iteration() {
    let a3c = A3cConfig {
        workers: 1,
        updates: 3,
        ..Default::default()
    };
    let mut normalised = small();
    normalised.normalize.obs = true;
    normalised.normalize.reward = true;
    normalised.normalize.reward_clip = 1.0;
    let mut configs = vec![
        normalised,
        run("CartPole-v1", 2, 1_000, ReinforceConfig::default()),
        run("CartPole-v1", 2, 1_000, a3c),
        run("CartPole-v1", 4, 1_000, {
            TrpoConfig {
                steps: 32,
                ..Default::default()
            }
        }),
    ];
    for config in &mut configs {
        config.network.hidden = vec![8];
        let make = || Trainer::new(config.clone(), &device()).unwrap();
        let (mut whole, mut parts) = (make(), make());
        for _ in 0..3 {
            assert_eq!(by_calls(&mut parts).unwrap(), whole.step().unwrap());
        }
        assert!(bytes(&parts) == bytes(&whole), "{}", config.algo.name());
    }
}

/// Rewards that are the values, γ = 0: every advantage is 0, and the values are what they should be.
#[test]
fn what_is_changed_after_collecting_is_learned_from() {
    let ppo = PpoConfig {
        steps: 16,
        epochs: 1,
        minibatches: 1,
        gamma: 0.0,
        normalize_advantages: AdvantageNorm::None,
        learning_rate: Schedule::Constant(1e-3),
        ..Default::default()
    };
    let mut config = run("CartPole-v1", 4, 1_000, ppo);
    config.network.hidden = vec![8];
    let losses = |report: Report| ["policy_loss", "value_loss"].map(|n| report.metrics.get(n));
    let stop = AtomicBool::new(false);
    let mut trainer = Trainer::new(config, &device()).unwrap();
    let mut collected = trainer.collect(&stop).unwrap().unwrap();
    let rollout = collected.rollout_mut().unwrap();
    rollout.rewards = rollout.values.clone();
    let learned = trainer.learn(collected, &stop).unwrap().unwrap();
    assert_eq!(trainer.iteration(), 0, "not counted before the report");
    let [policy, value] = losses(trainer.report(learned).unwrap()).map(Option::unwrap);
    assert!(
        policy.abs() < 1e-6 && value.abs() < 1e-10,
        "{policy} {value}"
    );
    assert_eq!((trainer.iteration(), trainer.env_steps()), (1, 64));
    // A reward of 1 in each step is what this environment pays.
    let [_, value] = losses(trainer.step().unwrap()).map(Option::unwrap);
    assert!(value > 0.1, "{value}");
}

#[test]
fn each_call_is_given_up_when_it_is_asked_to() {
    let (go, stop) = (AtomicBool::new(false), AtomicBool::new(true));
    let mut trainer = Trainer::new(small(), &device()).unwrap();
    let collected = trainer.collect(&go).unwrap().unwrap();
    assert!(trainer.learn(collected, &stop).unwrap().is_none());
    assert_eq!(trainer.iteration(), 0);
    stop.store(false, Ordering::Relaxed);
    assert!(trainer.collect(&stop).unwrap().is_some());
}

#[test]
#[should_panic(expected = "of a trainer with another algorithm")]
fn a_rollout_is_not_for_workers_who_gather_themselves() {
    let stop = AtomicBool::new(false);
    let a3c = A3cConfig {
        workers: 1,
        ..Default::default()
    };
    let make = |config: RunConfig| Trainer::new(config, &device()).unwrap();
    let collected = make(small()).collect(&stop).unwrap().unwrap();
    let _ = make(run("CartPole-v1", 2, 1_000, a3c)).learn(collected, &stop);
}

/// One flat object: keys in the order of the columns of a run's metrics, null for what does not exist.
#[test]
fn a_report_serialises_as_one_flat_object() {
    let report = Report {
        iteration: 3,
        env_steps: 192,
        episodes: 0,
        episode_return_mean: None,
        episode_length_mean: None,
        improved: false,
        metrics: Metrics(vec![
            ("policy_loss", Some(0.5)),
            ("lr", Some(1e-3)),
            ("kl", None),
        ]),
    };
    assert_eq!(
        serde_json::to_string(&report).unwrap(),
        "{\"iteration\":3,\"env_steps\":192,\"episodes\":0,\"episode_return_mean\":null,\
         \"episode_length_mean\":null,\"improved\":false,\
         \"policy_loss\":0.5,\"lr\":0.001,\"kl\":null}"
    );
    let report = Trainer::new(small(), &device()).unwrap().step().unwrap();
    let value = serde_json::to_value(&report).unwrap();
    let object = value.as_object().unwrap();
    assert!(
        object
            .values()
            .all(|value| !value.is_object() && !value.is_array())
    );
    for (name, number) in &report.metrics.0 {
        assert_eq!(object[*name].as_f64(), *number, "{name}");
    }
    assert_eq!(object["env_steps"], 64);
}
