//! A policy on images: Burn's convolutions on observations `[C, H, W]`.
//!
//! ```text
//! cargo run --release --example images
//! ```
//!
//! A bright spot on noise; the action names the quarter of the image that contains it. Images are stored as bytes,
//! which the network sees divided by 255. Prints the mean return before and after training: from about 0.25 to about 1.

use std::error::Error;
use uphill::{
    algos::{RunConfig, Trainer, ppo::PpoConfig},
    burn::{
        self,
        module::Module,
        nn::{
            Linear, LinearConfig,
            conv::{Conv2d, Conv2dConfig},
        },
        tensor::{Device, Tensor, activation::relu},
    },
    core::{
        dist::DistKind,
        network::Network,
        policy::{Actor, Critic},
        schedule::Schedule,
    },
    envs::{
        ActionSpace, Described, Env, EnvSpec, ObsSpace, Outcome, Philox, make, on_host, register,
    },
};

const SIDE: usize = 12;

/// State: row and column of the spot, then the noise of the image.
#[derive(Clone)]
struct Spot;

impl Described for Spot {
    fn spec(&self) -> EnvSpec {
        EnvSpec {
            name: "Spot-v0".to_owned(),
            obs: ObsSpace::image([1, SIDE, SIDE], 255, 1.0 / 255.0),
            action: ActionSpace::Discrete { n: 4 },
            time_limit: None,
            reward_threshold: None,
        }
    }

    fn state_size(&self) -> usize {
        2 + SIDE * SIDE
    }
}

impl Env for Spot {
    fn reset(&self, state: &mut [f32], rng: &mut Philox) {
        let (place, noise) = state.split_at_mut(2);
        place.fill_with(|| rng.below(SIDE as u32) as f32);
        noise.fill_with(|| rng.range(0.0, 120.0).floor());
    }

    fn step(&self, state: &mut [f32], action: &[f32], _: &mut Philox) -> Outcome {
        let half = |at: f32| f32::from(at >= SIDE as f32 / 2.0);
        let quarter = 2.0 * half(state[0]) + half(state[1]);
        Outcome {
            reward: f32::from(action[0] == quarter),
            terminated: true,
        }
    }

    fn observe(&self, state: &[f32], obs: &mut [f32]) {
        obs.copy_from_slice(&state[2..]);
        obs[state[0] as usize * SIDE + state[1] as usize] = 255.0;
    }
}

#[derive(Module, Debug)]
struct Eye {
    convolution: Conv2d,
    out: Linear,
}

impl Eye {
    fn new(outputs: usize, device: &Device) -> Self {
        let convolution = Conv2dConfig::new([1, 8], [3, 3]).with_stride([3, 3]);
        Self {
            convolution: convolution.init(device),
            out: LinearConfig::new(8 * (SIDE / 3) * (SIDE / 3), outputs).init(device),
        }
    }
}

impl Network for Eye {
    fn forward(&self, obs: Tensor<2>) -> Tensor<2> {
        let [batch, _] = obs.dims();
        let picture = obs.reshape([batch, 1, SIDE, SIDE]);
        let seen = relu(self.convolution.forward(picture));
        self.out.forward(seen.flatten(1, 3))
    }
}

pub fn run(total_steps: u64) -> Result<(), Box<dyn Error>> {
    register("Spot-v0", |config| {
        config.no_options().map(|()| on_host(Spot))
    })?;
    let device = Device::flex();
    device.seed(1);
    let kind = DistKind::Categorical { choices: 4 };
    let actor = Actor::new(Eye::new(4, &device), kind);
    let critic = Critic::new(Eye::new(1, &device));
    let ppo = PpoConfig {
        steps: 16,
        minibatches: 4,
        learning_rate: Schedule::Constant(2e-3),
        ..PpoConfig::default()
    };
    let config = RunConfig::new("Spot-v0", 32, total_steps, ppo.into());
    let mut trainer = Trainer::from_parts(config, make("Spot-v0", 32, &device)?, actor, critic)?;

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
    run(60_000)
}
