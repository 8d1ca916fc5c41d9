//! Policy gradient with steps of a fixed length in parameter space.
//!
//! The steepest ascent among all steps with ‖d‖² ≤ ε: a gradient step whose size is given instead of its rate (Peters &
//! Schaal 2008 §3). [`npg`](crate::npg) measures the step in policy space instead.

use crate::{
    Algorithm, Demands, Horizon, Learner, Measured, SequenceUse, Settings, UpdateContext,
    check_settings,
    checkpoint::{Checkpoint, CheckpointError},
    config::ConfigError,
    critic_fit::{CriticConfig, CriticFit},
    descent::slower_path_alone,
    policy_step::{Objective, ObjectiveSettings},
    settings::{COUNT, NOT_NEGATIVE, POSITIVE, SHARE, rollout_samples},
};
use serde::{Deserialize, Serialize};
use uphill_core::{
    policy::{Actor, Critic},
    rollout::Rollout,
    schedule::Schedule,
    trust_region::euclidean_step,
};

/// Settings of steepest ascent with a fixed step length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrustRegionConfig {
    /// Number of steps per copy in one rollout, `T`.
    pub steps: usize,
    /// Discount γ.
    pub gamma: f64,
    /// λ of generalised advantage estimation.
    pub gae_lambda: f64,
    /// ε: squared length of the policy's step.
    pub epsilon: Schedule,
    /// Whether to standardise advantages to mean 0 and standard deviation 1 over the batch. The step's length does not
    /// depend on their scale, but its direction depends on their mean.
    pub normalize_advantages: bool,
    /// Weight of the entropy bonus.
    pub entropy_coef: Schedule,
    /// Value fit after the policy's step.
    pub critic: CriticConfig,
}

impl Default for TrustRegionConfig {
    fn default() -> Self {
        Self {
            steps: 2048,
            gamma: 0.99,
            gae_lambda: 0.97,
            epsilon: Schedule::Constant(0.01),
            normalize_advantages: true,
            entropy_coef: Schedule::Constant(0.0),
            critic: CriticConfig::default(),
        }
    }
}

impl Settings for TrustRegionConfig {
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
            gamma: SHARE,
            gae_lambda: SHARE,
            epsilon: POSITIVE,
            normalize_advantages: _,
            entropy_coef: NOT_NEGATIVE,
            critic: _,
        })?;
        let batch = rollout_samples("algo.steps", self.steps, num_envs)?;
        self.critic.validate(batch)
    }

    fn sequences(&self) -> SequenceUse {
        self.critic.sequences()
    }

    fn demands(&self) -> Demands {
        Demands::Kl
    }

    fn build(&self, _actor: &Actor, critic: &Critic) -> Learner {
        Learner::Synchronous(Box::new(TrustRegion::new(self.clone(), critic)))
    }
}

/// Steepest ascent with the state of its value fit.
#[derive(Clone, Debug)]
pub struct TrustRegion {
    config: TrustRegionConfig,
    critic_fit: CriticFit,
}

impl TrustRegion {
    /// Steepest ascent with fresh optimiser state for this critic.
    pub fn new(config: TrustRegionConfig, critic: &Critic) -> Self {
        let critic_fit = CriticFit::new(config.critic.clone(), critic);
        Self { config, critic_fit }
    }
}

impl Algorithm for TrustRegion {
    fn update(
        &mut self,
        actor: &mut Actor,
        critic: &mut Critic,
        rollout: Rollout,
        context: UpdateContext,
    ) -> Measured {
        let c = &self.config;
        let settings = ObjectiveSettings {
            gamma: c.gamma,
            gae_lambda: c.gae_lambda,
            normalize_advantages: c.normalize_advantages,
            entropy_coef: c.entropy_coef.at(context.progress),
        };

        let objective = Objective::new(actor, &rollout, settings, context);
        let step = euclidean_step(objective.gradient.clone(), c.epsilon.at(context.progress));
        let predicted = objective.gradient.clone().dot(step.clone());
        actor.net = actor.net.with_flat(actor.net.flat() + step);

        let (change, agent) = (objective.compare(actor), (&*actor, critic));
        let further = vec![("predicted_improvement", predicted)];
        objective.finish(change, agent, &mut self.critic_fit, further, &[])
    }

    fn slower_path(&self, actor: &Actor, critic: &Critic) -> Option<&'static str> {
        slower_path_alone((actor, critic))
    }

    fn save(&self, checkpoint: &mut Checkpoint) {
        self.critic_fit.save(checkpoint);
    }

    fn load(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        self.critic_fit.load(checkpoint)
    }
}
