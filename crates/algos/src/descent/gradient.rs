//! Gradients of an actor-critic loss over a batch.

use super::choice::{self, Fast};
use super::measured::Means;
use burn::tensor::Tensor;
use uphill_core::{
    loss::{ActorCriticLoss, Surrogate},
    ops::{StepDiagnostics, actor_critic_gradient, device_gradient, gradient_through_outputs},
    peers::{self, Peers},
    policy::{Actor, Critic},
    rollout::Batch,
};

/// Gradients of a loss with respect to the parameters of actor and critic, and diagnostics.
#[derive(Clone, Debug)]
pub struct Gradient {
    /// Gradient of the actor's parameters, `[P]`.
    pub actor: Tensor<1>,
    /// Gradient of the critic's parameters, `[P]`.
    pub critic: Tensor<1>,
    /// Diagnostics over the samples.
    pub means: Means<Tensor<1>>,
}

/// Gradient of `loss` over the samples of all processes; `old` is the policy that collected them.
pub fn gradient(
    agent: (&Actor, &Critic),
    old: &Actor,
    mut batch: Batch,
    mut loss: ActorCriticLoss,
    peers: &dyn Peers,
) -> Gradient {
    if peers.size() == 1 {
        return of_this_process(agent, old, &batch, &loss);
    }
    if loss.standardize {
        batch.standardize(peers);
        loss.standardize = false;
    }
    let own = of_this_process(agent, old, &batch, &loss);
    let mean = |x| peers::mean(peers, x);
    Gradient {
        actor: mean(own.actor),
        critic: mean(own.critic),
        means: Means {
            policy_loss: mean(own.means.policy_loss),
            value_loss: mean(own.means.value_loss),
            entropy: mean(own.means.entropy),
            approx_kl: mean(own.means.approx_kl),
            clip_fraction: mean(own.means.clip_fraction),
        },
    }
}

fn of_this_process(
    agent: (&Actor, &Critic),
    old: &Actor,
    batch: &Batch,
    loss: &ActorCriticLoss,
) -> Gradient {
    // The penalty refers to the policy that acted, but the loops assume that it is the current one.
    let fast = match loss.surrogate {
        Surrogate::Penalised { .. } => None,
        _ => match choice::of_agent(agent, loss) {
            Ok(Fast::Cpu) => on_cpu(agent, batch, loss),
            Ok(Fast::Gpu) => on_gpu(agent, batch, loss),
            Err(_) => through_outputs(agent, batch, loss),
        },
    };
    fast.unwrap_or_else(|| on_tensors(agent, old, batch, loss))
}

/// The reference, on tensors.
fn on_tensors(
    (actor, critic): (&Actor, &Critic),
    old: &Actor,
    batch: &Batch,
    loss: &ActorCriticLoss,
) -> Gradient {
    let (actor_net, critic_net) = (actor.net.tracked(), critic.net.tracked());
    let (actor, critic) = (
        actor.with_net(actor_net.clone()),
        critic.with_net(critic_net.clone()),
    );
    let parts = loss.on((&actor, &critic), old, batch);
    let grads = parts.total.backward();
    Gradient {
        actor: actor_net.flat_grad(&grads),
        critic: critic_net.flat_grad(&grads),
        means: Means::of(parts, &loss.surrogate),
    }
}

fn on_cpu(
    (actor, critic): (&Actor, &Critic),
    batch: &Batch,
    loss: &ActorCriticLoss,
) -> Option<Gradient> {
    let gradient = actor_critic_gradient(actor, critic, batch, &loss.in_f32())?;
    Some(of_loops(gradient, batch))
}

/// Networks that no loop knows, with the loss in a loop.
fn through_outputs(
    (actor, critic): (&Actor, &Critic),
    batch: &Batch,
    loss: &ActorCriticLoss,
) -> Option<Gradient> {
    let gradient = gradient_through_outputs(actor, critic, batch, &loss.in_f32())?;
    Some(of_loops(gradient, batch))
}

fn of_loops(
    ([actor, critic], means): ([Tensor<1>; 2], StepDiagnostics),
    batch: &Batch,
) -> Gradient {
    let device = batch.obs.device();
    let mean = |x: f32| Tensor::from_data([x], &device);
    Gradient {
        actor,
        critic,
        means: Means {
            policy_loss: mean(-means.surrogate),
            value_loss: mean(means.value_loss),
            entropy: mean(means.entropy),
            approx_kl: mean(means.approx_kl),
            clip_fraction: mean(means.clip_fraction),
        },
    }
}

fn on_gpu(
    (actor, critic): (&Actor, &Critic),
    batch: &Batch,
    loss: &ActorCriticLoss,
) -> Option<Gradient> {
    let ([of_actor, of_critic], means) = device_gradient(actor, critic, batch, &loss.in_f32())?;
    // In the order in which kernels write them.
    let [surrogate, entropy, approx_kl, clip_fraction, value_loss] =
        [0, 1, 2, 3, 4].map(|i| means.clone().narrow(0, i, 1));
    Some(Gradient {
        actor: of_actor,
        critic: of_critic,
        means: Means {
            policy_loss: surrogate.neg(),
            value_loss,
            entropy,
            approx_kl,
            clip_fraction,
        },
    })
}
