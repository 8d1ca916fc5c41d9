//! Your own Burn module as actor and critic, without touching the crates.
//!
//! ```text
//! cargo run --release --example custom_network
//! ```
//!
//! A residual network with GELU. Anything that implements `Module` and a forward pass works: the optimiser, checkpoints
//! and resuming see its parameters as one flat vector.

use burn::{
    module::Module,
    nn::{Linear, LinearConfig},
    tensor::{Device, Tensor, activation::gelu},
};
use std::error::Error;
use uphill_algos::{AlgoConfig, RunConfig, Trainer, ppo::PpoConfig};
use uphill_core::{
    dist::DistKind,
    network::Network,
    policy::{Actor, Critic},
    schedule::Schedule,
};

#[derive(Module, Debug)]
struct Residual {
    into: Linear,
    block: Linear,
    out: Linear,
}

impl Residual {
    fn new(inputs: usize, outputs: usize, device: &Device) -> Self {
        Self {
            into: LinearConfig::new(inputs, 32).init(device),
            block: LinearConfig::new(32, 32).init(device),
            out: LinearConfig::new(32, outputs).init(device),
        }
    }
}

impl Network for Residual {
    fn forward(&self, obs: Tensor<2>) -> Tensor<2> {
        let x = gelu(self.into.forward(obs));
        let x = x.clone() + gelu(self.block.forward(x));
        self.out.forward(x)
    }
}

pub fn run(total_steps: u64) -> Result<(), Box<dyn Error>> {
    let device = Device::flex();
    // Burn's own initialisers draw from the device's generator.
    device.seed(1);
    let actor = Actor::new(
        Residual::new(4, 2, &device),
        DistKind::Categorical { choices: 2 },
    );
    let critic = Critic::new(Residual::new(4, 1, &device));

    let ppo = PpoConfig {
        steps: 32,
        minibatches: 4,
        learning_rate: Schedule::Linear {
            from: 1e-3,
            to: 0.0,
        },
        ..PpoConfig::default()
    };
    let config = RunConfig::new("CartPole-v1", 8, total_steps, AlgoConfig::Ppo(ppo));
    let env = uphill_envs::make("CartPole-v1", 8, &device)?;
    let mut trainer = Trainer::from_parts(config, env, actor, critic)?;
    if let Some(cause) = trainer.slower_path() {
        println!("{cause}");
    }
    while !trainer.finished() {
        trainer.step()?;
    }
    let mean = trainer.episodes().mean_return().unwrap_or(0.0);
    println!("mean return of the last 100 episodes: {mean:.1}");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run(40_000)
}
