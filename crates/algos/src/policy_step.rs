//! What steepest ascent, natural gradient and TRPO share: one step of the policy for each batch, the
//! objective that it climbs, and a measurement of what it did.

use crate::policy_gradient::param_norm;
use burn::tensor::Tensor;
use uphill_core::{
    advantage::{gae, standardize},
    dist::Dist,
    loss::{explained_variance, surrogate_improvement},
    policy::{Actor, Critic},
    read_back,
    rollout::{Batch, Rollout},
};

/// E[ρ A] + c_H · H over one batch, with ρ = π / π_old the ratios to the policy that acted.
pub(crate) struct Objective<'a> {
    batch: &'a Batch,
    advantages: Tensor<1>,
    entropy_coef: f64,
    old: Dist,
    old_log_probs: Tensor<1>,
}

impl<'a> Objective<'a> {
    /// Around `actor`, the policy that acted. `standardized`: advantages are brought to mean 0 and
    /// standard deviation 1.
    pub(crate) fn new(
        actor: &Actor,
        batch: &'a Batch,
        standardized: bool,
        entropy_coef: f64,
    ) -> Self {
        let old = actor.dist_on(batch);
        let advantages = batch.advantages.clone();
        Self {
            batch,
            advantages: if standardized {
                standardize(advantages)
            } else {
                advantages
            },
            entropy_coef,
            old_log_probs: old.log_prob(batch.actions.clone()),
            old,
        }
    }

    /// By how much a policy is better than the one that acted, `[1]`: mean((ρ − 1) A) + c_H (H − H_old).
    fn improvement(&self, dist: &Dist) -> Tensor<1> {
        let log_ratios = dist.log_prob(self.batch.actions.clone()) - self.old_log_probs.clone();
        let surrogate = surrogate_improvement(log_ratios, self.advantages.clone());
        let entropy = dist.entropy().mean() - self.old.entropy().mean();
        surrogate + entropy * self.entropy_coef
    }

    /// Gradient by the policy's parameters `[P]` at the policy that acted, where it is the policy
    /// gradient E[∇log π · A] + c_H ∇H.
    pub(crate) fn gradient(&self, actor: &Actor) -> Tensor<1> {
        let net = actor.net.tracked();
        let dist = actor.with_net(net.clone()).dist_on(self.batch);
        net.flat_grad(&self.improvement(&dist).backward())
    }

    /// What a step from the policy that acted to `actor` did.
    pub(crate) fn compare(&self, actor: &Actor) -> Change {
        let dist = actor.dist_on(self.batch);
        let kl = self.old.kl(&dist);
        Change {
            improvement: self.improvement(&dist),
            mean_kl: kl.clone().mean(),
            max_kl: kl.max(),
            entropy: dist.entropy().mean(),
        }
    }
}

/// What a step did to the policy over one batch, `[1]` each, on the device.
pub(crate) struct Change {
    /// Of the objective.
    improvement: Tensor<1>,
    /// Mean KL(old ‖ new), nats.
    mean_kl: Tensor<1>,
    /// Largest KL(old ‖ new) over the observations, nats.
    max_kl: Tensor<1>,
    /// Mean entropy of the new policy, nats.
    entropy: Tensor<1>,
}

impl Change {
    /// Improvement and mean KL, read back.
    pub(crate) fn read(&self) -> (f64, f64) {
        let pair = vec![self.improvement.clone(), self.mean_kl.clone()];
        let read = read_back::read_all(pair);
        (read[0], read[1])
    }

    /// As metrics.
    pub(crate) fn scalars(self) -> Vec<(&'static str, Tensor<1>)> {
        vec![
            ("policy_loss", self.improvement.clone().neg()),
            ("entropy", self.entropy),
            ("approx_kl", self.mean_kl),
            ("kl_max", self.max_kl),
            ("surrogate_improvement", self.improvement),
        ]
    }
}

/// Generalised advantages and their value targets R = A + V, as one batch.
pub(crate) fn advantage_batch(rollout: &Rollout, gamma: f64, gae_lambda: f64) -> Batch {
    let advantages = gae(&rollout.trace(), gamma, gae_lambda);
    let returns = advantages.clone() + rollout.values.clone();
    rollout.flatten(advantages, returns)
}

/// What every update reports besides its step of the policy, `[1]` each. The norm of all parameters is
/// in it because a run may diverge in its very last step.
pub(crate) fn diagnostics(
    gradient: Tensor<1>,
    batch: &Batch,
    value_loss: Tensor<1>,
    (actor, critic): (&Actor, &Critic),
) -> [(&'static str, Tensor<1>); 4] {
    let explained = explained_variance(batch.values.clone(), batch.returns.clone());
    [
        ("value_loss", value_loss),
        ("explained_variance", explained),
        ("grad_norm", gradient.clone().dot(gradient).sqrt()),
        ("param_norm", param_norm([&actor.net, &critic.net])),
    ]
}
