//! Policy-gradient steps of an actor alone, over a whole rollout.

use crate::optimizer::descend;
use burn::tensor::Tensor;
use uphill_core::{
    loss::{approx_kl, policy_gradient_surrogate},
    optim::Rule,
    peers::{self, Peers},
    policy::Actor,
    rollout::{Batch, Rollout},
};

/// Settings of a policy step that increases J + c_H H, with J = `scale` · mean(w log π(a|s)).
#[derive(Clone, Copy, Debug)]
pub struct PolicyAscent {
    /// Factor of the mean over samples.
    pub scale: f64,
    /// c_H.
    pub entropy_coef: f64,
    /// Learning rate of the update rule.
    pub learning_rate: f64,
    /// Norm to which longer gradients are scaled down; 0: never.
    pub max_grad_norm: f64,
}

/// Diagnostics of a step, measured before it, `[1]` each.
#[derive(Clone, Debug)]
pub struct PolicyMeans {
    /// −J.
    pub policy_loss: Tensor<1>,
    /// Mean entropy H, in nats.
    pub entropy: Tensor<1>,
    /// Norm of the gradient before clipping.
    pub grad_norm: Tensor<1>,
}

/// Takes one step of `rule`, with the batch's advantages as weights w.
pub fn ascend(
    actor: &mut Actor,
    rule: &mut Rule,
    batch: &Batch,
    step: PolicyAscent,
    peers: &dyn Peers,
) -> PolicyMeans {
    // J is a sum over trajectories, equally many in every process; H is a mean over samples.
    let entropy_coef = step.entropy_coef * peers::share(peers, batch.len());
    let (grad, policy_loss, entropy) = policy_gradient(actor, batch, step.scale, entropy_coef);
    let grad = peers::mean(peers, grad);
    let (rate, max_norm) = (step.learning_rate, step.max_grad_norm);
    PolicyMeans {
        policy_loss: peers::mean(peers, policy_loss),
        entropy: peers::mean_over(peers, entropy, batch.len()),
        grad_norm: descend(&mut actor.net, rule, grad, rate, max_norm),
    }
}

/// ∇(−J − c_H H) `[P]`, −J and H `[1]`.
fn policy_gradient(
    actor: &Actor,
    batch: &Batch,
    scale: f64,
    entropy_coef: f64,
) -> (Tensor<1>, Tensor<1>, Tensor<1>) {
    let net = actor.net.tracked();
    let dist = actor.with_net(net.clone()).dist_on(batch);
    let log_probs = dist.log_prob(batch.actions.clone());
    let surrogate = policy_gradient_surrogate(log_probs, batch.advantages.clone()) * scale;
    let entropy = dist.entropy().mean();
    let loss = surrogate.clone().neg() - entropy.clone() * entropy_coef;
    let grad = net.flat_grad(&loss.backward());
    let policy_loss = surrogate.without_autodiff().neg();
    (grad, policy_loss, entropy.without_autodiff())
}

/// ĝ = (1/N) Σ_n Σ_t w_t ∇ log π(a_t|s_t), `[P]`, the gradient of J for weights `[T, N]`. Each column is one
/// trajectory.
pub fn estimate(actor: &Actor, rollout: &Rollout, weights: Tensor<2>) -> Tensor<1> {
    let batch = rollout.flatten(weights, rollout.values.clone());
    let [_, trajectories] = rollout.dims();
    let scale = batch.len() as f64 / trajectories as f64;
    policy_gradient(actor, &batch, scale, 0.0).0.neg()
}

/// k3 estimate `[1]` of KL(old ‖ new) after a step.
pub(crate) fn moved(actor: &Actor, batch: &Batch, peers: &dyn Peers) -> Tensor<1> {
    let log_probs = actor.dist_on(batch).log_prob(batch.actions.clone());
    let kl = approx_kl(log_probs - batch.log_probs.clone());
    peers::mean_over(peers, kl, batch.len())
}
