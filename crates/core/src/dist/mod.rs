//! Action distributions, as pure functions of their parameters.
//!
//! A policy network maps observations `[B, O]` to distribution parameters `[B, W]`; [`DistKind`]
//! says how to read them. Sampling takes its noise as an argument, so the same noise gives the same
//! actions on every backend and a random stream is a position that the caller can save.

mod categorical;
mod gaussian;

use burn::tensor::Tensor;
pub use categorical::Categorical;
pub use gaussian::Gaussian;

/// Which distribution a policy has, and over what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DistKind {
    /// One of `choices` actions. Parameters `[B, K]` are unnormalised logits.
    Categorical {
        /// Number of actions `K`.
        choices: usize,
    },
    /// Independent normals over `dim` action components. Parameters `[B, 2A]` are the means followed
    /// by the logarithms of the standard deviations.
    Gaussian {
        /// Number of action components `A`.
        dim: usize,
    },
}

/// The kind of noise that [`Dist::sample`] turns into actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoiseKind {
    /// Standard Gumbel, −ln(−ln u).
    Gumbel,
    /// Standard normal.
    Normal,
}

impl DistKind {
    /// Number of distribution parameters `W` that a network has to produce per sample.
    pub fn param_width(self) -> usize {
        match self {
            Self::Categorical { choices } => choices,
            Self::Gaussian { dim } => 2 * dim,
        }
    }

    /// Number of action columns `A`. A discrete action is its index in column 0.
    pub fn action_width(self) -> usize {
        match self {
            Self::Categorical { .. } => 1,
            Self::Gaussian { dim } => dim,
        }
    }

    /// Number of noise columns per sample, and their distribution.
    pub fn noise(self) -> (usize, NoiseKind) {
        match self {
            Self::Categorical { choices } => (choices, NoiseKind::Gumbel),
            Self::Gaussian { dim } => (dim, NoiseKind::Normal),
        }
    }

    /// The distribution with these parameters `[B, W]`.
    ///
    /// # Panics
    /// If the width of `params` is not [`param_width`](Self::param_width).
    pub fn with_params(self, params: Tensor<2>) -> Dist {
        burn::tensor::assert_shape!(params, [_, self.param_width()]);
        match self {
            Self::Categorical { .. } => Dist::Categorical(Categorical::from_logits(params)),
            Self::Gaussian { dim } => {
                let mean = params.clone().narrow(1, 0, dim);
                let log_std = params.narrow(1, dim, dim);
                Dist::Gaussian(Gaussian::new(mean, log_std))
            }
        }
    }
}

/// A batch of `B` action distributions.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // tensor handles; there is one of these at a time
pub enum Dist {
    /// Over `K` discrete actions.
    Categorical(Categorical),
    /// Over `A` continuous action components.
    Gaussian(Gaussian),
}

impl Dist {
    /// Actions `[B, A]` from noise `[B, ..]` as described by [`DistKind::noise`].
    pub fn sample(&self, noise: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Categorical(dist) => dist.sample(noise),
            Self::Gaussian(dist) => dist.sample(noise),
        }
    }

    /// The most likely actions `[B, A]`.
    pub fn mode(&self) -> Tensor<2> {
        match self {
            Self::Categorical(dist) => dist.mode(),
            Self::Gaussian(dist) => dist.mode(),
        }
    }

    /// log π(a|s) `[B]` of actions `[B, A]`, in nats. For continuous actions a log-density.
    pub fn log_prob(&self, actions: Tensor<2>) -> Tensor<1> {
        match self {
            Self::Categorical(dist) => dist.log_prob(actions),
            Self::Gaussian(dist) => dist.log_prob(actions),
        }
    }

    /// Entropy `[B]`, in nats (differential entropy for continuous actions).
    pub fn entropy(&self) -> Tensor<1> {
        match self {
            Self::Categorical(dist) => dist.entropy(),
            Self::Gaussian(dist) => dist.entropy(),
        }
    }

    /// KL(self ‖ other) `[B]`, in nats.
    ///
    /// # Panics
    /// If the two are of different kinds.
    pub fn kl(&self, other: &Self) -> Tensor<1> {
        match (self, other) {
            (Self::Categorical(p), Self::Categorical(q)) => p.kl(q),
            (Self::Gaussian(p), Self::Gaussian(q)) => p.kl(q),
            _ => panic!("KL divergence between a categorical and a Gaussian distribution"),
        }
    }

    /// F u `[B, W]`: the Fisher information F = E[∇log π(a|s) ∇log π(a|s)ᵀ] of each sample's
    /// distribution in its own parameters, times `tangent` `[B, W]`. Both are in the order of the
    /// network's outputs.
    ///
    /// F is the Hessian of KL(π_θ ‖ π_{θ+d}) at d = 0, so KL(π_θ ‖ π_{θ+d}) ≈ ½ dᵀF d.
    pub fn fisher_mul(&self, tangent: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Categorical(dist) => dist.fisher_mul(tangent),
            Self::Gaussian(dist) => dist.fisher_mul(tangent),
        }
    }
}
