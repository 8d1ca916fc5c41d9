//! Your own environment: two short `impl`s, which a GPU runs too.
//!
//! ```text
//! cargo run --release --example custom_env
//! cargo run --release --example custom_env --features wgpu
//! ```
//!
//! A rocket over a landing pad: fire the engine or not, and touch down slowly. Time limit, autoreset, episode
//! statistics, saving and threads come from the batch; with the feature `wgpu` the same functions are compiled for the
//! GPU, where a whole rollout is one kernel. Prints the mean return before and after training; it rises from about −0.5
//! (touching down too fast) to about 0.55 (gently).

use burn::tensor::Device;
use std::error::Error;
use uphill_algos::{AlgoConfig, RunConfig, Trainer, ppo::PpoConfig};
use uphill_core::schedule::Schedule;
use uphill_envs::{
    ActionSpace, Described, EnvSpec, IntoTask, ObsSpace, Outcome, Philox, in_kernels, kernel::*,
    register,
};

const GRAVITY: f32 = 1.6;
const THRUST: f32 = 4.0;
const DT: f32 = 0.1;
const FUEL: f32 = 0.01;

/// State: height in m, vertical speed in m/s.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "gpu", derive(CubeType))]
struct Lander;

impl Described for Lander {
    fn spec(&self) -> EnvSpec {
        EnvSpec {
            name: "Lander-v0".to_owned(),
            obs: ObsSpace::new(vec![0.0, -10.0], vec![20.0, 10.0]),
            action: ActionSpace::Discrete { n: 2 },
            time_limit: Some(100),
            reward_threshold: None,
        }
    }

    fn state_size(&self) -> usize {
        2
    }
}

#[cfg_attr(feature = "gpu", cube)]
impl Env for Lander {
    fn reset(&self, state: &mut [f32], rng: &mut Philox) {
        state[0] = rng.range(4.0f32, 6.0f32);
        state[1] = 0.0f32;
    }

    fn step(&self, state: &mut [f32], action: &[f32], _rng: &mut Philox) -> Outcome {
        let speed = clip(state[1] + (action[0] * THRUST - GRAVITY) * DT, 10.0f32);
        let height = state[0] + speed * DT;
        let landed = height <= 0.0f32;
        state[0] = select(landed, 0.0f32, height);
        state[1] = speed;
        Outcome {
            reward: select(landed, 1.0f32 + speed, 0.0f32) - FUEL * action[0],
            terminated: landed,
        }
    }

    fn observe(&self, state: &[f32], obs: &mut [f32]) {
        obs[0] = state[0];
        obs[1] = state[1];
    }
}

in_kernels!(Lander => LanderExpand {});

/// The GPU if the example was built for one.
fn device() -> Device {
    #[cfg(feature = "wgpu")]
    return Device::wgpu(burn::tensor::DeviceKind::DefaultDevice);
    #[cfg(not(feature = "wgpu"))]
    Device::flex()
}

pub fn run(total_steps: u64) -> Result<(), Box<dyn Error>> {
    // From here on configurations can name it. A second registration of the same name would be refused.
    register("Lander-v0", |config| {
        config.no_options().map(|()| Lander.into_task())
    })?;
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

    let mut trainer = Trainer::new(config, &device())?;

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
