//! Train PPO on CartPole and watch it learn.
//!
//! ```text
//! cargo run --release --example train_ppo
//! ```
//!
//! Prints a line every 5,000 steps; the mean return reaches 475 of 500 before the end.

use burn::tensor::Device;
use std::error::Error;
use uphill_algos::{AlgoConfig, RunConfig, Trainer, ppo::PpoConfig};
use uphill_core::schedule::Schedule::Linear;

pub fn run(total_steps: u64) -> Result<(), Box<dyn Error>> {
    let ppo = PpoConfig {
        steps: 32,
        epochs: 20,
        minibatches: 1,
        learning_rate: Linear {
            from: 1e-3,
            to: 0.0,
        },
        clip: Linear { from: 0.2, to: 0.0 },
        gamma: 0.98,
        gae_lambda: 0.8,
        value_clip: 0.0,
        value_coef: 1.0,
        ..PpoConfig::default()
    };
    let config = RunConfig::new("CartPole-v1", 8, total_steps, AlgoConfig::Ppo(ppo));
    let mut trainer = Trainer::new(config, &Device::flex())?;
    while !trainer.finished() {
        let report = trainer.step()?;
        if report.iteration % 20 == 0 {
            let mean = report.episode_return_mean.unwrap_or(0.0);
            println!("step {:6}  return {mean:5.1}", report.env_steps);
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run(100_000)
}
