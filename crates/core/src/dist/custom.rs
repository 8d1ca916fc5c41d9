//! User-defined action distributions.

use super::NoiseKind;
use burn::tensor::{Tensor, assert_shape};
use std::{fmt, sync::Arc};

/// A user-defined family of action distributions, parametrised by rows `[B, W]`.
///
/// Methods are pure functions of tensors, differentiable with respect to the parameters where gradients are recorded.
/// Actors, rollouts and algorithms accept it as [`DistKind::custom`](super::DistKind::custom).
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::dist::{DistKind, Distribution, NoiseKind};
///
/// /// Double exponential around a location, with scale 1: density ½ exp(−|a − m|) in each component.
/// #[derive(Debug)]
/// struct Laplace {
///     dim: usize,
/// }
///
/// impl Distribution for Laplace {
///     fn param_width(&self) -> usize {
///         self.dim
///     }
///     fn action_width(&self) -> usize {
///         self.dim
///     }
///     fn noise(&self) -> (usize, NoiseKind) {
///         (self.dim, NoiseKind::Uniform)
///     }
///     fn sample(&self, location: Tensor<2>, uniform: Tensor<2>) -> Tensor<2> {
///         let centred = uniform - 0.5;
///         location - centred.clone().sign() * (centred.abs() * -2.0 + 1.0).log()
///     }
///     fn log_prob(&self, location: Tensor<2>, actions: Tensor<2>) -> Tensor<1> {
///         ((actions - location).abs().neg() - 2f64.ln()).sum_dim(1).squeeze_dim(1)
///     }
///     fn entropy(&self, location: Tensor<2>) -> Tensor<1> {
///         (location.zeros_like() + (1.0 + 2f64.ln())).sum_dim(1).squeeze_dim(1)
///     }
///     fn mode(&self, location: Tensor<2>) -> Tensor<2> {
///         location
///     }
/// }
///
/// let kind = DistKind::custom(Laplace { dim: 1 });
/// let dist = kind.with_params(Tensor::from_floats([[3.0]], &Device::flex()));
/// let density = dist.log_prob(dist.mode()).into_scalar::<f32>().exp();
/// assert!((density - 0.5).abs() < 1e-6);
/// ```
pub trait Distribution: fmt::Debug + Send + Sync {
    /// Number of parameters `W` per sample that a network has to output.
    fn param_width(&self) -> usize;

    /// Number of action columns `A`. A discrete action is stored as its index.
    fn action_width(&self) -> usize;

    /// Number of noise columns per sample, and the kind of noise.
    fn noise(&self) -> (usize, NoiseKind);

    /// Samples actions `[B, A]` from parameters `[B, W]` and noise.
    fn sample(&self, params: Tensor<2>, noise: Tensor<2>) -> Tensor<2>;

    /// log π(a|s) `[B]`, in nats, for actions `[B, A]` as returned by [`sample`](Self::sample).
    fn log_prob(&self, params: Tensor<2>, actions: Tensor<2>) -> Tensor<1>;

    /// Entropy `[B]`, in nats.
    fn entropy(&self, params: Tensor<2>) -> Tensor<1>;

    /// The most likely actions `[B, A]`.
    fn mode(&self, params: Tensor<2>) -> Tensor<2>;

    /// Actions `[B, A]` without exploration; the mode by default.
    fn greedy(&self, params: Tensor<2>) -> Tensor<2> {
        self.mode(params)
    }

    /// Converts sampled actions `[B, A]` to what the environment receives; the identity by default.
    fn env_actions(&self, actions: Tensor<2>) -> Tensor<2> {
        actions
    }

    /// KL(p ‖ q) `[B]` of the distributions with parameters `p` and `q`, in nats. `None`, the default, means that there
    /// is no formula; algorithms that need one then refuse the distribution.
    fn kl(&self, p: Tensor<2>, q: Tensor<2>) -> Option<Tensor<1>> {
        let _ = (p, q);
        None
    }

    /// Fisher-vector product F u `[B, W]`: the Fisher information F = E[∇log π(a|s) ∇log π(a|s)ᵀ] in the parameters,
    /// times `tangent` `[B, W]`. `None`, the default, means that there is no formula; natural gradients then refuse the
    /// distribution.
    fn fisher_mul(&self, params: Tensor<2>, tangent: Tensor<2>) -> Option<Tensor<2>> {
        let _ = (params, tangent);
        None
    }
}

/// A type-erased [`Distribution`]. Two are equal if one is a clone of the other.
#[derive(Clone)]
pub struct Custom(Arc<dyn Distribution>);

impl Custom {
    pub(super) fn new(distribution: impl Distribution + 'static) -> Self {
        Self(Arc::new(distribution))
    }

    /// The distribution inside.
    pub(super) fn get(&self) -> &dyn Distribution {
        &*self.0
    }
}

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.0), Arc::as_ptr(&other.0))
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `B` distributions of one [`Custom`] family.
#[derive(Clone, Debug)]
pub struct CustomDist {
    family: Custom,
    /// Parameters `[B, W]`.
    params: Tensor<2>,
}

impl CustomDist {
    pub(super) fn new(family: Custom, params: Tensor<2>) -> Self {
        Self { family, params }
    }

    pub(super) fn sample(&self, noise: Tensor<2>) -> Tensor<2> {
        let actions = self.family.get().sample(self.params.clone(), noise);
        assert_shape!(
            actions,
            [self.params.dims()[0], self.family.get().action_width()]
        );
        actions
    }

    pub(super) fn mode(&self) -> Tensor<2> {
        self.family.get().mode(self.params.clone())
    }

    pub(super) fn greedy(&self) -> Tensor<2> {
        self.family.get().greedy(self.params.clone())
    }

    pub(super) fn log_prob(&self, actions: Tensor<2>) -> Tensor<1> {
        let log_probs = self.family.get().log_prob(self.params.clone(), actions);
        assert_shape!(log_probs, [self.params.dims()[0]]);
        log_probs
    }

    pub(super) fn entropy(&self) -> Tensor<1> {
        let entropy = self.family.get().entropy(self.params.clone());
        assert_shape!(entropy, [self.params.dims()[0]]);
        entropy
    }

    /// KL(self ‖ other) `[B]`; `None` without a formula.
    pub(super) fn kl(&self, other: &Self) -> Option<Tensor<1>> {
        assert_eq!(self.family, other.family, "two families");
        let family = self.family.get();
        family.kl(self.params.clone(), other.params.clone())
    }

    pub(super) fn has_fisher(&self) -> bool {
        let (family, params) = (self.family.get(), self.params.clone());
        family.fisher_mul(params.clone(), params).is_some()
    }

    pub(super) fn fisher_mul(&self, tangent: Tensor<2>) -> Tensor<2> {
        let family = self.family.get();
        (family.fisher_mul(self.params.clone(), tangent))
            .unwrap_or_else(|| panic!("{:?} has no Fisher product", self.family))
    }
}
