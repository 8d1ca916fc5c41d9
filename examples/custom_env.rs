//! An environment of your own: one struct, five short functions.
//!
//! ```text
//! cargo run --release --example custom_env
//! ```
//!
//! A rocket over a landing pad: fire the engine or not, touch down slowly. Time limit, autoreset,
//! episode statistics, saving and threads come from `HostBatch`. Prints the mean return before and
//! after training; it rises from about −0.5 (touching down too fast) to about 0.55 (gently).

use burn::tensor::Device;
use std::error::Error;
use uphill_algos::{AlgoConfig, RunConfig, Trainer, build_actor, build_critic, ppo::PpoConfig};
use uphill_core::schedule::Schedule;
use uphill_envs::{ActionSpace, EnvSpec, HostBatch, HostEnv, ObsSpace, Outcome, Philox};

const GRAVITY: f32 = 1.6;
const THRUST: f32 = 4.0;
const DT: f32 = 0.1;

/// State: height in m, vertical speed in m/s.
struct Lander;

impl HostEnv for Lander {
    fn spec(&self) -> EnvSpec {
        EnvSpec {
            name: "Lander-v0".to_owned(),
            obs: ObsSpace {
                low: vec![0.0, -10.0],
                high: vec![20.0, 10.0],
            },
            action: ActionSpace::Discrete { n: 2 },
            time_limit: Some(100),
            reward_threshold: None,
        }
    }

    fn state_size(&self) -> usize {
        2
    }

    fn reset(&self, state: &mut [f32], rng: &mut Philox) {
        state[0] = rng.range(4.0, 6.0);
        state[1] = 0.0;
    }

    fn step(&self, state: &mut [f32], action: &[f32], _rng: &mut Philox) -> Outcome {
        let acceleration = action[0] * THRUST - GRAVITY;
        state[1] = (state[1] + acceleration * DT).clamp(-10.0, 10.0);
        state[0] = (state[0] + state[1] * DT).clamp(0.0, 20.0);
        let landed = state[0] <= 0.0;
        let fuel = -0.01 * action[0];
        Outcome {
            reward: if landed { fuel + 1.0 + state[1] } else { fuel },
            terminated: landed,
        }
    }

    fn observe(&self, state: &[f32], obs: &mut [f32]) {
        obs.copy_from_slice(state);
    }
}

pub fn run(total_steps: u64) -> Result<(), Box<dyn Error>> {
    let device = Device::flex();
    let ppo = PpoConfig {
        steps: 64,
        epochs: 8,
        minibatches: 4,
        learning_rate: Schedule::Linear {
            from: 2e-3,
            to: 0.0,
        },
        ..PpoConfig::default()
    };
    let mut config = RunConfig::new("Lander-v0", 8, total_steps, AlgoConfig::Ppo(ppo));
    config.normalize.obs = true;
    config.network.hidden = vec![32, 32];

    let env = HostBatch::new(Lander, config.num_envs, &device)?;
    let actor = build_actor(&config, &Lander.spec(), &device)?;
    let critic = build_critic(&config, &Lander.spec(), &device);
    let mut trainer = Trainer::from_parts(config, Box::new(env), actor, critic)?;

    let mut first = None;
    while !trainer.finished() {
        let report = trainer.step()?;
        first = first.or(report.episode_return_mean);
    }
    let last = trainer.episodes().mean_return();
    println!("mean return: {first:.2?} at first, {last:.2?} at the end");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run(100_000)
}
