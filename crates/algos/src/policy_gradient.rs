//! The policy gradient of a whole rollout, and what one step along it did.

use burn::tensor::Tensor;
use std::sync::{Mutex, PoisonError};
use uphill_core::{
    loss::{approx_kl, policy_gradient_surrogate, value_loss},
    network::Net,
    ops::{ActorCriticLoss, Surrogate, actor_critic_gradient, device_gradient},
    policy::{Actor, Critic},
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

/// A gradient of c_V L_V − J − c_H H by the parameters of actor and critic, and its parts.
pub(crate) struct ActorCriticGradient {
    /// `[P]` of the actor and of the critic.
    pub(crate) grads: (Tensor<1>, Tensor<1>),
    /// −J, the value loss and the mean entropy, `[1]` each.
    pub(crate) parts: [Tensor<1>; 3],
}

/// ∇ of `value_coef` · ½ mean((V − R)²) − mean(A log π(a|s)) − `entropy_coef` · H.
pub(crate) fn actor_critic(
    actor: &Actor,
    critic: &Critic,
    batch: Batch,
    value_coef: f64,
    entropy_coef: f64,
) -> ActorCriticGradient {
    let loss = ActorCriticLoss {
        surrogate: Surrogate::LogProb,
        value_clip: 0.0,
        value_coef: value_coef as f32,
        entropy_coef: entropy_coef as f32,
        standardize: false,
    };
    if let Some(([of_actor, of_critic], means)) =
        actor_critic_gradient(actor, critic, &batch, &loss)
    {
        let device = batch.obs.device();
        let parts = [-means.surrogate, means.value_loss, means.entropy];
        return ActorCriticGradient {
            grads: (of_actor, of_critic),
            parts: parts.map(|x| Tensor::from_data([x], &device)),
        };
    }

    if let Some(([of_actor, of_critic], means)) = device_gradient(actor, critic, &batch, &loss) {
        let mean = |i| means.clone().narrow(0, i, 1);
        return ActorCriticGradient {
            grads: (of_actor, of_critic),
            parts: [mean(0).neg(), mean(4), mean(1)],
        };
    }

    let _one = AUTODIFF.lock().unwrap_or_else(PoisonError::into_inner);
    let (actor_net, critic_net) = (actor.net.tracked(), critic.net.tracked());
    let dist = actor.with_net(actor_net.clone()).dist_on(&batch);
    let values = critic.with_net(critic_net.clone()).values_on(&batch);
    let surrogate = policy_gradient_surrogate(dist.log_prob(batch.actions), batch.advantages);
    let entropy = dist.entropy().mean();
    let value_loss = value_loss(values, batch.returns);
    let loss = value_loss.clone() * value_coef - surrogate.clone() - entropy.clone() * entropy_coef;
    let grads = loss.backward();
    ActorCriticGradient {
        grads: (actor_net.flat_grad(&grads), critic_net.flat_grad(&grads)),
        parts: [surrogate.neg(), value_loss, entropy].map(Tensor::without_autodiff),
    }
}

/// Burn's autodiff is used by one thread at a time.
static AUTODIFF: Mutex<()> = Mutex::new(());

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
