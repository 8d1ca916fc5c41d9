//! A policy on images: Burn's convolutions on observations `[C, H, W]`.
//!
//! ```text
//! cargo run --release --example images
//! ```
//!
//! One quarter of a picture is bright, and the action names it. Pictures are bytes in the environment, in rollouts and in
//! minibatches; they become shares of 255 where a network reads them. Prints the mean return before and after training: from
//! about 0.25, which is a guess, to 1, which is the optimum.

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
    envs::{EnvConfig, make},
};

const SIDE: usize = 12;
const ENVS: usize = 32;

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

/// Returns the mean return over the last 100 episodes.
pub fn run(total_steps: u64) -> Result<f64, Box<dyn Error>> {
    let device = Device::flex();
    device.seed(1);
    let env = EnvConfig::from("ProbeImage-v0").with("side", SIDE);
    let kind = DistKind::Categorical { choices: 4 };
    let actor = Actor::new(Eye::new(4, &device), kind);
    let critic = Critic::new(Eye::new(1, &device));
    let ppo = PpoConfig {
        steps: 16,
        minibatches: 4,
        learning_rate: Schedule::Constant(2e-3),
        ..PpoConfig::default()
    };
    let config = RunConfig::new(env.clone(), ENVS, total_steps, ppo.into());
    let mut trainer = Trainer::from_parts(config, make(env, ENVS, &device)?, actor, critic)?;

    let mut first = None;
    while !trainer.finished() {
        let report = trainer.step()?;
        first = first.or(report.episode_return_mean);
    }
    let last = trainer.episodes().mean_return();
    println!("mean return: {first:.2?} at first, {last:.2?} at the end");
    Ok(last.unwrap_or(f64::NAN))
}

fn main() -> Result<(), Box<dyn Error>> {
    run(20_000).map(|_| ())
}
