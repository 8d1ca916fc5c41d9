//! One step along the policy gradient per rollout, to show that adding an algorithm is this file and two lines.

use crate::{
    Algorithm, Checkpoint, CheckpointError, ConfigError, Horizon, Learner, Measured, Settings,
    UpdateContext, check_settings,
    settings::{COUNT, POSITIVE, SHARE},
};
use serde::{Deserialize, Serialize};
use uphill_core::{
    advantage::{gae, standardize},
    policy::{Actor, Critic},
    rollout::Rollout,
};

/// The `[algo]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NudgeConfig {
    /// Steps of a rollout, per copy.
    pub steps: usize,
    /// Step along the gradient.
    pub learning_rate: f64,
    /// Discount γ.
    pub gamma: f64,
}

impl Default for NudgeConfig {
    fn default() -> Self {
        Self {
            steps: 32,
            learning_rate: 0.1,
            gamma: 0.99,
        }
    }
}

impl Settings for NudgeConfig {
    fn horizon(&self) -> Horizon {
        Horizon::Steps(self.steps)
    }

    fn gamma(&self) -> f64 {
        self.gamma
    }

    fn minibatch(&self, num_envs: usize) -> usize {
        self.steps * num_envs
    }

    fn validate(&self, _: usize) -> Result<(), ConfigError> {
        check_settings!(self, "algo.", { steps: COUNT, learning_rate: POSITIVE, gamma: SHARE })
    }

    fn build(&self, _: &Actor, _: &Critic) -> Learner {
        Learner::Synchronous(Box::new(Nudge(self.clone())))
    }
}

struct Nudge(NudgeConfig);

impl Algorithm for Nudge {
    fn update(
        &mut self,
        actor: &mut Actor,
        _: &mut Critic,
        rollout: Rollout,
        _: UpdateContext<'_>,
    ) -> Measured {
        let advantages = gae(&rollout.trace(), self.0.gamma, 1.0);
        let returns = advantages.clone() + rollout.values.clone();
        let batch = rollout.flatten(advantages, returns);
        let net = actor.net.tracked();
        let dist = actor.with_net(net.clone()).dist_on(&batch);
        let log_probs = dist.log_prob(batch.actions);
        let surrogate = (log_probs * standardize(batch.advantages)).mean();
        let step = net.flat_grad(&surrogate.backward()) * self.0.learning_rate;
        actor.net = actor.net.with_flat(actor.net.flat() + step);
        let loss = surrogate.neg().without_autodiff();
        Measured::new(vec![("policy_loss", loss)], &[("lr", self.0.learning_rate)])
    }

    fn save(&self, _: &mut Checkpoint) {}

    fn load(&mut self, _: &Checkpoint) -> Result<(), CheckpointError> {
        Ok(())
    }
}
