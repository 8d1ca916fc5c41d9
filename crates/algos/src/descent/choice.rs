//! Choice of the engine for an update: CPU loops, GPU kernels, or Burn's tensors.

use uphill_core::{
    loss::{ActorCriticLoss, Surrogate},
    ops::device_knows,
    policy::{Actor, Critic},
};

/// Engines that are several times faster than tensors for small networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fast {
    /// Loops on slices in host memory.
    Cpu,
    /// Kernels on a GPU.
    Gpu,
}

const NO_PERCEPTRON: &str = "networks with memory, with state-dependent standard deviations, or of user-defined modules have no fast engine";
const NO_LOOPS: &str = "Beta policies, user-defined distributions and more than sixteen choices at once have no fast engine";
const NO_KERNELS: &str = "GPU kernels support Gaussian policies and one choice without masks, on networks that fit into shared memory and registers";
const NO_PENALTY: &str = "GPU kernels support clipped ratios, but no KL penalty";
const NO_OWN: &str = "GPU kernels support clipped ratios, but no user-defined surrogate";
const NO_FITS: &str =
    "GPU kernels support the steps of PPO, A2C and A3C, in which actor and critic learn together";
const NO_DEVICE: &str = "there are no loops or kernels for this device and its float type";

/// The fast engine for gradients of an actor-critic loss, or the reason why tensors are used.
pub(crate) fn of_agent(
    (actor, critic): (&Actor, &Critic),
    loss: &ActorCriticLoss,
) -> Result<Fast, &'static str> {
    let nets = [&actor.net, &critic.net];
    if nets.iter().any(|net| net.perceptron().is_none()) {
        return Err(NO_PERCEPTRON);
    }
    if !actor.fused() {
        return Err(NO_LOOPS);
    }
    match device_knows(actor, critic) {
        None if nets.iter().all(|net| net.fused()) => Ok(Fast::Cpu),
        None => Err(NO_DEVICE),
        Some(false) => Err(NO_KERNELS),
        Some(true) => match loss.surrogate {
            Surrogate::Penalised { .. } => Err(NO_PENALTY),
            Surrogate::Custom(_) => Err(NO_OWN),
            Surrogate::LogProb | Surrogate::Clipped { .. } => Ok(Fast::Gpu),
        },
    }
}

/// Reason why steps of actor or critic alone use tensors throughout: passes through their networks, which take most of
/// the time, are not fused. `None` if they are.
pub(crate) fn slower_alone((actor, critic): (&Actor, &Critic)) -> Option<&'static str> {
    let nets = [&actor.net, &critic.net];
    if nets.iter().all(|net| net.fused()) {
        None
    } else if nets.iter().any(|net| net.perceptron().is_none()) {
        Some(NO_PERCEPTRON)
    } else if device_knows(actor, critic).is_some() {
        Some(NO_FITS)
    } else {
        Some(NO_DEVICE)
    }
}
