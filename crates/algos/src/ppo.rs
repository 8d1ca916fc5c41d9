//! PPO, proximal policy optimisation, with a clipped surrogate or a penalised KL divergence.
//!
//! Schulman et al., arXiv:1707.06347 §3 and §4, with each code-level optimisation of Engstrom et al., arXiv:2005.12729,
//! as a separate setting (those for observations, rewards and networks are in [`RunConfig`](crate::RunConfig), because
//! they apply to every algorithm).

use crate::{
    Algorithm, Demands, Horizon, Learner, Measured, SequenceUse, Settings, UpdateContext,
    check_settings,
    checkpoint::{Checkpoint, CheckpointError},
    config::ConfigError,
    descent::{Descent, Goal, slower_path},
    optimizer::{OptimizerKind, StepSize},
    settings::{COUNT, NOT_NEGATIVE, POSITIVE, SHARE, ensure, rollout_samples},
};
use serde::{Deserialize, Serialize};
use uphill_core::{
    advantage::gae_with_returns,
    loss::{ActorCriticLoss, Surrogate, adapt_kl_coef},
    optim::RuleKind,
    peers,
    policy::{Actor, Critic},
    read_back,
    rollout::Rollout,
    schedule::Schedule,
};

/// Normalisation of advantages to mean 0 and standard deviation 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdvantageNorm {
    /// No normalisation.
    None,
    /// Separately in each minibatch.
    #[default]
    Minibatch,
    /// Once over the whole batch.
    Batch,
}

/// Objective that keeps the policy close to the one that acted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Objective {
    /// Ratios are clipped to 1 ± `clip` (§3).
    #[default]
    Clip,
    /// β KL(old ‖ new) is subtracted, where β is adapted to `kl_target` (§4).
    Kl,
}

/// Settings of PPO. The defaults are those of the paper's MuJoCo experiments in the reference implementations; a
/// learning rate that decreases to 0 is the annealing of arXiv:2005.12729.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PpoConfig {
    /// Number of steps per copy in one rollout, `T`.
    pub steps: usize,
    /// Number of passes over each rollout.
    pub epochs: usize,
    /// Number of minibatches per pass; `steps × num_envs` must be divisible by it.
    pub minibatches: usize,
    /// Learning rate of Adam; of the actor alone if the optimisers are separate.
    pub learning_rate: Schedule,
    /// Learning rate of the critic's Adam if the optimisers are separate.
    pub critic_learning_rate: Schedule,
    /// One optimiser for actor and critic, or one each.
    pub optimizer: OptimizerKind,
    /// ε of Adam.
    pub adam_epsilon: f64,
    /// Discount γ.
    pub gamma: f64,
    /// λ of generalised advantage estimation.
    pub gae_lambda: f64,
    /// Objective that keeps the policy close to the one that acted.
    pub objective: Objective,
    /// ε of the clipped surrogate.
    pub clip: Schedule,
    /// Initial β, with the objective `"kl"`.
    pub kl_coef: f64,
    /// Mean KL (nats) of one update to which β is adapted, with the objective `"kl"`.
    pub kl_target: f64,
    /// Bound to which the change of the value function is clipped, ±this; 0: never.
    pub value_clip: f64,
    /// Weight of the value loss.
    pub value_coef: f64,
    /// Weight of the entropy bonus.
    pub entropy_coef: Schedule,
    /// Norm to which longer gradients are scaled down; 0: never.
    pub max_grad_norm: f64,
    /// Normalisation of advantages.
    pub normalize_advantages: AdvantageNorm,
    /// Mean KL of an epoch (k3 estimate, nats) above which no further epoch is started; 0: never.
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
#[derive(Clone, Debug)]
pub struct Ppo {
    pub(crate) config: PpoConfig,
    pub(crate) descent: Descent,
    /// β, with the objective `"kl"`.
    pub(crate) kl_coef: f64,
}

impl Ppo {
    /// PPO with fresh optimiser state for these networks.
    pub fn new(config: PpoConfig, actor: &Actor, critic: &Critic) -> Self {
        let (rule, epsilon) = (RuleKind::Adam, config.adam_epsilon);
        Self {
            kl_coef: config.kl_coef,
            descent: Descent::new(config.optimizer, rule, (actor, critic), epsilon),
            config,
        }
    }

    /// Adds everything except the optimiser state to a checkpoint.
    pub(crate) fn save_rest(&self, checkpoint: &mut Checkpoint) {
        checkpoint.put_ints(KL_COEF, &[self.kl_coef.to_bits()]);
    }
}

impl PpoConfig {
    /// Loss and step size of an update after this fraction of the step budget.
    pub(crate) fn goal(&self, progress: f64, kl_coef: f64) -> Goal {
        let clip = self.clip.at(progress);
        Goal {
            loss: ActorCriticLoss {
                surrogate: match self.objective {
                    Objective::Clip => Surrogate::Clipped { clip },
                    Objective::Kl => Surrogate::Penalised { kl_coef, clip },
                },
                value_clip: self.value_clip,
                value_coef: self.value_coef,
                entropy_coef: self.entropy_coef.at(progress),
                standardize: self.normalize_advantages == AdvantageNorm::Minibatch,
            },
            size: StepSize {
                learning_rate: self.learning_rate.at(progress),
                critic_learning_rate: self.critic_learning_rate.at(progress),
                max_grad_norm: self.max_grad_norm,
            },
            minibatches: self.minibatches,
        }
    }
}

/// Key of the bits of β in a checkpoint.
const KL_COEF: &str = "ppo.kl_coef";

impl Algorithm for Ppo {
    fn update(
        &mut self,
        actor: &mut Actor,
        critic: &mut Critic,
        rollout: Rollout,
        context: UpdateContext,
    ) -> Measured {
        let (c, peers) = (&self.config, context.peers);
        let goal = c.goal(context.progress, self.kl_coef);

        let [advantages, returns] = gae_with_returns(&rollout.trace(), c.gamma, c.gae_lambda);
        let mut batch = rollout.flatten(advantages, returns);
        if c.normalize_advantages == AdvantageNorm::Batch {
            batch.standardize(peers);
        }

        let (old, agent) = (actor.clone(), (&mut *actor, critic));
        let mut update = (self.descent).begin(agent, &batch, goal.clone(), peers);
        let mut epochs = 0;
        while epochs < c.epochs {
            update.epoch(context.order(epochs));
            epochs += 1;
            if context.stopped() || c.target_kl > 0.0 && update.approx_kl() > c.target_kl {
                break;
            }
        }
        let steps = update.finish();

        let mut known = vec![("lr", goal.size.learning_rate)];
        if c.objective == Objective::Kl {
            let kl = old.dist_on(&batch).kl(&actor.dist_on(&batch)).mean();
            let kl = read_back::read(peers::mean(peers, kl))[0];
            known.extend([("kl", kl), ("kl_coef", self.kl_coef)]);
            self.kl_coef = adapt_kl_coef(self.kl_coef, kl, c.kl_target);
        } else {
            known.push(("clip", goal.loss.surrogate.clip()));
        }
        known.push(("epochs", epochs as f64));
        Measured::of_steps(steps, &known)
    }

    fn slower_path(&self, actor: &Actor, critic: &Critic) -> Option<&'static str> {
        slower_path((actor, critic), &self.config.goal(0.0, self.kl_coef).loss)
    }

    fn save(&self, checkpoint: &mut Checkpoint) {
        self.descent.save(checkpoint);
        self.save_rest(checkpoint);
    }

    fn load(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        self.kl_coef = f64::from_bits(checkpoint.int(KL_COEF)?);
        self.descent.load(checkpoint)
    }
}
