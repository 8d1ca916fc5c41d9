//! Action distributions, as pure functions of their parameters.
//!
//! A policy network maps observations `[B, O]` to distribution parameters `[B, W]`; [`DistKind`] defines how to
//! interpret them. Sampling takes its noise as an argument, so the same noise gives the same actions on every backend,
//! and the state of a random stream is a position that the caller can save.
//!
//! | distribution | actions | parameters `[B, W]` | entropy | mode |
//! |---|---|---|---|---|
//! | [`Categorical`] | one of K | K logits | closed form | closed form |
//! | masked categorical ([`mask_logits`]) | one of the allowed | K logits | closed form | closed form |
//! | [`MultiDiscrete`] | A indices | Σ K_i logits | closed form | closed form |
//! | [`Gaussian`] | A reals | μ, log σ | closed form | closed form |
//! | [`SquashedGaussian`] | A reals within bounds | μ, log σ of tanh⁻¹ | quadrature | median |
//! | [`Beta`] | A reals within bounds | α, β before softplus | closed form | closed form |
//! | user-defined: a [`Distribution`] | | | | |
//!
//! Log-probabilities, KL divergences and Fisher products of the built-in distributions are exact. Actions on a bounded
//! interval are stored as the unbounded numbers that they are computed from, and [`DistKind::env_actions`] maps them to
//! the environment; other actions are passed on unchanged.

mod beta;
mod bounds;
mod categorical;
mod custom;
mod gaussian;
mod multi_discrete;
mod quadrature;
pub mod special;
mod squashed_gaussian;

pub use beta::Beta;
pub use bounds::Bounds;
use burn::tensor::{Tensor, activation::sigmoid};
pub use categorical::{Categorical, mask_logits};
pub use custom::{Custom, CustomDist, Distribution};
pub use gaussian::Gaussian;
pub use multi_discrete::MultiDiscrete;
pub use squashed_gaussian::SquashedGaussian;

/// Kind of a policy's action distribution, with its dimensions.
///
/// ```
/// use uphill_core::dist::{DistKind, NoiseKind};
///
/// let kind = DistKind::Gaussian { dim: 3 };
/// assert_eq!(kind.param_width(), 6); // means and log σ
/// assert_eq!(kind.action_width(), 3);
/// assert_eq!(kind.noise(), (3, NoiseKind::Normal));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum DistKind {
    /// One of `choices` actions. Parameters `[B, K]` are unnormalised logits.
    Categorical {
        /// Number of actions `K`.
        choices: usize,
    },
    /// One choice per action component, independently. Parameters `[B, Σ K_i]` are unnormalised logits, one component
    /// after the other.
    MultiDiscrete {
        /// Number of choices K_i of each component.
        choices: Vec<usize>,
    },
    /// Independent normals over `dim` action components. Parameters `[B, 2A]` are the means followed
    /// by the logarithms of the standard deviations.
    Gaussian {
        /// Number of action components `A`.
        dim: usize,
    },
    /// Independent normals squashed into bounds by tanh. Parameters `[B, 2A]` are those of the Gaussian before
    /// squashing.
    SquashedGaussian {
        /// Bounds of the actions.
        bounds: Bounds,
    },
    /// Independent, unimodal Beta distributions on bounded intervals. Parameters `[B, 2A]` are r_α followed by r_β,
    /// with α = 1 + softplus(r_α), β = 1 + softplus(r_β).
    Beta {
        /// Bounds of the actions.
        bounds: Bounds,
    },
    /// A user-defined family; made by [`custom`](Self::custom).
    Custom(Custom),
}

/// Kind of noise that [`Dist::sample`] turns into actions.
///
/// ```
/// use uphill_core::dist::{DistKind, NoiseKind};
///
/// assert_eq!(DistKind::Gaussian { dim: 3 }.noise(), (3, NoiseKind::Normal));
/// assert_eq!(DistKind::Categorical { choices: 2 }.noise(), (2, NoiseKind::Gumbel));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoiseKind {
    /// Standard Gumbel, −ln(−ln u).
    Gumbel,
    /// Standard normal.
    Normal,
    /// Uniform on the open interval (0, 1).
    Uniform,
    /// Standard normal in the first half of the columns, uniform on the open interval (0, 1) in the second.
    NormalThenUniform,
}

impl DistKind {
    /// A user-defined family.
    pub fn custom(distribution: impl Distribution + 'static) -> Self {
        Self::Custom(Custom::new(distribution))
    }

    /// Number of distribution parameters `W` per sample that a network has to output.
    pub fn param_width(&self) -> usize {
        match self {
            Self::Categorical { choices } => *choices,
            Self::MultiDiscrete { choices } => choices.iter().sum(),
            Self::Gaussian { dim } => 2 * dim,
            Self::SquashedGaussian { bounds } | Self::Beta { bounds } => 2 * bounds.dim(),
            Self::Custom(family) => family.get().param_width(),
        }
    }

    /// Number of action columns `A`. A discrete action is stored as its index.
    pub fn action_width(&self) -> usize {
        match self {
            Self::Categorical { .. } => 1,
            Self::MultiDiscrete { choices } => choices.len(),
            Self::Gaussian { dim } => *dim,
            Self::SquashedGaussian { bounds } | Self::Beta { bounds } => bounds.dim(),
            Self::Custom(family) => family.get().action_width(),
        }
    }

    /// Number of noise columns per sample, and their distribution.
    pub fn noise(&self) -> (usize, NoiseKind) {
        match self {
            Self::Categorical { choices } => (*choices, NoiseKind::Gumbel),
            Self::MultiDiscrete { choices } => (choices.iter().sum(), NoiseKind::Gumbel),
            Self::Gaussian { dim } => (*dim, NoiseKind::Normal),
            Self::SquashedGaussian { bounds } => (bounds.dim(), NoiseKind::Normal),
            Self::Beta { bounds } => (
                Beta::noise_width(bounds.dim()),
                NoiseKind::NormalThenUniform,
            ),
            Self::Custom(family) => family.get().noise(),
        }
    }

    /// The distributions with these parameters `[B, W]`.
    ///
    /// # Panics
    /// If the width of `params` is not [`param_width`](Self::param_width).
    pub fn with_params(&self, params: Tensor<2>) -> Dist {
        burn::tensor::assert_shape!(params, [_, self.param_width()]);
        let gaussian = |params: Tensor<2>, dim: usize| {
            let mean = params.clone().narrow(1, 0, dim);
            Gaussian::new(mean, params.narrow(1, dim, dim))
        };
        match self {
            Self::Categorical { .. } => Dist::Categorical(Categorical::from_logits(params)),
            Self::MultiDiscrete { choices } => {
                Dist::MultiDiscrete(MultiDiscrete::from_logits(params, choices))
            }
            Self::Gaussian { dim } => Dist::Gaussian(gaussian(params, *dim)),
            Self::SquashedGaussian { bounds } => {
                let base = gaussian(params, bounds.dim());
                Dist::SquashedGaussian(SquashedGaussian::new(base, bounds))
            }
            Self::Beta { bounds } => Dist::Beta(Beta::from_raw(params, bounds)),
            Self::Custom(family) => Dist::Custom(CustomDist::new(family.clone(), params)),
        }
    }

    /// Converts sampled `actions` to what the environment receives, both `[B, A]`: low + (high − low) (1 + tanh u)/2
    /// for a squashed Gaussian, low + (high − low)/(1 + e⁻ʸ) for a Beta distribution, and the unchanged actions for the
    /// others. Gaussian actions are not clipped here; the environment clips them.
    pub fn env_actions(&self, actions: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Categorical { .. } | Self::MultiDiscrete { .. } | Self::Gaussian { .. } => {
                actions
            }
            Self::SquashedGaussian { bounds } => bounds.at((actions.tanh() + 1.0) * 0.5),
            Self::Beta { bounds } => bounds.at(sigmoid(actions)),
            Self::Custom(family) => family.get().env_actions(actions),
        }
    }
}

/// A batch of `B` action distributions.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::dist::DistKind;
///
/// let device = Device::flex();
/// let kind = DistKind::Categorical { choices: 2 };
/// let [p, q] = [0.0, 1.0].map(|z| kind.with_params(Tensor::from_floats([[0.0, z]], &device)));
/// assert!(p.kl(&q).into_scalar::<f32>() > 0.0);
/// assert_eq!(p.kl(&p).into_scalar::<f32>(), 0.0);
/// ```
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // tensor handles; there is one of these at a time
pub enum Dist {
    /// Categorical distributions over `K` discrete actions.
    Categorical(Categorical),
    /// Categorical distributions over `A` discrete action components.
    MultiDiscrete(MultiDiscrete),
    /// Diagonal Gaussians over `A` continuous action components.
    Gaussian(Gaussian),
    /// Squashed Gaussians over `A` continuous action components within bounds.
    SquashedGaussian(SquashedGaussian),
    /// Beta distributions over `A` continuous action components within bounds.
    Beta(Beta),
    /// Distributions of a user-defined family.
    Custom(CustomDist),
}

/// Evaluates `$call` on the inner distribution of any kind.
macro_rules! each {
    ($dist:expr, $inner:ident => $call:expr) => {
        match $dist {
            Dist::Categorical($inner) => $call,
            Dist::MultiDiscrete($inner) => $call,
            Dist::Gaussian($inner) => $call,
            Dist::SquashedGaussian($inner) => $call,
            Dist::Beta($inner) => $call,
            Dist::Custom($inner) => $call,
        }
    };
}

impl Dist {
    /// Samples actions `[B, A]` from noise `[B, ..]` as described by [`DistKind::noise`]. [`DistKind::env_actions`]
    /// converts them to what the environment receives.
    pub fn sample(&self, noise: Tensor<2>) -> Tensor<2> {
        each!(self, dist => dist.sample(noise))
    }

    /// The most likely actions `[B, A]`, in the same form as [`sample`](Self::sample) returns; for a squashed Gaussian
    /// the median.
    pub fn mode(&self) -> Tensor<2> {
        each!(self, dist => dist.mode())
    }

    /// Actions without exploration, `[B, A]` in the same form as [`sample`](Self::sample) returns: the mode, but for a
    /// Beta distribution the mean. If α is close to 1 and the density falls off from a bound, the mode is the bound
    /// itself, close to which there are hardly any samples.
    pub fn greedy(&self) -> Tensor<2> {
        match self {
            Self::Beta(dist) => dist.mean(),
            Self::Custom(dist) => dist.greedy(),
            _ => self.mode(),
        }
    }

    /// log π(a|s) `[B]`, in nats, for actions `[B, A]` as returned by [`sample`](Self::sample). For continuous actions
    /// it is the log-density of the action that the environment receives.
    pub fn log_prob(&self, actions: Tensor<2>) -> Tensor<1> {
        each!(self, dist => dist.log_prob(actions))
    }

    /// Entropy `[B]`, in nats (differential entropy for continuous actions).
    pub fn entropy(&self) -> Tensor<1> {
        each!(self, dist => dist.entropy())
    }

    /// KL(self ‖ other) `[B]`, in nats.
    ///
    /// # Panics
    /// If the two are of different kinds, or of a user-defined kind without a formula.
    pub fn kl(&self, other: &Self) -> Tensor<1> {
        (self.try_kl(other)).unwrap_or_else(|| panic!("{self:?} has no KL divergence"))
    }

    /// [`kl`](Self::kl); `None` for a user-defined distribution without a formula.
    ///
    /// # Panics
    /// If the two are of different kinds.
    pub fn try_kl(&self, other: &Self) -> Option<Tensor<1>> {
        Some(match (self, other) {
            (Self::Categorical(p), Self::Categorical(q)) => p.kl(q),
            (Self::MultiDiscrete(p), Self::MultiDiscrete(q)) => p.kl(q),
            (Self::Gaussian(p), Self::Gaussian(q)) => p.kl(q),
            (Self::SquashedGaussian(p), Self::SquashedGaussian(q)) => p.kl(q),
            (Self::Beta(p), Self::Beta(q)) => p.kl(q),
            (Self::Custom(p), Self::Custom(q)) => return p.kl(q),
            _ => panic!("KL divergence between distributions of different kinds"),
        })
    }

    /// Fisher-vector product F u `[B, W]`: the Fisher information F = E[∇log π(a|s) ∇log π(a|s)ᵀ] of each sample's
    /// distribution in its own parameters, times `tangent` `[B, W]`. Both are in the order of the network's outputs.
    ///
    /// F is the Hessian of KL(π_θ ‖ π_{θ+d}) at d = 0, so KL(π_θ ‖ π_{θ+d}) ≈ ½ dᵀF d.
    ///
    /// # Panics
    /// For a user-defined distribution without a formula; see [`has_fisher`](Self::has_fisher).
    pub fn fisher_mul(&self, tangent: Tensor<2>) -> Tensor<2> {
        each!(self, dist => dist.fisher_mul(tangent))
    }

    /// Whether there is a formula for [`fisher_mul`](Self::fisher_mul): true for all built-in distributions.
    pub fn has_fisher(&self) -> bool {
        match self {
            Self::Custom(dist) => dist.has_fisher(),
            _ => true,
        }
    }
}
