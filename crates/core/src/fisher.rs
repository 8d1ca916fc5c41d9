//! Fisher information of a policy, as a linear map on its parameters.

use crate::{dist::Dist, policy::Actor};
use burn::tensor::Tensor;

/// F = E_s E_{a~π}[∇log π(a|s) ∇log π(a|s)ᵀ] of a policy over a batch of observations, never formed.
///
/// With J the derivative of the distribution parameters of one observation by the network's parameters
/// and M the distribution's own Fisher information, F = (1/B) Σ_b J_bᵀ M_b J_b, which is also the
/// Hessian of the mean KL(π ‖ π_θ) at θ (Amari 1998; Martens, arXiv:1412.1193 §9).
#[derive(Clone, Debug)]
pub struct Fisher {
    actor: Actor,
    obs: Tensor<2>,
    dist: Dist,
}

impl Fisher {
    /// Of `actor` at raw observations `[B, O]`.
    pub fn new(actor: &Actor, obs: Tensor<2>) -> Self {
        Self {
            dist: actor.dist(obs.clone()),
            actor: actor.clone(),
            obs,
        }
    }

    /// F v `[P]` of a direction v `[P]`: J v by forward mode, M in closed form, Jᵀ by one backward pass.
    ///
    /// Exact for networks with a [`Network::jvp`](crate::network::Network::jvp); no derivative is
    /// taken twice.
    pub fn product(&self, direction: Tensor<1>) -> Tensor<1> {
        let tangent = self.actor.jvp(self.obs.clone(), direction);
        let [batch, _] = tangent.dims();
        let cotangent = self.dist.fisher_mul(tangent) * (1.0 / batch as f64);
        let net = self.actor.net.tracked();
        let outputs = self
            .actor
            .with_net(net.clone())
            .dist_params(self.obs.clone());
        net.flat_grad(&(outputs * cotangent).sum().backward())
    }
}
