//! A2C, advantage actor-critic: one step of actor and critic together per short rollout.
//!
//! The synchronous form of A3C (Mnih et al., arXiv:1602.01783), as in OpenAI Baselines.

use crate::{
    Algorithm, Horizon, Learner, Measured, SequenceUse, Settings, UpdateContext, check_settings,
    checkpoint::{Checkpoint, CheckpointError},
    config::ConfigError,
    descent::{Descent, param_norm, slower_path},
    optimizer::{OptimizerKind, StepSize},
    settings::{COUNT, NOT_NEGATIVE, POSITIVE, SHARE, rollout_samples},
};
use serde::{Deserialize, Serialize};
use uphill_core::{
    advantage::Estimator,
    loss::{ActorCriticLoss, Surrogate},
    optim::RuleKind,
    peers,
    policy::{Actor, Critic},
    rollout::Rollout,
    schedule::Schedule,
};

/// Advantage estimators of A2C.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdvantageEstimator {
    /// One reward, then the bootstrap.
    Td,
    /// `n_step` rewards, then the bootstrap; fewer where the rollout ends.
    #[default]
    NStep,
    /// Generalised advantages with `gae_lambda`.
    Gae,
    /// All rewards of the rollout, then the bootstrap.
    MonteCarlo,
}

/// Settings of A2C. The defaults are those of OpenAI Baselines and Stable-Baselines3, except for `value_coef`, which is
/// half of theirs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct A2cConfig {
    /// Number of steps per copy in one rollout, `T`.
    pub steps: usize,
    /// Advantage estimator.
    pub estimator: AdvantageEstimator,
    /// Number of rewards before the bootstrap, with the estimator `"n-step"`.
    pub n_step: usize,
    /// λ, with the estimator `"gae"`.
    pub gae_lambda: f64,
    /// Discount γ.
    pub gamma: f64,
    /// Whether to standardise the advantages of a rollout to mean 0 and standard deviation 1.
    pub normalize_advantages: bool,
    /// Learning rate of both networks, or of the actor if the optimisers are separate.
    pub learning_rate: Schedule,
    /// Learning rate of the critic if the optimisers are separate.
    pub critic_learning_rate: Schedule,
    /// One optimiser for actor and critic, or one each.
    pub optimizer: OptimizerKind,
    /// Update rule of the optimiser.
    pub rule: RuleKind,
    /// ε of RMSProp and Adam.
    pub epsilon: f64,
    /// Weight of the value loss.
    pub value_coef: f64,
    /// Weight of the entropy bonus.
    pub entropy_coef: Schedule,
    /// Norm to which longer gradients are scaled down; 0: never.
    pub max_grad_norm: f64,
}

impl Default for A2cConfig {
    fn default() -> Self {
        Self {
            steps: 5,
            estimator: AdvantageEstimator::NStep,
            n_step: 5,
            gae_lambda: 0.95,
            gamma: 0.99,
            normalize_advantages: false,
            learning_rate: Schedule::Constant(7e-4),
            critic_learning_rate: Schedule::Constant(7e-4),
            optimizer: OptimizerKind::Shared,
            rule: RuleKind::RmsProp,
            epsilon: 1e-5,
            value_coef: 0.5,
            entropy_coef: Schedule::Constant(0.01),
            max_grad_norm: 0.5,
        }
    }
}

impl A2cConfig {
    /// Advantage estimator with its parameter.
    pub fn estimator(&self) -> Estimator {
        match self.estimator {
            AdvantageEstimator::Td => Estimator::Td,
            // Core counts from zero: n = 0 means one reward.
            AdvantageEstimator::NStep => Estimator::NStep {
                n: self.n_step.saturating_sub(1),
            },
            AdvantageEstimator::Gae => Estimator::Gae {
                lambda: self.gae_lambda,
            },
            AdvantageEstimator::MonteCarlo => Estimator::MonteCarlo,
        }
    }
}

impl Settings for A2cConfig {
    fn horizon(&self) -> Horizon {
        Horizon::Steps(self.steps)
    }

    fn gamma(&self) -> f64 {
        self.gamma
    }

    fn minibatch(&self, num_envs: usize) -> usize {
        self.steps * num_envs
    }

    fn validate(&self, num_envs: usize) -> Result<(), ConfigError> {
        check_settings!(self, "algo.", {
            steps: COUNT,
            estimator: _,
            n_step: COUNT,
            gae_lambda: SHARE,
            gamma: SHARE,
            normalize_advantages: _,
            learning_rate: POSITIVE,
            critic_learning_rate: POSITIVE,
            optimizer: _,
            rule: _,
            epsilon: POSITIVE,
            value_coef: NOT_NEGATIVE,
            entropy_coef: NOT_NEGATIVE,
            max_grad_norm: NOT_NEGATIVE,
        })?;
        rollout_samples("algo.steps", self.steps, num_envs).map(|_| ())
    }

    fn sequences(&self) -> SequenceUse {
        SequenceUse::Whole
    }

    fn build(&self, actor: &Actor, critic: &Critic) -> Learner {
        Learner::Synchronous(Box::new(A2c::new(self.clone(), actor, critic)))
    }
}

/// A2C with its optimiser state.
#[derive(Clone, Debug)]
pub struct A2c {
    config: A2cConfig,
    descent: Descent,
}

impl A2c {
    /// A2C with fresh optimiser state for these networks.
    pub fn new(config: A2cConfig, actor: &Actor, critic: &Critic) -> Self {
        let (kind, rule, epsilon) = (config.optimizer, config.rule, config.epsilon);
        let descent = Descent::new(kind, rule, (actor, critic), epsilon);
        Self { config, descent }
    }
}

/// c_V L_V − E[A log π] − c_H H: the loss of A2C and A3C.
pub(crate) fn loss(value_coef: f64, entropy_coef: f64) -> ActorCriticLoss {
    ActorCriticLoss {
        surrogate: Surrogate::LogProb,
        value_clip: 0.0,
        value_coef,
        entropy_coef,
        standardize: false,
    }
}

impl Algorithm for A2c {
    fn update(
        &mut self,
        actor: &mut Actor,
        critic: &mut Critic,
        rollout: Rollout,
        context: UpdateContext,
    ) -> Measured {
        let c = &self.config;
        let size = StepSize {
            learning_rate: c.learning_rate.at(context.progress),
            critic_learning_rate: c.critic_learning_rate.at(context.progress),
            max_grad_norm: c.max_grad_norm,
        };

        let advantages = c.estimator().advantages(&rollout.trace(), c.gamma);
        let returns = advantages.clone() + rollout.values.clone();
        let mut batch = rollout.flatten(advantages, returns);
        if c.normalize_advantages {
            batch.standardize(context.peers);
        }

        let (values, returns) = (batch.values.clone(), batch.returns.clone());
        let explained = peers::explained_variance(context.peers, values, returns);
        let loss = loss(c.value_coef, c.entropy_coef.at(context.progress));
        let agent = (&mut *actor, &mut *critic);
        let (means, grad_norm) = (self.descent).step(agent, batch, loss, size, context.peers);

        let scalars = vec![
            ("policy_loss", means.policy_loss),
            ("value_loss", means.value_loss),
            ("entropy", means.entropy),
            ("explained_variance", explained),
            ("grad_norm", grad_norm),
            ("param_norm", param_norm([&actor.net, &critic.net])),
        ];
        Measured::new(scalars, &[("lr", size.learning_rate)])
    }

    fn slower_path(&self, actor: &Actor, critic: &Critic) -> Option<&'static str> {
        slower_path((actor, critic), &loss(1.0, 1.0))
    }

    fn save(&self, checkpoint: &mut Checkpoint) {
        self.descent.save(checkpoint);
    }

    fn load(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        self.descent.load(checkpoint)
    }
}
