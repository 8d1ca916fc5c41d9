//! Every example, with a tiny budget.

#![allow(dead_code)] // their `main`

mod act;
mod by_hand;
mod costs;
mod custom_algorithm;
mod custom_distribution;
mod custom_env;
mod custom_network;
mod train_ppo;

use burn::tensor::Device;
use std::fs;
use tempfile::TempDir;
use uphill_algos::{RunConfig, Trainer, ppo::PpoConfig};

/// What `uphill train` leaves, as far as `act` reads it.
fn trained_run() -> TempDir {
    let mut config = RunConfig::new("CartPole-v1", 4, 64, PpoConfig::default().into());
    config.frames = 2;
    let trainer = Trainer::new(config, &Device::flex()).expect("a trainer");
    let run = tempfile::tempdir().expect("a folder");
    let text = toml::to_string(trainer.config()).expect("TOML");
    fs::write(run.path().join("config.toml"), text).expect("writing");
    let checkpoint = run.path().join("checkpoints/latest/run.safetensors");
    trainer.save().write(&checkpoint).expect("writing");
    run
}

#[test]
fn every_example_runs() {
    train_ppo::run(512).expect("train_ppo");
    act::run(trained_run().path(), 2).expect("act");
    custom_env::run(512).expect("custom_env");
    custom_network::run(512).expect("custom_network");
    by_hand::run(4).expect("by_hand");
    custom_algorithm::run(2048).expect("custom_algorithm");
    custom_distribution::run(1024).expect("custom_distribution");
    costs::run(0, 1).expect("costs");
}
