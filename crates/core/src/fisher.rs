//! Fisher information of a policy, as a linear map on its parameters.

use crate::{
    dist::Dist,
    obs::Obs,
    policy::Actor,
    rollout::{Batch, Sequences},
};
use burn::tensor::Tensor;

/// F = E_s E_{a~π}[∇log π(a|s) ∇log π(a|s)ᵀ] of a policy over a batch of observations, never formed as a matrix.
///
/// With J the Jacobian of the distribution parameters of one observation with respect to the network's parameters and M
/// the distribution's own Fisher information, F = (1/B) Σ_b J_bᵀ M_b J_b, which is also the Hessian of the mean KL(π ‖
/// π_θ) at θ (Amari 1998; Martens, arXiv:1412.1193 §9).
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use rand::{SeedableRng, rngs::SmallRng};
/// use uphill_core::{dist::DistKind, fisher::Fisher, nn::MlpConfig, policy::Actor};
///
/// let (device, mut rng) = (Device::flex(), SmallRng::seed_from_u64(1));
/// let network = MlpConfig::default().build(4, 2, 1.0, &mut rng, &device);
/// let actor = Actor::new(network, DistKind::Categorical { choices: 2 });
/// let fisher = Fisher::new(&actor, Tensor::ones([8, 4], &device));
/// let direction = actor.net.flat();
/// // F is positive semi-definite.
/// assert!((fisher.product(direction.clone()) * direction).sum().into_scalar::<f32>() >= 0.0);
/// ```
#[derive(Clone, Debug)]
pub struct Fisher {
    actor: Actor,
    obs: Obs<2>,
    sequences: Option<Sequences>,
    dist: Dist,
}

impl Fisher {
    /// Fisher information of `actor` at raw observations `[B, O]`; with memory, at the first steps of episodes.
    pub fn new(actor: &Actor, obs: impl Into<Obs<2>>) -> Self {
        Self::at(actor, obs.into(), None)
    }

    /// Fisher information of `actor` at the samples of a batch. With memory, each sample follows the steps before it,
    /// whose states depend on the parameters; the state before a sequence is held constant, as for the gradient.
    pub fn on(actor: &Actor, batch: &Batch) -> Self {
        Self::at(actor, batch.obs.clone(), batch.sequences.clone())
    }

    fn at(actor: &Actor, obs: Obs<2>, sequences: Option<Sequences>) -> Self {
        let params = actor.dist_params_at(&obs, sequences.as_ref());
        Self {
            dist: actor.kind.with_params(params),
            actor: actor.clone(),
            obs,
            sequences,
        }
    }

    /// F v `[P]` of a direction v `[P]`: J v by forward mode, M in closed form, Jᵀ by one backward pass.
    ///
    /// Exact for networks with a [`Network::jvp`](crate::network::Network::jvp) (with memory,
    /// [`RecurrentNetwork::unroll_jvp`](crate::recurrent::RecurrentNetwork::unroll_jvp)); no second derivatives are
    /// taken.
    pub fn product(&self, direction: Tensor<1>) -> Tensor<1> {
        let sequences = self.sequences.as_ref();
        let tangent = self.actor.jvp_at(&self.obs, sequences, direction);
        let [batch, _] = tangent.dims();
        let cotangent = self.dist.fisher_mul(tangent) * (1.0 / batch as f64);
        let net = self.actor.net.tracked();
        let tracked = self.actor.with_net(net.clone());
        let outputs = tracked.dist_params_at(&self.obs, sequences);
        net.flat_grad(&(outputs * cotangent).sum().backward())
    }
}
