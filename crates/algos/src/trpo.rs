//! TRPO, trust region policy optimisation: natural-gradient steps with a line search.
//!
//! Schulman et al., arXiv:1502.05477.

use crate::{
    Algorithm, Demands, Horizon, Learner, Measured, SequenceUse, Settings, UpdateContext,
    check_settings,
    checkpoint::{Checkpoint, CheckpointError},
    config::ConfigError,
    critic_fit::{CriticConfig, CriticFit},
    descent::slower_path_alone,
    policy_step::{Objective, ObjectiveSettings, predictions},
    settings::{
        COUNT, ITERATIONS, NOT_NEGATIVE, PART, POSITIVE, SHARE, SHRINKING, rollout_samples,
    },
};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use uphill_core::{
    line_search::{acceptable, backtrack},
    peers,
    policy::{Actor, Critic},
    rollout::Rollout,
    schedule::Schedule,
    trust_region::NaturalGradient,
};

/// Settings of TRPO.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrpoConfig {
    /// Number of steps per copy in one rollout, `T`.
    pub steps: usize,
    /// Discount γ.
    pub gamma: f64,
    /// λ of generalised advantage estimation.
    pub gae_lambda: f64,
    /// δ: largest mean KL(old ‖ new) of a step, in nats.
    pub max_kl: Schedule,
    /// Number of conjugate-gradient iterations.
    pub cg_steps: usize,
    /// Damping, added to the diagonal of the Fisher matrix.
    pub cg_damping: f64,
    /// Fraction of the samples (of the sequences, for networks with memory), drawn at random, from which the Fisher
    /// matrix is estimated.
    pub fisher_subsample: f64,
    /// Factor by which the line search shrinks a rejected step.
    pub line_search_shrink: f64,
    /// Number of trials of the line search.
    pub line_search_tries: usize,
    /// Whether to standardise advantages to mean 0 and standard deviation 1 over the batch.
    pub normalize_advantages: bool,
    /// Weight of the entropy bonus.
    pub entropy_coef: Schedule,
    /// Value fit after the policy's step.
    pub critic: CriticConfig,
}

impl Default for TrpoConfig {
    fn default() -> Self {
        Self {
            steps: 2048,
            gamma: 0.99,
            gae_lambda: 0.97,
            max_kl: Schedule::Constant(0.01),
            cg_steps: 10,
            cg_damping: 0.1,
            fisher_subsample: 1.0,
            line_search_shrink: 0.8,
            line_search_tries: 10,
            normalize_advantages: true,
            entropy_coef: Schedule::Constant(0.0),
            critic: CriticConfig::default(),
        }
    }
}

impl Settings for TrpoConfig {
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
            line_search_shrink: SHRINKING,
            line_search_tries: ITERATIONS,
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
        Learner::Synchronous(Box::new(Trpo::new(self.clone(), critic)))
    }
}

/// TRPO with the state of its value fit.
#[derive(Clone, Debug)]
pub struct Trpo {
    config: TrpoConfig,
    critic_fit: CriticFit,
}

impl Trpo {
    /// TRPO with fresh optimiser state for this critic.
    pub fn new(config: TrpoConfig, critic: &Critic) -> Self {
        let critic_fit = CriticFit::new(config.critic.clone(), critic);
        Self { config, critic_fit }
    }
}

impl Algorithm for Trpo {
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

        // Each trial reads back once; usually the first or second succeeds.
        let start = actor.net.flat();
        let taken = backtrack(c.line_search_shrink, c.line_search_tries, |scale| {
            let params = start.clone() + step.step.clone() * scale;
            let net = actor.net.with_flat(params);
            let change = objective.compare(&actor.with_net(net.clone()));
            let (improvement, mean_kl) = change.read();
            acceptable(improvement, mean_kl, size.max_kl).then_some((net, change))
        });
        let (accepted, backtracks, change) = match taken {
            Some((shrinks, (net, change))) => {
                actor.net = net;
                (1.0, shrinks, change)
            }
            // The parameters remain unchanged.
            None => (0.0, c.line_search_tries, objective.compare(actor)),
        };

        let mut further = predictions(step);
        if c.gamma < 1.0 {
            let largest = objective.batch.advantages.clone().abs().max();
            let largest = peers::max(context.peers, largest);
            further.push(("penalty", penalty(largest, c.gamma)));
        }
        let known = [("backtracks", backtracks as f64), ("accepted", accepted)];
        let agent = (&*actor, critic);
        objective.finish(change, agent, &mut self.critic_fit, further, &known)
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

/// C = 4εγ / (1 − γ)² `[1]` with ε = max |A| `[1]`: the weight of the largest KL in the bound that guarantees
/// improvement (theorem 1). It is only reported: the steps that it allows are far too short.
fn penalty(epsilon: Tensor<1>, gamma: f64) -> Tensor<1> {
    epsilon * (4.0 * gamma / (1.0 - gamma).powi(2))
}
