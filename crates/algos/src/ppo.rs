//! Proximal policy optimisation: clipped surrogate, or penalised KL divergence.
//!
//! Schulman et al., arXiv:1707.06347 §3 and §4, with each code-level optimisation of Engstrom et al.,
//! arXiv:2005.12729, as a setting of its own (those that concern observations, rewards and networks
//! are in [`RunConfig`](crate::RunConfig), because every algorithm has them).

use crate::{
    Algorithm, Demands, Horizon, Learner, Measured, SequenceUse, Settings, UpdateContext,
    check_settings,
    checkpoint::{Checkpoint, CheckpointError},
    config::ConfigError,
    optimizer::{Optimizer, OptimizerKind, StepSize},
    policy_gradient::param_norm,
    random::{index_tensor, minibatches, shuffle_key},
    settings::{COUNT, NOT_NEGATIVE, POSITIVE, SHARE, ensure, rollout_samples},
};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use uphill_core::{
    advantage::{gae_with_returns, standardize},
    loss::{
        adapt_kl_coef, approx_kl, clip_fraction, clipped_surrogate, clipped_value_loss,
        explained_variance, ratio_surrogate, value_loss,
    },
    ops::{
        ActorCriticLoss, DeviceLearner, HostLearner, HostStep, StepDiagnostics, Surrogate,
        shuffle_keys,
    },
    optim::RuleKind,
    policy::{Actor, Critic},
    read_back,
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
        check_settings!(self, "algo.", {
            steps: COUNT,
            epochs: COUNT,
            minibatches: COUNT,
            learning_rate: POSITIVE,
            critic_learning_rate: POSITIVE,
            optimizer: _,
            adam_epsilon: POSITIVE,
            gamma: SHARE,
            gae_lambda: SHARE,
            objective: _,
            clip: POSITIVE,
            kl_coef: POSITIVE,
            kl_target: POSITIVE,
            value_clip: NOT_NEGATIVE,
            value_coef: NOT_NEGATIVE,
            entropy_coef: NOT_NEGATIVE,
            max_grad_norm: NOT_NEGATIVE,
            normalize_advantages: _,
            target_kl: NOT_NEGATIVE,
        })?;
        let batch = rollout_samples("algo.steps", self.steps, num_envs)?;
        let whole = batch.is_multiple_of(self.minibatches);
        ensure(whole, "algo.minibatches", || {
            format!(
                "{} parts do not divide the batch of {batch} samples (algo.steps {} × num_envs {num_envs}); choose a divisor of {batch}",
                self.minibatches, self.steps
            )
        })
    }

    fn sequences(&self) -> SequenceUse {
        SequenceUse::Parts {
            key: "algo.minibatches",
            parts: self.minibatches,
        }
    }

    fn demands(&self) -> Demands {
        match self.objective {
            Objective::Clip => Demands::Densities,
            Objective::Kl => Demands::Kl,
        }
    }

    fn build(&self, actor: &Actor, critic: &Critic) -> Learner {
        Learner::Synchronous(Box::new(Ppo::new(self.clone(), actor, critic)))
    }
}

/// PPO with its optimiser state.
#[derive(Debug)]
pub struct Ppo {
    config: PpoConfig,
    optimizer: Optimizer,
    /// β, with the objective `"kl"`.
    kl_coef: f64,
    /// What the next update on a GPU takes over from the last. No part of the state: it can be made anew.
    device: Option<DeviceLearner>,
}

impl Clone for Ppo {
    fn clone(&self) -> Self {
        Self {
            config: self.config.clone(),
            optimizer: self.optimizer.clone(),
            kl_coef: self.kl_coef,
            device: None,
        }
    }
}

/// The schedules' values during one update.
pub(crate) struct Now {
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
            device: None,
        }
    }

    /// Its optimiser state.
    #[cfg(feature = "gpu")]
    pub(crate) fn optimizer(&self) -> &Optimizer {
        &self.optimizer
    }

    /// Adds everything but the optimiser state to a checkpoint.
    pub(crate) fn save_rest(&self, checkpoint: &mut Checkpoint) {
        checkpoint.put_ints(KL_COEF, &[self.kl_coef.to_bits()]);
    }

    /// Who takes the gradient steps of an update.
    fn steps(&mut self, actor: &Actor, critic: &Critic, batch: &Batch, now: &Now) -> Steps {
        let c = &self.config;
        let (loss, size) = (now.loss(c, self.kl_coef), now.step_size(c));
        if actor.net.fused() {
            let minibatch = batch.len() / c.minibatches;
            let adams = self.optimizer.adams(actor.net.num_params());
            let host = adams
                .and_then(|adams| HostLearner::new(actor, critic, batch, minibatch, adams, &loss));
            return host.map_or(Steps::Tensors, Steps::Host);
        }
        let (kept, agent) = (self.device.take(), (actor, critic));
        let device = self.optimizer.joined().and_then(|adam| {
            DeviceLearner::new(kept, agent, batch, c.minibatches, adam, &loss, size)
        });
        device.map_or(Steps::Tensors, Steps::Device)
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

/// Three ways to the same parameters; the loop on tensors is the reference, and the others are as fast as their
/// devices allow.
#[allow(clippy::large_enum_variant)] // there is one of these in an update
enum Steps {
    Host(HostLearner),
    Device(DeviceLearner),
    Tensors,
}

impl Now {
    /// After this share of the step budget.
    pub(crate) fn at(progress: f64, c: &PpoConfig) -> Self {
        Self {
            clip: c.clip.at(progress),
            entropy_coef: c.entropy_coef.at(progress),
            size: StepSize {
                learning_rate: c.learning_rate.at(progress),
                critic_learning_rate: c.critic_learning_rate.at(progress),
                max_grad_norm: c.max_grad_norm,
            },
        }
    }

    /// What there is to report of an update of `epochs` with clipping, beside what was measured.
    pub(crate) fn known(&self, epochs: usize) -> [(&'static str, f64); 3] {
        let lr = self.size.learning_rate;
        [("lr", lr), ("clip", self.clip), ("epochs", epochs as f64)]
    }

    pub(crate) fn loss(&self, c: &PpoConfig, kl_coef: f64) -> ActorCriticLoss {
        let (clip, kl_coef) = (self.clip as f32, kl_coef as f32);
        ActorCriticLoss {
            surrogate: match c.objective {
                Objective::Clip => Surrogate::Clipped { clip },
                Objective::Kl => Surrogate::Penalised { kl_coef, clip },
            },
            value_clip: c.value_clip as f32,
            value_coef: c.value_coef as f32,
            entropy_coef: self.entropy_coef as f32,
            standardize: c.normalize_advantages == AdvantageNorm::Minibatch,
        }
    }

    pub(crate) fn step_size(&self, c: &PpoConfig) -> HostStep {
        let (joint, size) = (c.optimizer == OptimizerKind::Shared, self.size);
        let critic_rate = if joint {
            size.learning_rate
        } else {
            size.critic_learning_rate
        };
        HostStep {
            learning_rates: [size.learning_rate, critic_rate],
            max_grad_norm: size.max_grad_norm,
            joint_norm: joint,
        }
    }
}

/// [`Ppo::minibatch_step`] for each of the minibatches, fused; `[M, 6]`.
fn fused_epoch(
    host: &mut HostLearner,
    minibatches: &[Vec<i32>],
    size: HostStep,
    device: &Device,
) -> Tensor<2> {
    let numbers = |d: StepDiagnostics| {
        let means = [-d.surrogate, d.value_loss, d.entropy];
        let sizes = [d.approx_kl, d.clip_fraction, d.grad_norm];
        [means, sizes].as_flattened().to_vec()
    };
    let steps = host.epoch(minibatches, size);
    let shape = [steps.len(), 6];
    let values: Vec<f32> = steps.into_iter().flat_map(numbers).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// What an update measures: first the means of what [`Ppo::minibatch_step`] does, in order.
pub(crate) const SUMMARY: [&str; 8] = [
    "policy_loss",
    "value_loss",
    "entropy",
    "approx_kl",
    "clip_fraction",
    "grad_norm",
    "explained_variance",
    "param_norm",
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
    ) -> Measured {
        let c = self.config.clone();
        let now = Now::at(context.progress, &c);

        let [advantages, returns] = gae_with_returns(&rollout.trace(), c.gamma, c.gae_lambda);
        let mut batch = rollout.flatten(advantages, returns);
        if c.normalize_advantages == AdvantageNorm::Batch {
            batch.advantages = standardize(batch.advantages);
        }

        let old = actor.clone();
        let mut steps = self.steps(actor, critic, &batch, &now);
        let mut diagnostics = vec![];
        let mut epochs = 0;
        while epochs < c.epochs {
            let order = |epoch| (context.seed, context.iteration, epoch);
            let device = batch.obs.device();
            let mut next = epochs + 1;
            diagnostics.push(match &mut steps {
                Steps::Host(learner) => {
                    let parts = minibatches(batch.units(), c.minibatches, order(epochs));
                    fused_epoch(learner, &parts, now.step_size(&c), &device)
                }
                Steps::Device(learner) => {
                    // Without a KL to look at there is no reason to come back between epochs.
                    next = if c.target_kl > 0.0 { next } else { c.epochs };
                    let keys: Vec<_> = (epochs..next).map(|e| shuffle_key(order(e))).collect();
                    learner.epochs(shuffle_keys(&keys, &device))
                }
                Steps::Tensors => {
                    let step = |part| {
                        let minibatch = batch.select(part);
                        self.minibatch_step(actor, critic, &old, minibatch, &now)
                    };
                    let parts = minibatches(batch.units(), c.minibatches, order(epochs));
                    let parts = parts.into_iter().map(|part| index_tensor(part, &device));
                    Tensor::stack(parts.map(step).collect(), 0)
                }
            });
            epochs = next;
            if c.target_kl > 0.0 {
                let means = mean_of(diagnostics[diagnostics.len() - 1..].to_vec());
                let kl = read_back::read(means.narrow(0, APPROX_KL, 1));
                if kl[0] > c.target_kl {
                    break;
                }
            }
        }
        let summary = match steps {
            Steps::Device(learner) => {
                let summary = learner.summary(diagnostics);
                let adam = learner.finish(&mut actor.net, &mut critic.net);
                self.optimizer.set_joined(adam, actor.net.num_params());
                self.device = Some(learner);
                summary
            }
            Steps::Host(learner) => {
                let adams = learner.finish(&mut actor.net, &mut critic.net);
                self.optimizer.set_adams(adams);
                summary_of(diagnostics, &batch, actor, critic)
            }
            Steps::Tensors => summary_of(diagnostics, &batch, actor, critic),
        };

        let [lr, clip, epochs] = now.known(epochs);
        let mut known = vec![lr];
        if c.objective == Objective::Kl {
            let kl = old.dist_on(&batch).kl(&actor.dist_on(&batch)).mean();
            let kl = read_back::read(kl)[0];
            known.extend([("kl", kl), ("kl_coef", self.kl_coef)]);
            self.kl_coef = adapt_kl_coef(self.kl_coef, kl, c.kl_target);
        } else {
            known.push(clip);
        }
        known.push(epochs);
        Measured::new(vec![], &known).with(&SUMMARY, summary)
    }

    fn save(&self, checkpoint: &mut Checkpoint) {
        self.optimizer.save(checkpoint);
        self.save_rest(checkpoint);
    }

    fn load(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        self.kl_coef = f64::from_bits(checkpoint.int(KL_COEF)?);
        self.optimizer.load(checkpoint)
    }
}

/// Means over minibatches `[M, 6]` of one or more epochs, still on the device, `[6]`.
fn mean_of(diagnostics: Vec<Tensor<2>>) -> Tensor<1> {
    Tensor::cat(diagnostics, 0).mean_dim(0).squeeze_dim(0)
}

/// [`SUMMARY`], still on the device.
fn summary_of(
    diagnostics: Vec<Tensor<2>>,
    batch: &Batch,
    actor: &Actor,
    critic: &Critic,
) -> Tensor<1> {
    let explained = explained_variance(batch.values.clone(), batch.returns.clone());
    let size = param_norm([&actor.net, &critic.net]);
    Tensor::cat(vec![mean_of(diagnostics), explained, size], 0)
}
