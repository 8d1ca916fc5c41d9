//! Cost of your own parts beside the built-in ones, in steps per second.
//!
//! ```text
//! cargo run --release --example costs
//! ```
//!
//! PPO on CartPole-v1, 8 copies × 128 steps, with one part exchanged at a time, measured in turns. Prints the median
//! rate of each and how many times slower it is than the built-in one.

#[cfg(not(test))]
#[path = "custom_algorithm.rs"]
#[allow(dead_code)] // its `main`
mod custom_algorithm;
#[cfg(test)]
use super::custom_algorithm;

use custom_algorithm::SpoConfig;
use std::{error::Error, time::Instant};
use uphill::{
    algos::{AlgoConfig, RunConfig, Trainer, build_actor, build_critic, ppo::PpoConfig},
    burn::{
        self,
        module::Module,
        tensor::{Device, Tensor},
    },
    core::{
        dist::{Categorical, DistKind, Distribution, NoiseKind},
        network::Network,
        nn::{LayerNorm, Linear, MlpConfig, tanh},
        policy::{Actor, Critic},
    },
    rand::{SeedableRng, rngs::SmallRng},
};

const COPIES: usize = 8;
const STEPS: usize = 128;

/// Two hidden layers of 64, optionally with layer normalisation.
#[derive(Module, Debug)]
struct Own {
    layers: Vec<Linear>,
    norms: Vec<LayerNorm>,
    /// Burn's tanh instead of the one that is fast on a CPU.
    #[module(skip)]
    stock_tanh: bool,
}

impl Own {
    fn new(outputs: usize, gain: f64, norms: bool, stock_tanh: bool) -> Self {
        let device = Device::flex();
        let mut rng = SmallRng::seed_from_u64(1);
        let mlp = MlpConfig::default().build(4, outputs, gain, &mut rng, &device);
        let norm = |_| LayerNorm::new(64, &device);
        Self {
            layers: mlp.layers,
            norms: (0..2).filter(|_| norms).map(norm).collect(),
            stock_tanh,
        }
    }
}

impl Network for Own {
    fn forward(&self, obs: Tensor<2>) -> Tensor<2> {
        let mut x = obs;
        for (i, layer) in self.layers[..2].iter().enumerate() {
            x = layer.forward(x);
            if let Some(norm) = self.norms.get(i) {
                x = norm.forward(x);
            }
            x = if self.stock_tanh { x.tanh() } else { tanh(x) };
        }
        self.layers[2].forward(x)
    }
}

/// The built-in distribution as a user-defined one.
#[derive(Debug)]
struct Two;

impl Distribution for Two {
    fn param_width(&self) -> usize {
        2
    }
    fn action_width(&self) -> usize {
        1
    }
    fn noise(&self) -> (usize, NoiseKind) {
        (2, NoiseKind::Gumbel)
    }
    fn sample(&self, logits: Tensor<2>, gumbel: Tensor<2>) -> Tensor<2> {
        Categorical::from_logits(logits).sample(gumbel)
    }
    fn log_prob(&self, logits: Tensor<2>, actions: Tensor<2>) -> Tensor<1> {
        Categorical::from_logits(logits).log_prob(actions)
    }
    fn entropy(&self, logits: Tensor<2>) -> Tensor<1> {
        Categorical::from_logits(logits).entropy()
    }
    fn mode(&self, logits: Tensor<2>) -> Tensor<2> {
        Categorical::from_logits(logits).mode()
    }
}

/// A run with parts made from a configuration; the built-in ones if it makes none.
fn trainer(
    algo: AlgoConfig,
    change: impl FnOnce(&mut Actor, &mut Critic),
) -> Result<Trainer, Box<dyn Error>> {
    let device = Device::flex();
    let config = RunConfig::new("CartPole-v1", COPIES, u64::MAX >> 1, algo);
    let env = uphill::envs::make("CartPole-v1", COPIES, &device)?;
    let mut actor = build_actor(&config, env.spec(), &device)?;
    let mut critic = build_critic(&config, env.spec(), &device);
    change(&mut actor, &mut critic);
    Ok(Trainer::from_parts(config, env, actor, critic)?)
}

/// Actor and critic, or the critic alone, as user-defined modules.
fn own(norms: bool, stock_tanh: bool, critic_alone: bool) -> impl FnOnce(&mut Actor, &mut Critic) {
    move |actor, critic| {
        if !critic_alone {
            *actor = Actor::new(Own::new(2, 0.01, norms, stock_tanh), actor.kind.clone());
        }
        *critic = Critic::new(Own::new(1, 1.0, norms, stock_tanh));
    }
}

pub fn run(rounds: usize, iterations: usize) -> Result<(), Box<dyn Error>> {
    let ppo = || -> AlgoConfig {
        PpoConfig {
            steps: STEPS,
            minibatches: 4,
            ..PpoConfig::default()
        }
        .into()
    };
    let spo = AlgoConfig::custom(SpoConfig {
        steps: STEPS,
        epochs: PpoConfig::default().epochs,
        ..SpoConfig::default()
    });
    let kind = |actor: &mut Actor, _: &mut Critic| actor.kind = DistKind::custom(Two);
    let mut runs = [
        ("built-in", trainer(ppo(), |_, _| ())?),
        (
            "critic with layer norms",
            trainer(ppo(), own(true, false, true))?,
        ),
        (
            "networks, perceptrons",
            trainer(ppo(), own(false, false, false))?,
        ),
        (
            "networks with layer norms",
            trainer(ppo(), own(true, false, false))?,
        ),
        (
            "the same with Burn's tanh",
            trainer(ppo(), own(true, true, false))?,
        ),
        ("distribution", trainer(ppo(), kind)?),
        ("algorithm", trainer(spo, |_, _| ())?),
    ];
    let mut rates = vec![vec![]; runs.len()];
    for round in 0..=rounds {
        for ((_, trainer), rates) in runs.iter_mut().zip(&mut rates) {
            let clock = Instant::now();
            for _ in 0..iterations {
                trainer.step()?;
            }
            let steps = (iterations * COPIES * STEPS) as f64;
            // The first round warms up.
            if round > 0 || rounds == 0 {
                rates.push(steps / clock.elapsed().as_secs_f64());
            }
        }
    }
    let median = |rates: &mut Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    let medians: Vec<f64> = rates.iter_mut().map(median).collect();
    for ((name, _), rate) in runs.iter().zip(&medians) {
        println!("{name:26} {rate:9.0} steps/s   {:5.2} ×", medians[0] / rate);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    run(7, 10)
}
