//! Actor and critic: a network, the observation normaliser it was trained with, and how to read
//! its output.

use crate::{
    dist::{Dist, DistKind},
    network::{Net, Network},
    normalize::ObsNorm,
};
use burn::tensor::{Tensor, assert_shape};

/// A stochastic policy π(a|s).
#[derive(Clone, Debug)]
pub struct Actor {
    /// Observations `[B, O]` → distribution parameters `[B, W]`.
    pub net: Net,
    /// How to read those parameters.
    pub kind: DistKind,
    /// Applied to observations first.
    pub obs_norm: Option<ObsNorm>,
}

impl Actor {
    /// A policy from a network whose outputs are the parameters of `kind`.
    pub fn new(network: impl Network, kind: DistKind) -> Self {
        Self {
            net: Net::new(network),
            kind,
            obs_norm: None,
        }
    }

    /// π(·|s) for raw observations `[B, O]`.
    pub fn dist(&self, obs: Tensor<2>) -> Dist {
        self.kind.with_params(self.dist_params(obs))
    }

    /// The network's outputs, which are the parameters of π(·|s), `[B, W]` for raw observations
    /// `[B, O]`.
    pub fn dist_params(&self, obs: Tensor<2>) -> Tensor<2> {
        self.net.forward(normalized(&self.obs_norm, obs))
    }

    /// Directional derivative of [`dist_params`](Self::dist_params) by the network's parameters along
    /// `direction` `[P]`: `[B, W]` for raw observations `[B, O]`.
    pub fn jvp(&self, obs: Tensor<2>, direction: Tensor<1>) -> Tensor<2> {
        self.net.jvp(normalized(&self.obs_norm, obs), direction)
    }

    /// This actor with another network, for example one that records gradients.
    pub fn with_net(&self, net: Net) -> Self {
        Self {
            net,
            ..self.clone()
        }
    }
}

/// A state-value function V(s).
#[derive(Clone, Debug)]
pub struct Critic {
    /// Observations `[B, O]` → `[B, 1]`.
    pub net: Net,
    /// Applied to observations first.
    pub obs_norm: Option<ObsNorm>,
}

impl Critic {
    /// A value function from a network with one output.
    pub fn new(network: impl Network) -> Self {
        Self {
            net: Net::new(network),
            obs_norm: None,
        }
    }

    /// V(s) `[B]` for raw observations `[B, O]`.
    pub fn values(&self, obs: Tensor<2>) -> Tensor<1> {
        let values = self.net.forward(normalized(&self.obs_norm, obs));
        assert_shape!(values, [_, 1]);
        values.squeeze_dim(1)
    }

    /// This critic with another network, for example one that records gradients.
    pub fn with_net(&self, net: Net) -> Self {
        Self {
            net,
            ..self.clone()
        }
    }
}

fn normalized(norm: &Option<ObsNorm>, obs: Tensor<2>) -> Tensor<2> {
    match norm {
        Some(norm) => norm.apply(obs),
        None => obs,
    }
}
