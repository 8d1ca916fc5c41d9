//! Tests of `uphill-algos` on the device that `UPHILL_TEST_DEVICE` names.

#![allow(clippy::unwrap_used)]

mod a2c;
mod a3c;
mod actions;
mod by_hand;
mod checkpoint;
#[cfg(all(feature = "gpu", feature = "flex"))]
mod cohort;
mod collect;
mod config;
mod copies;
#[path = "../../../core/tests/it/device.rs"]
mod device;
#[cfg(all(feature = "gpu", feature = "flex"))]
mod device_iteration;
mod each_algorithm;
mod eval;
mod footprint;
mod fused;
mod images;
mod iteration;
mod lab;
mod memory;
mod own_algorithm;
mod own_distribution;
mod own_names;
mod parts;
mod peers;
mod ppo;
mod probe_matrix;
mod probes;
mod reinforce;
mod resume;
mod schedules;
mod second_order;
mod solves;
mod stop;
#[path = "../../../core/tests/it/threads.rs"]
mod threads;
mod vpg;

use device::device;
use uphill_algos::{AlgoConfig, Report, RunConfig, Trainer, ppo::PpoConfig};

/// A run with these settings of an algorithm.
fn run(env: &str, num_envs: usize, total_steps: u64, algo: impl Into<AlgoConfig>) -> RunConfig {
    RunConfig::new(env, num_envs, total_steps, algo.into())
}

/// A small, quick CartPole run: four iterations of 4 × 16 steps.
fn small() -> RunConfig {
    let ppo = PpoConfig {
        steps: 16,
        epochs: 2,
        minibatches: 2,
        ..Default::default()
    };
    let mut config = run("CartPole-v1", 4, 256, ppo);
    config.network.hidden = vec![8];
    config
}

/// The PPO settings inside a configuration.
fn ppo(config: &mut RunConfig) -> &mut PpoConfig {
    match &mut config.algo {
        AlgoConfig::Ppo(ppo) => ppo,
        other => panic!("no PPO: {other:?}"),
    }
}

/// Trains until the budget is spent.
fn train(config: RunConfig) -> (Trainer, Vec<Report>) {
    let mut trainer = Trainer::new(config, &device()).unwrap();
    let mut reports = vec![];
    while !trainer.finished() {
        reports.push(trainer.step().unwrap());
    }
    (trainer, reports)
}

/// All that was learnt and counted as bytes, the strictest way to compare two trainers; not what they were
/// asked to do, which may differ without a difference to what they did.
fn bytes(trainer: &Trainer) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.safetensors");
    let mut checkpoint = trainer.save();
    checkpoint.put_config(&small());
    checkpoint.write(&path).unwrap();
    std::fs::read(path).unwrap()
}

/// A change to a configuration, and what to call it.
type Toggle = (&'static str, fn(&mut RunConfig));

/// Panics unless every change to `base` alone changes what is learnt.
#[track_caller]
fn assert_every_toggle_matters(base: &RunConfig, toggles: &[Toggle]) {
    let plain = bytes(&train(base.clone()).0);
    for (name, toggle) in toggles {
        let mut config = base.clone();
        toggle(&mut config);
        assert!(bytes(&train(config).0) != plain, "{name} changes nothing");
    }
}
