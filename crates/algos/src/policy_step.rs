//! Policy step shared by steepest ascent, natural gradient and TRPO, with diagnostics and value fit.

use crate::{Measured, UpdateContext, critic_fit::CriticFit, descent::param_norm, random::subset};
use burn::tensor::Tensor;
use uphill_core::{
    advantage::gae,
    dist::Dist,
    fisher::Fisher,
    loss::surrogate_improvement,
    peers,
    policy::{Actor, Critic},
    read_back,
    rollout::{Batch, Rollout},
    trust_region::{NaturalGradient, NaturalStep, natural_step_by},
};

/// Settings of the objective of these algorithms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ObjectiveSettings {
    pub(crate) gamma: f64,
    pub(crate) gae_lambda: f64,
    /// Whether to standardise advantages to mean 0 and standard deviation 1 over the batch.
    pub(crate) normalize_advantages: bool,
    /// c_H.
    pub(crate) entropy_coef: f64,
}

/// E[ρ A] + c_H · H over one batch, with ρ = π / π_old the ratios to the policy that acted, and its gradient at that
/// policy.
pub(crate) struct Objective<'a> {
    pub(crate) batch: Batch,
    /// Gradient with respect to the policy's parameters, `[P]`.
    pub(crate) gradient: Tensor<1>,
    advantages: Tensor<1>,
    entropy_coef: f64,
    old: Dist,
    old_log_probs: Tensor<1>,
    context: UpdateContext<'a>,
}

impl<'a> Objective<'a> {
    /// The objective around `actor`, the policy that acted, with generalised advantages and the value targets R = A +
    /// V.
    pub(crate) fn new(
        actor: &Actor,
        rollout: &Rollout,
        c: ObjectiveSettings,
        context: UpdateContext<'a>,
    ) -> Self {
        let advantages = gae(&rollout.trace(), c.gamma, c.gae_lambda);
        let returns = advantages.clone() + rollout.values.clone();
        let batch = rollout.flatten(advantages, returns);
        let old = actor.dist_on(&batch);
        let advantages = batch.advantages.clone();
        let mut objective = Self {
            gradient: actor.net.flat(),
            advantages: if c.normalize_advantages {
                peers::standardize(context.peers, advantages)
            } else {
                advantages
            },
            entropy_coef: c.entropy_coef,
            old_log_probs: old.log_prob(batch.actions.clone()),
            old,
            batch,
            context,
        };
        objective.gradient = objective.gradient_at(actor);
        objective
    }

    /// Improvement of a policy over the one that acted, `[1]`: mean((ρ − 1) A) + c_H (H − H_old).
    fn improvement(&self, dist: &Dist) -> Tensor<1> {
        let log_ratios = dist.log_prob(self.batch.actions.clone()) - self.old_log_probs.clone();
        let surrogate = surrogate_improvement(log_ratios, self.advantages.clone());
        let entropy = dist.entropy().mean() - self.old.entropy().mean();
        surrogate + entropy * self.entropy_coef
    }

    /// Gradient with respect to the policy's parameters `[P]` at the policy that acted, where it equals the policy
    /// gradient E[∇log π · A] + c_H ∇H.
    fn gradient_at(&self, actor: &Actor) -> Tensor<1> {
        let net = actor.net.tracked();
        let dist = actor.with_net(net.clone()).dist_on(&self.batch);
        let gradient = net.flat_grad(&self.improvement(&dist).backward());
        peers::mean(self.context.peers, gradient)
    }

    /// Natural-gradient step from the policy that acted, with a Fisher matrix estimated from a random `subsample` of
    /// the batch.
    pub(crate) fn natural_step(
        &self,
        actor: &Actor,
        size: NaturalGradient,
        subsample: f64,
    ) -> NaturalStep {
        let fisher = Fisher::on(actor, &subset(&self.batch, subsample, self.context));
        let product = |v: Tensor<1>| match self.context.stopped() {
            // The step will be discarded.
            true if self.context.peers.size() == 1 => v,
            _ => peers::mean(self.context.peers, fisher.product(v)),
        };
        natural_step_by(product, self.gradient.clone(), size)
    }

    /// Effect of a step from the policy that acted to `actor`.
    pub(crate) fn compare(&self, actor: &Actor) -> Change {
        let (dist, peers) = (actor.dist_on(&self.batch), self.context.peers);
        let kl = self.old.kl(&dist);
        Change {
            improvement: peers::mean(peers, self.improvement(&dist)),
            mean_kl: peers::mean(peers, kl.clone().mean()),
            max_kl: peers::max(peers, kl.max()),
            entropy: peers::mean(peers, dist.entropy().mean()),
        }
    }

    /// Fits the values after the policy's step, and collects the metrics common to these updates, `further` last. They
    /// include the norm of all parameters, because a run may diverge in its last step.
    pub(crate) fn finish(
        &self,
        change: Change,
        (actor, critic): (&Actor, &mut Critic),
        critic_fit: &mut CriticFit,
        further: Vec<(&'static str, Tensor<1>)>,
        known: &[(&'static str, f64)],
    ) -> Measured {
        let batch = &self.batch;
        let value_loss = critic_fit.fit(critic, batch, self.context);
        let explained = peers::explained_variance(
            self.context.peers,
            batch.values.clone(),
            batch.returns.clone(),
        );
        let gradient = self.gradient.clone();
        let mut scalars = change.scalars();
        scalars.extend([
            ("value_loss", value_loss),
            ("explained_variance", explained),
            ("grad_norm", gradient.clone().dot(gradient).sqrt()),
            ("param_norm", param_norm([&actor.net, &critic.net])),
        ]);
        scalars.extend(further);
        let lr = ("lr", critic_fit.learning_rate(self.context));
        Measured::new(scalars, &[&[lr], known].concat())
    }
}

/// Second-order predictions of a step, as metrics.
pub(crate) fn predictions(step: NaturalStep) -> Vec<(&'static str, Tensor<1>)> {
    vec![
        ("predicted_improvement", step.predicted_improvement),
        ("predicted_kl", step.predicted_kl),
        ("cg_residual", step.cg_residual),
    ]
}

/// Effect of a step on the policy over one batch, `[1]` each, on the device.
pub(crate) struct Change {
    /// Improvement of the objective.
    improvement: Tensor<1>,
    /// Mean KL(old ‖ new), in nats.
    mean_kl: Tensor<1>,
    /// Largest KL(old ‖ new) over the observations, in nats.
    max_kl: Tensor<1>,
    /// Mean entropy of the new policy, in nats.
    entropy: Tensor<1>,
}

impl Change {
    /// Improvement and mean KL, read back.
    pub(crate) fn read(&self) -> (f64, f64) {
        let pair = vec![self.improvement.clone(), self.mean_kl.clone()];
        let read = read_back::read_all(pair);
        (read[0], read[1])
    }

    fn scalars(self) -> Vec<(&'static str, Tensor<1>)> {
        vec![
            ("policy_loss", self.improvement.clone().neg()),
            ("entropy", self.entropy),
            ("approx_kl", self.mean_kl),
            ("kl_max", self.max_kl),
            ("surrogate_improvement", self.improvement),
        ]
    }
}
