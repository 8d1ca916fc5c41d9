//! Natural policy gradient: policy steps of a fixed size, measured by KL.
//!
//! Kakade (2001), "A natural policy gradient"; with the normalised step size of Rajeswaran et al.,
//! arXiv:1703.02660 §3.

use crate::{
    Algorithm, Demands, Horizon, Learner, Measured, SequenceUse, Settings, UpdateContext,
    check_settings,
    checkpoint::{Checkpoint, CheckpointError},
    config::ConfigError,
    critic_fit::{CriticConfig, CriticFit},
    descent::slower_path_alone,
    policy_step::{Objective, ObjectiveSettings, predictions},
    settings::{COUNT, ITERATIONS, NOT_NEGATIVE, PART, POSITIVE, SHARE, rollout_samples},
};
use serde::{Deserialize, Serialize};
use uphill_core::{
    policy::{Actor, Critic},
    rollout::Rollout,
    schedule::Schedule,
    trust_region::NaturalGradient,
};

/// Settings of the natural policy gradient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NpgConfig {
    /// Number of steps per copy in one rollout, `T`.
    pub steps: usize,
    /// Discount γ.
    pub gamma: f64,
    /// λ of generalised advantage estimation.
    pub gae_lambda: f64,
    /// δ: size of the policy's step as ½ dᵀ(F + λI)d, in nats.
    pub max_kl: Schedule,
    /// Number of conjugate-gradient iterations.
    pub cg_steps: usize,
    /// Damping λ, added to the diagonal of the Fisher matrix.
    pub cg_damping: f64,
    /// Fraction of the samples (of the sequences, for networks with memory), drawn at random, from which the Fisher
    /// matrix is estimated.
    pub fisher_subsample: f64,
    /// Whether to standardise advantages to mean 0 and standard deviation 1 over the batch.
    pub normalize_advantages: bool,
    /// Weight of the entropy bonus.
    pub entropy_coef: Schedule,
    /// Value fit after the policy's step.
    pub critic: CriticConfig,
}

impl Default for NpgConfig {
    fn default() -> Self {
        Self {
            steps: 2048,
            gamma: 0.99,
            gae_lambda: 0.97,
            max_kl: Schedule::Constant(0.01),
            cg_steps: 10,
            cg_damping: 0.1,
            fisher_subsample: 1.0,
            normalize_advantages: true,
            entropy_coef: Schedule::Constant(0.0),
            critic: CriticConfig::default(),
        }
    }
}

impl Settings for NpgConfig {
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
            max_kl: POSITIVE,
            cg_steps: ITERATIONS,
            cg_damping: NOT_NEGATIVE,
            fisher_subsample: PART,
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
        Demands::Fisher
    }

    fn build(&self, _actor: &Actor, critic: &Critic) -> Learner {
        Learner::Synchronous(Box::new(Npg::new(self.clone(), critic)))
    }
}

/// Natural policy gradient with the state of its value fit.
#[derive(Clone, Debug)]
pub struct Npg {
    config: NpgConfig,
    critic_fit: CriticFit,
}

impl Npg {
    /// NPG with fresh optimiser state for this critic.
    pub fn new(config: NpgConfig, critic: &Critic) -> Self {
        let critic_fit = CriticFit::new(config.critic.clone(), critic);
        Self { config, critic_fit }
    }
}

impl Algorithm for Npg {
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
        let size = NaturalGradient {
            max_kl: c.max_kl.at(context.progress),
            cg_steps: c.cg_steps,
            damping: c.cg_damping,
        };

        let objective = Objective::new(actor, &rollout, settings, context);
        let step = objective.natural_step(actor, size, c.fisher_subsample);
        actor.net = actor.net.with_flat(actor.net.flat() + step.step.clone());

        let (change, agent) = (objective.compare(actor), (&*actor, critic));
        objective.finish(change, agent, &mut self.critic_fit, predictions(step), &[])
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
