//! VPG, vanilla policy gradient: one policy step with generalised advantages, then many value steps.
//!
//! As in Spinning Up (Achiam 2018); advantages after Schulman et al., arXiv:1506.02438.

use crate::{
    Algorithm, Horizon, Learner, Measured, SequenceUse, Settings, UpdateContext, check_settings,
    checkpoint::{Checkpoint, CheckpointError},
    config::ConfigError,
    descent::{ValueSteps, fit_values, param_norm, slower_path_alone},
    optimizer::{load_rule, save_rule},
    policy_gradient::{PolicyAscent, ascend, moved},
    settings::{COUNT, NOT_NEGATIVE, POSITIVE, SHARE, rollout_samples},
};
use serde::{Deserialize, Serialize};
use uphill_core::{
    advantage::{discounted_returns, gae},
    optim::{Rule, RuleKind},
    peers,
    policy::{Actor, Critic},
    rollout::Rollout,
    schedule::Schedule,
};

/// Settings of VPG; the defaults are those of Spinning Up, for one copy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VpgConfig {
    /// Number of steps per copy in one rollout, `T`.
    pub steps: usize,
    /// Discount γ.
    pub gamma: f64,
    /// λ of generalised advantage estimation.
    pub gae_lambda: f64,
    /// Whether to standardise advantages to mean 0 and standard deviation 1.
    pub normalize_advantages: bool,
    /// Learning rate of the policy's Adam.
    pub learning_rate: Schedule,
    /// Learning rate of the critic's Adam.
    pub critic_learning_rate: Schedule,
    /// Number of critic steps, each over the whole rollout, after each policy step.
    pub critic_steps: usize,
    /// ε of both Adams.
    pub adam_epsilon: f64,
    /// Weight of the entropy bonus.
    pub entropy_coef: Schedule,
    /// Norm to which longer policy gradients are scaled down; 0: never.
    pub max_grad_norm: f64,
}

impl Default for VpgConfig {
    fn default() -> Self {
        Self {
            steps: 4000,
            gamma: 0.99,
            gae_lambda: 0.97,
            normalize_advantages: true,
            learning_rate: Schedule::Constant(3e-4),
            critic_learning_rate: Schedule::Constant(1e-3),
            critic_steps: 80,
            adam_epsilon: 1e-8,
            entropy_coef: Schedule::Constant(0.0),
            max_grad_norm: 0.0,
        }
    }
}

impl Settings for VpgConfig {
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
            normalize_advantages: _,
            learning_rate: POSITIVE,
            critic_learning_rate: POSITIVE,
            critic_steps: COUNT,
            adam_epsilon: POSITIVE,
            entropy_coef: NOT_NEGATIVE,
            max_grad_norm: NOT_NEGATIVE,
        })?;
        rollout_samples("algo.steps", self.steps, num_envs).map(|_| ())
    }

    fn sequences(&self) -> SequenceUse {
        SequenceUse::Whole
    }

    fn build(&self, actor: &Actor, critic: &Critic) -> Learner {
        Learner::Synchronous(Box::new(Vpg::new(self.clone(), actor, critic)))
    }
}

/// VPG with its optimiser state.
#[derive(Clone, Debug)]
pub struct Vpg {
    config: VpgConfig,
    actor_rule: Rule,
    critic_rule: Rule,
}

impl Vpg {
    /// VPG with fresh optimiser state for these networks.
    pub fn new(config: VpgConfig, actor: &Actor, critic: &Critic) -> Self {
        let device = actor.net.device();
        let adam = |len| Rule::new(RuleKind::Adam, len, config.adam_epsilon, &device);
        Self {
            actor_rule: adam(actor.net.num_params()),
            critic_rule: adam(critic.net.num_params()),
            config,
        }
    }
}

impl Algorithm for Vpg {
    fn update(
        &mut self,
        actor: &mut Actor,
        critic: &mut Critic,
        rollout: Rollout,
        context: UpdateContext,
    ) -> Measured {
        let c = &self.config;
        let ascent = PolicyAscent {
            scale: 1.0,
            entropy_coef: c.entropy_coef.at(context.progress),
            learning_rate: c.learning_rate.at(context.progress),
            max_grad_norm: c.max_grad_norm,
        };
        let fit = ValueSteps {
            epochs: c.critic_steps,
            ..ValueSteps::whole(c.critic_learning_rate.at(context.progress))
        };

        let advantages = gae(&rollout.trace(), c.gamma, c.gae_lambda);
        // The critic learns rewards to go, not advantages plus its own values.
        let returns = discounted_returns(&rollout.trace(), c.gamma);
        let mut batch = rollout.flatten(advantages, returns);
        if c.normalize_advantages {
            batch.standardize(context.peers);
        }

        let means = ascend(actor, &mut self.actor_rule, &batch, ascent, context.peers);
        let losses = fit_values(
            critic,
            &mut self.critic_rule,
            &batch,
            fit,
            (context.peers, context.stop),
        );

        let explained =
            peers::explained_variance(context.peers, batch.values.clone(), batch.returns.clone());
        let scalars = vec![
            ("policy_loss", means.policy_loss),
            ("value_loss", losses.first),
            ("entropy", means.entropy),
            ("approx_kl", moved(actor, &batch, context.peers)),
            ("explained_variance", explained),
            ("grad_norm", means.grad_norm),
            ("param_norm", param_norm([&actor.net, &critic.net])),
        ];
        Measured::new(scalars, &[("lr", ascent.learning_rate)])
    }

    fn slower_path(&self, actor: &Actor, critic: &Critic) -> Option<&'static str> {
        slower_path_alone((actor, critic))
    }

    fn save(&self, checkpoint: &mut Checkpoint) {
        save_rule(checkpoint, "actor", &self.actor_rule);
        save_rule(checkpoint, "critic", &self.critic_rule);
    }

    fn load(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        load_rule(checkpoint, "actor", &mut self.actor_rule)?;
        load_rule(checkpoint, "critic", &mut self.critic_rule)
    }
}
