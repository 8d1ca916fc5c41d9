//! Your own distribution: samples, log-probabilities, entropy, KL.
//!
//! ```text
//! cargo run --release --example custom_distribution
//! ```
//!
//! Double exponentials instead of Gaussians, whose heavier tails explore further. Trains on a linear system with
//! quadratic cost and prints the mean return before and after training, and that of the optimal policy.

use std::error::Error;
use uphill::{
    algos::{RunConfig, Trainer, ppo::PpoConfig},
    burn::tensor::{Device, Tensor},
    core::{
        dist::{DistKind, Distribution, NoiseKind},
        network::WithLogStd,
        nn::MlpConfig,
        policy::{Actor, Critic},
        schedule::Schedule,
    },
    rand::{SeedableRng, rngs::SmallRng},
};

/// Densities exp(−|a − m| / b) / 2b in each component; parameters are m, then ln b.
#[derive(Debug)]
struct Laplace {
    dim: usize,
}

impl Laplace {
    fn split(&self, params: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let location = params.clone().narrow(1, 0, self.dim);
        (location, params.narrow(1, self.dim, self.dim))
    }
}

/// Sum over components, `[B, A]` → `[B]`.
fn sum(terms: Tensor<2>) -> Tensor<1> {
    terms.sum_dim(1).squeeze_dim(1)
}

impl Distribution for Laplace {
    fn param_width(&self) -> usize {
        2 * self.dim
    }

    fn action_width(&self) -> usize {
        self.dim
    }

    fn noise(&self) -> (usize, NoiseKind) {
        (self.dim, NoiseKind::Uniform)
    }

    /// The inverse of the distribution function: m − b sign(u − ½) ln(1 − 2 |u − ½|).
    fn sample(&self, params: Tensor<2>, uniform: Tensor<2>) -> Tensor<2> {
        let (location, log_scale) = self.split(params);
        let centred = uniform - 0.5;
        let tail = (centred.clone().abs() * -2.0 + 1.0).log();
        location - log_scale.exp() * centred.sign() * tail
    }

    fn log_prob(&self, params: Tensor<2>, actions: Tensor<2>) -> Tensor<1> {
        let (location, log_scale) = self.split(params);
        let distance = (actions - location).abs() * log_scale.clone().neg().exp();
        sum((distance + log_scale + 2f64.ln()).neg())
    }

    fn entropy(&self, params: Tensor<2>) -> Tensor<1> {
        let (_, log_scale) = self.split(params);
        sum(log_scale + (1.0 + 2f64.ln()))
    }

    fn mode(&self, params: Tensor<2>) -> Tensor<2> {
        self.split(params).0
    }

    /// With d = |m_p − m_q|: ln(b_q / b_p) + (b_p e^(−d / b_p) + d) / b_q − 1.
    fn kl(&self, p: Tensor<2>, q: Tensor<2>) -> Option<Tensor<1>> {
        let ((mp, log_bp), (mq, log_bq)) = (self.split(p), self.split(q));
        let (distance, bp) = ((mp - mq).abs(), log_bp.clone().exp());
        let spread = bp.clone() * (distance.clone() / bp).neg().exp() + distance;
        Some(sum(
            log_bq.clone() - log_bp + spread * log_bq.neg().exp() - 1.0
        ))
    }
}

pub fn run(total_steps: u64) -> Result<(), Box<dyn Error>> {
    let device = Device::flex();
    let ppo = PpoConfig {
        steps: 64,
        minibatches: 4,
        learning_rate: Schedule::Linear {
            from: 3e-3,
            to: 0.0,
        },
        ..PpoConfig::default()
    };
    let mut config = RunConfig::new("ProbeLqr-v0", 8, total_steps, ppo.into());
    config.normalize.reward = true;
    let env = uphill::envs::make("ProbeLqr-v0", 8, &device)?;
    let (inputs, dim) = (env.spec().obs.dim(), env.spec().action.width());

    let mut rng = SmallRng::seed_from_u64(1);
    let mlp = MlpConfig::default();
    let location = mlp.build(inputs, dim, 0.01, &mut rng, &device);
    let network = WithLogStd::new(location, dim, -0.5, &device);
    let actor = Actor::new(network, DistKind::custom(Laplace { dim }));
    let critic = Critic::new(mlp.build(inputs, 1, 1.0, &mut rng, &device));
    let mut trainer = Trainer::from_parts(config, env, actor, critic)?;

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
    run(200_000)
}
