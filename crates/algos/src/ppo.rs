//! Proximal policy optimisation with a clipped surrogate.
//!
//! Schulman et al., arXiv:1707.06347, with each code-level optimisation of Engstrom et al.,
//! arXiv:2005.12729, as a setting of its own (those that concern observations, rewards and networks
//! are in [`RunConfig`](crate::RunConfig), because every algorithm has them).

use crate::{
    Algorithm, Metrics, UpdateContext,
    checkpoint::{Checkpoint, CheckpointError},
    config::{ConfigError, ensure},
    optimizer::{Optimizer, OptimizerKind, StepSize},
    random::minibatches,
};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use uphill_core::{
    advantage::{gae, standardize},
    loss::{
        approx_kl, clip_fraction, clipped_surrogate, clipped_value_loss, explained_variance,
        value_loss,
    },
    policy::{Actor, Critic},
    rollout::{Batch, Rollout},
    schedule::Schedule,
};

/// Over what advantages are brought to mean 0 and standard deviation 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdvantageNorm {
    /// Left as they are.
    None,
    /// Each minibatch by itself.
    #[default]
    Minibatch,
    /// The whole batch, once.
    Batch,
}

/// Settings of PPO. The defaults are those of the paper's MuJoCo experiments as the reference
/// implementations have them; a learning rate that falls to 0 is the annealing of arXiv:2005.12729.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PpoConfig {
    /// Steps per copy in one rollout, `T`.
    pub steps: usize,
    /// Passes over each rollout.
    pub epochs: usize,
    /// Parts that each pass is cut into; `steps × num_envs` has to be divisible by it.
    pub minibatches: usize,
    /// Of Adam; of the actor alone where the optimisers are separate.
    pub learning_rate: Schedule,
    /// Of the critic's Adam, where the optimisers are separate.
    pub critic_learning_rate: Schedule,
    /// One optimiser for actor and critic, or one each.
    pub optimizer: OptimizerKind,
    /// ε of Adam.
    pub adam_epsilon: f64,
    /// Discount γ.
    pub gamma: f64,
    /// λ of generalised advantage estimation.
    pub gae_lambda: f64,
    /// ε of the clipped surrogate.
    pub clip: Schedule,
    /// Clip the value function's move to ±this; 0: never.
    pub value_clip: f64,
    /// Weight of the value loss.
    pub value_coef: f64,
    /// Weight of the entropy bonus.
    pub entropy_coef: Schedule,
    /// Shorten gradients to this norm; 0: never.
    pub max_grad_norm: f64,
    /// Over what advantages are normalised.
    pub normalize_advantages: AdvantageNorm,
    /// Stop the epochs once one of them ends with a mean KL (k3 estimate, nats) above this; 0: never.
    pub target_kl: f64,
}

impl Default for PpoConfig {
    fn default() -> Self {
        Self {
            steps: 2048,
            epochs: 10,
            minibatches: 32,
            learning_rate: Schedule::Linear {
                from: 3e-4,
                to: 0.0,
            },
            critic_learning_rate: Schedule::Constant(1e-3),
            optimizer: OptimizerKind::Shared,
            adam_epsilon: 1e-5,
            gamma: 0.99,
            gae_lambda: 0.95,
            clip: Schedule::Constant(0.2),
            value_clip: 0.2,
            value_coef: 0.5,
            entropy_coef: Schedule::Constant(0.0),
            max_grad_norm: 0.5,
            normalize_advantages: AdvantageNorm::Minibatch,
            target_kl: 0.0,
        }
    }
}

impl PpoConfig {
    /// Checks every setting, alone and against the number of copies.
    pub fn validate(&self, num_envs: usize) -> Result<(), ConfigError> {
        for (key, value) in [
            ("algo.steps", self.steps),
            ("algo.epochs", self.epochs),
            ("algo.minibatches", self.minibatches),
        ] {
            ensure(value > 0, key, || "must be at least 1".to_owned())?;
        }
        let batch = self.steps.saturating_mul(num_envs);
        ensure(batch <= i32::MAX as usize, "algo.steps", || {
            format!(
                "{} × num_envs {num_envs} is more than a rollout can hold ({})",
                self.steps,
                i32::MAX
            )
        })?;
        ensure(
            batch.is_multiple_of(self.minibatches),
            "algo.minibatches",
            || {
                format!(
                    "{} parts do not divide the batch of {batch} samples (algo.steps {} × num_envs {num_envs}); choose a divisor of {batch}",
                    self.minibatches, self.steps
                )
            },
        )?;
        for (key, value) in [
            ("algo.gamma", self.gamma),
            ("algo.gae_lambda", self.gae_lambda),
        ] {
            ensure((0.0..=1.0).contains(&value), key, || {
                format!("is {value}, must lie between 0 and 1")
            })?;
        }
        for (key, schedule) in [
            ("algo.learning_rate", self.learning_rate),
            ("algo.critic_learning_rate", self.critic_learning_rate),
            ("algo.clip", self.clip),
        ] {
            ensure(
                schedule.min() >= 0.0 && schedule.max() > 0.0 && schedule.max().is_finite(),
                key,
                || "must be positive (a schedule may end at 0)".to_owned(),
            )?;
        }
        ensure(self.adam_epsilon > 0.0, "algo.adam_epsilon", || {
            "must be positive, for example 1e-5".to_owned()
        })?;
        for (key, value) in [
            ("algo.value_clip", self.value_clip),
            ("algo.value_coef", self.value_coef),
            ("algo.entropy_coef", self.entropy_coef.min()),
            ("algo.max_grad_norm", self.max_grad_norm),
            ("algo.target_kl", self.target_kl),
        ] {
            ensure(value >= 0.0 && value.is_finite(), key, || {
                format!("is {value}, must not be negative")
            })?;
        }
        Ok(())
    }
}

/// PPO with its optimiser state.
#[derive(Clone, Debug)]
pub struct Ppo {
    config: PpoConfig,
    optimizer: Optimizer,
}

/// The schedules' values during one update.
struct Now {
    clip: f64,
    entropy_coef: f64,
    size: StepSize,
}

impl Ppo {
    /// With fresh optimiser state for these networks.
    pub fn new(config: PpoConfig, actor: &Actor, critic: &Critic) -> Self {
        let optimizer = Optimizer::new(
            config.optimizer,
            &actor.net,
            &critic.net,
            config.adam_epsilon,
        );
        Self { config, optimizer }
    }

    /// One gradient step on a minibatch. Returns its diagnostics `[6]`: policy loss, value loss,
    /// entropy, approximate KL, clip fraction, gradient norm.
    fn minibatch_step(
        &mut self,
        actor: &mut Actor,
        critic: &mut Critic,
        batch: Batch,
        now: &Now,
    ) -> Tensor<1> {
        let c = &self.config;
        let advantages = match c.normalize_advantages {
            AdvantageNorm::Minibatch => standardize(batch.advantages),
            AdvantageNorm::Batch | AdvantageNorm::None => batch.advantages,
        };

        let (actor_net, critic_net) = (actor.net.tracked(), critic.net.tracked());
        let dist = actor.with_net(actor_net.clone()).dist(batch.obs.clone());
        let values = critic.with_net(critic_net.clone()).values(batch.obs);

        let log_ratios = dist.log_prob(batch.actions) - batch.log_probs;
        let surrogate = clipped_surrogate(log_ratios.clone(), advantages, now.clip);
        let entropy = dist.entropy().mean();
        let value_loss = if c.value_clip > 0.0 {
            clipped_value_loss(values, batch.values, batch.returns, c.value_clip)
        } else {
            value_loss(values, batch.returns)
        };
        let loss = value_loss.clone() * c.value_coef
            - surrogate.clone()
            - entropy.clone() * now.entropy_coef;

        let grads = loss.backward();
        let grads = (actor_net.flat_grad(&grads), critic_net.flat_grad(&grads));
        let grad_norm = self
            .optimizer
            .step(&mut actor.net, &mut critic.net, grads, now.size);

        let log_ratios = log_ratios.without_autodiff();
        let diagnostics = vec![
            surrogate.without_autodiff().neg(),
            value_loss.without_autodiff(),
            entropy.without_autodiff(),
            approx_kl(log_ratios.clone()),
            clip_fraction(log_ratios, now.clip),
            grad_norm,
        ];
        Tensor::cat(diagnostics, 0)
    }
}

/// Position of the mean KL among the diagnostics.
const APPROX_KL: usize = 3;

impl Algorithm for Ppo {
    fn steps(&self) -> usize {
        self.config.steps
    }

    fn gamma(&self) -> f64 {
        self.config.gamma
    }

    fn update(
        &mut self,
        actor: &mut Actor,
        critic: &mut Critic,
        rollout: Rollout,
        context: UpdateContext,
    ) -> Metrics {
        let c = self.config.clone();
        let now = Now {
            clip: c.clip.at(context.progress),
            entropy_coef: c.entropy_coef.at(context.progress),
            size: StepSize {
                learning_rate: c.learning_rate.at(context.progress),
                critic_learning_rate: c.critic_learning_rate.at(context.progress),
                max_grad_norm: c.max_grad_norm,
            },
        };

        let advantages = gae(&rollout.trace(), c.gamma, c.gae_lambda);
        let returns = advantages.clone() + rollout.values.clone();
        let mut batch = rollout.flatten(advantages, returns);
        if c.normalize_advantages == AdvantageNorm::Batch {
            batch.advantages = standardize(batch.advantages);
        }

        let device = batch.obs.device();
        let mut diagnostics = Vec::with_capacity(c.epochs * c.minibatches);
        let mut epochs = 0;
        while epochs < c.epochs {
            let order = (context.seed, context.iteration, epochs);
            for indices in minibatches(batch.len(), c.minibatches, order, &device) {
                let minibatch = batch.select(indices);
                diagnostics.push(self.minibatch_step(actor, critic, minibatch, &now));
            }
            epochs += 1;
            if c.target_kl > 0.0 {
                let epoch = &diagnostics[diagnostics.len() - c.minibatches..];
                let kl: f64 = mean_of(epoch).narrow(0, APPROX_KL, 1).into_scalar();
                if kl > c.target_kl {
                    break;
                }
            }
        }
        let params = Tensor::cat(vec![actor.net.flat(), critic.net.flat()], 0);
        metrics(&diagnostics, &batch, params, epochs, &now)
    }

    fn save(&self, checkpoint: &mut Checkpoint) {
        self.optimizer.save(checkpoint);
    }

    fn load(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        self.optimizer.load(checkpoint)
    }
}

/// Means over minibatches, still on the device, `[6]`.
fn mean_of(diagnostics: &[Tensor<1>]) -> Tensor<1> {
    Tensor::stack::<2>(diagnostics.to_vec(), 0)
        .mean_dim(0)
        .squeeze_dim(0)
}

/// The update's one read-back (besides one per epoch with a target KL). The norm of all parameters
/// is in it because a run may diverge in its very last step.
fn metrics(
    diagnostics: &[Tensor<1>],
    batch: &Batch,
    params: Tensor<1>,
    epochs: usize,
    now: &Now,
) -> Metrics {
    let explained = explained_variance(batch.values.clone(), batch.returns.clone());
    let param_norm = params.square().sum().sqrt();
    let read: Vec<f64> = Tensor::cat(vec![mean_of(diagnostics), explained, param_norm], 0)
        .into_data()
        .iter()
        .collect();
    Metrics(vec![
        ("policy_loss", Some(read[0])),
        ("value_loss", Some(read[1])),
        ("entropy", Some(read[2])),
        ("approx_kl", Some(read[3])),
        ("clip_fraction", Some(read[4])),
        // Undefined where the returns do not vary.
        (
            "explained_variance",
            Some(read[6]).filter(|x| x.is_finite()),
        ),
        ("grad_norm", Some(read[5])),
        ("lr", Some(now.size.learning_rate)),
        ("clip", Some(now.clip)),
        ("epochs", Some(epochs as f64)),
        ("param_norm", Some(read[7])),
    ])
}
