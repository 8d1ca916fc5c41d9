//! Proximal policy optimisation: clipped surrogate, or penalised KL divergence.
//!
//! Schulman et al., arXiv:1707.06347 §3 and §4, with each code-level optimisation of Engstrom et al.,
//! arXiv:2005.12729, as a setting of its own (those that concern observations, rewards and networks
//! are in [`RunConfig`](crate::RunConfig), because every algorithm has them).

use crate::{
    Algorithm, Horizon, Learner, Metrics, Settings, UpdateContext,
    checkpoint::{Checkpoint, CheckpointError},
    config::ConfigError,
    optimizer::{Optimizer, OptimizerKind, StepSize},
    policy_gradient::param_norm,
    random::{index_tensor, minibatches},
    settings::{
        at_least_one, ensure, not_negative, positive, positive_schedules, rollout_fits,
        unit_interval,
    },
};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};
use uphill_core::{
    advantage::{gae, standardize},
    loss::{
        adapt_kl_coef, approx_kl, clip_fraction, clipped_surrogate, clipped_value_loss,
        explained_variance, ratio_surrogate, value_loss,
    },
    ops::{ActorCriticLoss, HostLearner, HostStep, StepDiagnostics, Surrogate},
    optim::RuleKind,
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

/// What keeps the policy near the one that acted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Objective {
    /// Ratios are clipped to 1 ± `clip` (§3).
    #[default]
    Clip,
    /// β KL(old ‖ new) is subtracted, with a β that follows `kl_target` (§4).
    Kl,
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
    /// What keeps the policy near the one that acted.
    pub objective: Objective,
    /// ε of the clipped surrogate.
    pub clip: Schedule,
    /// β at the start, with the objective `"kl"`.
    pub kl_coef: f64,
    /// Mean KL (nats) of one update that β is adapted to, with the objective `"kl"`.
    pub kl_target: f64,
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
            objective: Objective::Clip,
            clip: Schedule::Constant(0.2),
            kl_coef: 1.0,
            kl_target: 0.01,
            value_clip: 0.2,
            value_coef: 0.5,
            entropy_coef: Schedule::Constant(0.0),
            max_grad_norm: 0.5,
            normalize_advantages: AdvantageNorm::Minibatch,
            target_kl: 0.0,
        }
    }
}

impl Settings for PpoConfig {
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
        at_least_one(&[
            ("algo.steps", self.steps),
            ("algo.epochs", self.epochs),
            ("algo.minibatches", self.minibatches),
        ])?;
        rollout_fits(self.steps, num_envs)?;
        let batch = self.steps * num_envs;
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
        unit_interval(&[
            ("algo.gamma", self.gamma),
            ("algo.gae_lambda", self.gae_lambda),
        ])?;
        positive_schedules(&[
            ("algo.learning_rate", self.learning_rate),
            ("algo.critic_learning_rate", self.critic_learning_rate),
            ("algo.clip", self.clip),
        ])?;
        positive(&[
            ("algo.adam_epsilon", self.adam_epsilon),
            ("algo.kl_coef", self.kl_coef),
            ("algo.kl_target", self.kl_target),
        ])?;
        not_negative(&[
            ("algo.value_clip", self.value_clip),
            ("algo.value_coef", self.value_coef),
            ("algo.entropy_coef", self.entropy_coef.min()),
            ("algo.max_grad_norm", self.max_grad_norm),
            ("algo.target_kl", self.target_kl),
        ])
    }

    fn sequences(&self) -> Option<usize> {
        Some(self.minibatches)
    }

    fn build(&self, actor: &Actor, critic: &Critic) -> Learner {
        Learner::Synchronous(Box::new(Ppo::new(self.clone(), actor, critic)))
    }
}

/// PPO with its optimiser state.
#[derive(Clone, Debug)]
pub struct Ppo {
    config: PpoConfig,
    optimizer: Optimizer,
    /// β, with the objective `"kl"`.
    kl_coef: f64,
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
            RuleKind::Adam,
            &actor.net,
            &critic.net,
            config.adam_epsilon,
        );
        Self {
            kl_coef: config.kl_coef,
            config,
            optimizer,
        }
    }

    /// Everything that the epochs need in host memory, where [`fused_epoch`] can take the gradient steps.
    fn on_host(&self, actor: &Actor, critic: &Critic, batch: &Batch) -> Option<HostLearner> {
        if self.config.objective != Objective::Clip {
            return None;
        }
        let adams = self.optimizer.adams(actor.net.num_params())?;
        let minibatch = batch.len() / self.config.minibatches;
        HostLearner::new(actor, critic, batch, minibatch, adams)
    }

    /// One gradient step on a minibatch; `old` is the policy that acted. Returns its diagnostics `[6]`:
    /// policy loss, value loss, entropy, approximate KL, clip fraction, gradient norm.
    fn minibatch_step(
        &mut self,
        actor: &mut Actor,
        critic: &mut Critic,
        old: &Actor,
        batch: Batch,
        now: &Now,
    ) -> Tensor<1> {
        let c = &self.config;
        let (actor_net, critic_net) = (actor.net.tracked(), critic.net.tracked());
        let dist = actor.with_net(actor_net.clone()).dist_on(&batch);
        let values = critic.with_net(critic_net.clone()).values_on(&batch);
        let kl = match c.objective {
            Objective::Clip => None,
            Objective::Kl => Some(old.dist_on(&batch).kl(&dist).mean()),
        };
        let advantages = match c.normalize_advantages {
            AdvantageNorm::Minibatch => standardize(batch.advantages),
            AdvantageNorm::Batch | AdvantageNorm::None => batch.advantages,
        };

        let log_ratios = dist.log_prob(batch.actions) - batch.log_probs;
        let surrogate = match kl {
            None => clipped_surrogate(log_ratios.clone(), advantages, now.clip),
            Some(kl) => ratio_surrogate(log_ratios.clone(), advantages) - kl * self.kl_coef,
        };
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

/// [`Ppo::minibatch_step`] for each of the minibatches, fused.
fn fused_epoch(
    host: &mut HostLearner,
    minibatches: &[Vec<i32>],
    c: &PpoConfig,
    now: &Now,
    device: &Device,
) -> Vec<Tensor<1>> {
    let clip = now.clip as f32;
    let loss = ActorCriticLoss {
        surrogate: Surrogate::Clipped { clip },
        value_clip: c.value_clip as f32,
        value_coef: c.value_coef as f32,
        entropy_coef: now.entropy_coef as f32,
        standardize: c.normalize_advantages == AdvantageNorm::Minibatch,
    };
    let joint = c.optimizer == OptimizerKind::Shared;
    let size = now.size;
    let critic_rate = if joint {
        size.learning_rate
    } else {
        size.critic_learning_rate
    };
    let step = HostStep {
        learning_rates: [size.learning_rate, critic_rate],
        max_grad_norm: size.max_grad_norm,
        joint_norm: joint,
    };
    let tensor = |d: StepDiagnostics| {
        let means = [-d.surrogate, d.value_loss, d.entropy];
        let sizes = [d.approx_kl, d.clip_fraction, d.grad_norm];
        Tensor::from_data([means, sizes].as_flattened(), device)
    };
    let steps = host.epoch(minibatches, &loss, step);
    steps.into_iter().map(tensor).collect()
}

/// What [`Ppo::minibatch_step`] measures, in order.
const DIAGNOSTICS: [&str; 6] = [
    "policy_loss",
    "value_loss",
    "entropy",
    "approx_kl",
    "clip_fraction",
    "grad_norm",
];
/// Position of the mean KL among them.
const APPROX_KL: usize = 3;

/// Where a checkpoint keeps the bits of β.
const KL_COEF: &str = "ppo.kl_coef";

impl Algorithm for Ppo {
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

        let old = actor.clone();
        let device = batch.obs.device();
        let mut host = self.on_host(actor, critic, &batch);
        let mut diagnostics = Vec::with_capacity(c.epochs * c.minibatches);
        let mut epochs = 0;
        while epochs < c.epochs {
            let order = (context.seed, context.iteration, epochs);
            let parts = minibatches(batch.units(), c.minibatches, order);
            match &mut host {
                Some(host) => diagnostics.extend(fused_epoch(host, &parts, &c, &now, &device)),
                None => diagnostics.extend(parts.into_iter().map(|indices| {
                    let minibatch = batch.select(index_tensor(indices, &device));
                    self.minibatch_step(actor, critic, &old, minibatch, &now)
                })),
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
        if let Some(host) = host {
            let adams = host.finish(&mut actor.net, &mut critic.net);
            self.optimizer.set_adams(adams);
        }
        let mut scalars = diagnostics_of_update(&diagnostics);
        let explained = explained_variance(batch.values.clone(), batch.returns.clone());
        scalars.push(("explained_variance", explained));
        scalars.push(("param_norm", param_norm([&actor.net, &critic.net])));
        if c.objective == Objective::Kl {
            let kl = old.dist_on(&batch).kl(&actor.dist_on(&batch));
            scalars.push(("kl", kl.mean()));
        }
        let bound = match c.objective {
            Objective::Clip => ("clip", now.clip),
            Objective::Kl => ("kl_coef", self.kl_coef),
        };
        let rate = ("lr", now.size.learning_rate);
        let metrics = Metrics::read(scalars, &[rate, bound, ("epochs", epochs as f64)]);
        if let Some(kl) = metrics.get("kl") {
            self.kl_coef = adapt_kl_coef(self.kl_coef, kl, c.kl_target);
        }
        metrics
    }

    fn save(&self, checkpoint: &mut Checkpoint) {
        self.optimizer.save(checkpoint);
        checkpoint.put_ints(KL_COEF, &[self.kl_coef.to_bits()]);
    }

    fn load(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        self.kl_coef = f64::from_bits(checkpoint.int(KL_COEF)?);
        self.optimizer.load(checkpoint)
    }
}

/// Means over minibatches, still on the device, `[6]`.
fn mean_of(diagnostics: &[Tensor<1>]) -> Tensor<1> {
    Tensor::stack::<2>(diagnostics.to_vec(), 0)
        .mean_dim(0)
        .squeeze_dim(0)
}

/// Named means over minibatches, still on the device.
fn diagnostics_of_update(diagnostics: &[Tensor<1>]) -> Vec<(&'static str, Tensor<1>)> {
    let means = mean_of(diagnostics);
    let scalar = |(i, name)| (name, means.clone().narrow(0, i, 1));
    DIAGNOSTICS.into_iter().enumerate().map(scalar).collect()
}
