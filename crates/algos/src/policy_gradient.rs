//! The policy gradient of a whole rollout, and what one step along it did.

use burn::tensor::Tensor;
use uphill_core::{
    loss::{approx_kl, policy_gradient_surrogate},
    network::Net,
    policy::Actor,
    rollout::{Batch, Rollout},
};

/// A gradient of −J − c_H H by the actor's parameters, and the two parts.
pub(crate) struct PolicyGradient {
    /// `[P]`.
    pub(crate) grad: Tensor<1>,
    /// −J, `[1]`.
    pub(crate) policy_loss: Tensor<1>,
    /// Mean entropy H, `[1]`, nats.
    pub(crate) entropy: Tensor<1>,
}

/// ∇ of −`scale` · mean(w log π(a|s)) − c_H H with the batch's advantages as weights w.
pub(crate) fn policy_gradient(
    actor: &Actor,
    batch: &Batch,
    scale: f64,
    entropy_coef: f64,
) -> PolicyGradient {
    let net = actor.net.tracked();
    let dist = actor.with_net(net.clone()).dist_on(batch);
    let log_probs = dist.log_prob(batch.actions.clone());
    let surrogate = policy_gradient_surrogate(log_probs, batch.advantages.clone()) * scale;
    let entropy = dist.entropy().mean();
    let loss = surrogate.clone().neg() - entropy.clone() * entropy_coef;
    PolicyGradient {
        grad: net.flat_grad(&loss.backward()),
        policy_loss: surrogate.without_autodiff().neg(),
        entropy: entropy.without_autodiff(),
    }
}

/// ĝ = (1/N) Σ_n Σ_t w_t ∇ log π(a_t|s_t), `[P]`: what ascends J, from weights `[T, N]`. Each column
/// counts as one trajectory.
pub fn estimate(actor: &Actor, rollout: &Rollout, weights: Tensor<2>) -> Tensor<1> {
    let batch = rollout.flatten(weights, rollout.values.clone());
    let [_, trajectories] = rollout.dims();
    let scale = batch.len() as f64 / trajectories as f64;
    policy_gradient(actor, &batch, scale, 0.0).grad.neg()
}

/// k3 estimate of KL(old ‖ new) `[1]` after a step.
pub(crate) fn moved(actor: &Actor, batch: &Batch) -> Tensor<1> {
    let log_probs = actor.dist_on(batch).log_prob(batch.actions.clone());
    approx_kl(log_probs - batch.log_probs.clone())
}

/// Euclidean norm of all parameters `[1]`: what shows that a run diverged in its very last step.
pub(crate) fn param_norm(nets: [&Net; 2]) -> Tensor<1> {
    let [actor, critic] = nets.map(|net| net.flat().square().sum());
    (actor + critic).sqrt()
}
