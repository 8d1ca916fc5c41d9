//! Your own algorithm in the trainer: settings, one update, its optimiser in the checkpoint.
//!
//! ```text
//! cargo run --release --example custom_algorithm
//! ```
//!
//! Simple policy optimisation (Xie et al., arXiv:2401.16025): PPO with a parabola in the ratio ρ in place of the clip,
//! max mean(ρ A − |A| (ρ − 1)² / 2ε). The trainer provides environments, reward scaling, reports, the divergence check
//! and checkpoints. Stops half way, resumes from the file and prints the mean return, which reaches 500, the maximum.

use std::error::Error;
use uphill::{
    algos::{
        AlgoConfig, Algorithm, Checkpoint, CheckpointError, ConfigError, CustomSettings, Horizon,
        Learner, Measured, RunConfig, Settings, Trainer, UpdateContext, random::index_tensor,
    },
    burn::tensor::{Device, Tensor},
    core::{
        advantage::{gae, standardize},
        loss::value_loss,
        optim::{Adam, clip_grad_norm},
        policy::{Actor, Critic},
        rollout::{Batch, Rollout},
    },
    serde::{Deserialize, Serialize},
};

/// The `[algo]` table of a configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(crate = "uphill::serde", default, deny_unknown_fields)]
pub struct SpoConfig {
    pub steps: usize,
    pub epochs: usize,
    pub minibatches: usize,
    pub learning_rate: f64,
    pub epsilon: f64,
    pub gamma: f64,
    pub gae_lambda: f64,
}

impl Default for SpoConfig {
    fn default() -> Self {
        Self {
            steps: 64,
            epochs: 6,
            minibatches: 4,
            learning_rate: 1e-3,
            epsilon: 0.2,
            gamma: 0.98,
            gae_lambda: 0.9,
        }
    }
}

impl Settings for SpoConfig {
    fn horizon(&self) -> Horizon {
        Horizon::Steps(self.steps)
    }

    fn gamma(&self) -> f64 {
        self.gamma
    }

    fn minibatch(&self, num_envs: usize) -> usize {
        self.steps * num_envs / self.minibatches.max(1)
    }

    fn validate(&self, num_envs: usize) -> Result<(), ConfigError> {
        let samples = self.steps * num_envs;
        if self.minibatches == 0 || !samples.is_multiple_of(self.minibatches) {
            let problem = format!("must divide the {samples} samples of a rollout");
            return Err(ConfigError::new("algo.minibatches", problem));
        }
        Ok(())
    }

    fn build(&self, actor: &Actor, critic: &Critic) -> Learner {
        let params = actor.net.num_params() + critic.net.num_params();
        let adam = Adam::new(params, 1e-5, &actor.net.device());
        let config = self.clone();
        Learner::Synchronous(Box::new(Spo { config, adam }))
    }
}

impl CustomSettings for SpoConfig {
    const NAME: &'static str = "spo";
    const ABOUT: &'static str = "simple policy optimisation (arXiv:2401.16025)";
}

struct Spo {
    config: SpoConfig,
    adam: Adam,
}

impl Spo {
    /// Takes one gradient step; returns the two parts of the loss.
    fn step(&mut self, actor: &mut Actor, critic: &mut Critic, b: Batch) -> [Tensor<1>; 2] {
        let (actor_net, critic_net) = (actor.net.tracked(), critic.net.tracked());
        let dist = actor.with_net(actor_net.clone()).dist_on(&b);
        let values = critic.with_net(critic_net.clone()).values_on(&b);

        let advantages = standardize(b.advantages);
        let beyond = (dist.log_prob(b.actions) - b.log_probs).exp() - 1.0;
        let penalty = beyond.clone().square() * advantages.clone().abs();
        let surrogate = (beyond * advantages - penalty / (2.0 * self.config.epsilon)).mean();
        let value_loss = value_loss(values, b.returns);

        let grads = (value_loss.clone() * 0.5 - surrogate.clone()).backward();
        let grad = vec![actor_net.flat_grad(&grads), critic_net.flat_grad(&grads)];
        let (grad, _) = clip_grad_norm(Tensor::cat(grad, 0), 0.5);
        let params = Tensor::cat(vec![actor.net.flat(), critic.net.flat()], 0);
        let params = self.adam.step(params, grad, self.config.learning_rate);
        let split = actor.net.num_params();
        let rest = params.dims()[0] - split;
        actor.net = actor.net.with_flat(params.clone().narrow(0, 0, split));
        critic.net = critic.net.with_flat(params.narrow(0, split, rest));
        [surrogate.neg(), value_loss].map(Tensor::without_autodiff)
    }
}

impl Algorithm for Spo {
    fn update(
        &mut self,
        actor: &mut Actor,
        critic: &mut Critic,
        rollout: Rollout,
        context: UpdateContext,
    ) -> Measured {
        let (gamma, lambda) = (self.config.gamma, self.config.gae_lambda);
        let advantages = gae(&rollout.trace(), gamma, lambda);
        let returns = advantages.clone() + rollout.values.clone();
        let batch = rollout.flatten(advantages, returns);
        let mut losses = vec![];
        for epoch in 0..self.config.epochs {
            let order = context.order(epoch);
            for indices in order.minibatches(batch.len(), self.config.minibatches) {
                let part = batch.select(index_tensor(indices, &batch.obs.device()));
                losses.push(self.step(actor, critic, part));
            }
        }
        let mean = |i: usize| Tensor::cat(losses.iter().map(|l| l[i].clone()).collect(), 0).mean();
        let measured = vec![("policy_loss", mean(0)), ("value_loss", mean(1))];
        Measured::new(measured, &[("lr", self.config.learning_rate)])
    }

    fn save(&self, checkpoint: &mut Checkpoint) {
        checkpoint.put_tensor("spo.first", self.adam.first.clone());
        checkpoint.put_tensor("spo.second", self.adam.second.clone());
        checkpoint.put_ints("spo.steps", &[self.adam.steps]);
    }

    fn load(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        self.adam.first = checkpoint.tensor("spo.first", &self.adam.first)?;
        self.adam.second = checkpoint.tensor("spo.second", &self.adam.second)?;
        self.adam.steps = checkpoint.int("spo.steps")?;
        Ok(())
    }
}

pub fn run(total_steps: u64) -> Result<(), Box<dyn Error>> {
    let algo = AlgoConfig::custom(SpoConfig::default());
    let config = RunConfig::new("CartPole-v1", 8, total_steps, algo);
    let mut trainer = Trainer::new(config, &Device::flex())?;
    while trainer.env_steps() < total_steps / 2 {
        trainer.step()?;
    }
    let path = std::env::temp_dir().join(format!("spo-{}.safetensors", std::process::id()));
    trainer.save().write(&path)?;

    // The checkpoint contains its configuration, which names the algorithm.
    let checkpoint = Checkpoint::read(&path)?;
    let mut resumed = Trainer::new(checkpoint.config()?, &Device::flex())?;
    resumed.restore(&checkpoint)?;
    while !resumed.finished() {
        resumed.step()?;
    }
    let mean = resumed.episodes().mean_return().unwrap_or(0.0);
    println!("mean return of the last 100 episodes: {mean:.1}");
    Ok(std::fs::remove_file(path)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    run(80_000)
}
