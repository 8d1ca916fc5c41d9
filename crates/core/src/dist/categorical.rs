//! Categorical distribution over `K` actions, with optional action masks.

use burn::tensor::{Tensor, activation::log_softmax, assert_shape};

/// Logit of a forbidden action. Its probability underflows to exactly 0, while products with its logarithm stay finite
/// and are 0 too.
const FORBIDDEN: f64 = uphill_cpu::dist::FORBIDDEN as f64;

/// Logits `[B, K]` with those of forbidden actions replaced, so that these have probability exactly 0: they are never
/// sampled, contribute nothing to entropy, KL and Fisher information, and receive no gradient.
///
/// `mask` `[B, K]` is 1 where an action is allowed and 0 where it is not. At least one action per row should be
/// allowed; in a row without any, all actions are equally likely.
///
/// Huang & Ontañón, arXiv:2006.14171: the gradient is that of the masked policy, the one that acts.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::dist::{Categorical, mask_logits};
///
/// let device = Device::flex();
/// let (logits, mask) = (Tensor::zeros([1, 3], &device), Tensor::from_floats([[1.0, 0.0, 1.0]], &device));
/// let dist = Categorical::from_logits(mask_logits(logits, mask));
/// let probs: Vec<f32> = dist.log_probs().exp().into_data().iter().collect();
/// assert_eq!(probs, [0.5, 0.0, 0.5]);
/// ```
pub fn mask_logits(logits: Tensor<2>, mask: Tensor<2>) -> Tensor<2> {
    assert_eq!(mask.dims(), logits.dims(), "shape of the mask");
    logits.mask_fill(mask.lower_elem(0.5), FORBIDDEN)
}

/// `B` categorical distributions, stored as normalised log-probabilities.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::dist::Categorical;
///
/// let dist = Categorical::from_logits(Tensor::from_floats([[0.0, 3f32.ln()]], &Device::flex()));
/// let log_prob = dist.log_prob(Tensor::from_floats([[1.0]], &Device::flex()));
/// assert!((log_prob.exp().into_scalar::<f32>() - 0.75).abs() < 1e-6);
/// ```
#[derive(Clone, Debug)]
pub struct Categorical {
    log_probs: Tensor<2>,
}

impl Categorical {
    /// Distributions with unnormalised logits `[B, K]`: log p = z − logsumexp(z).
    pub fn from_logits(logits: Tensor<2>) -> Self {
        Self {
            log_probs: log_softmax(logits, 1),
        }
    }

    /// Number of actions `K`.
    pub fn choices(&self) -> usize {
        self.log_probs.dims()[1]
    }

    /// log p `[B, K]`.
    pub fn log_probs(&self) -> Tensor<2> {
        self.log_probs.clone()
    }

    /// Gumbel-max trick: argmax_k (log p_k + g_k) has distribution p for standard Gumbel noise `g` `[B, K]`. Returns
    /// indices as floats `[B, 1]`.
    pub fn sample(&self, gumbel: Tensor<2>) -> Tensor<2> {
        assert_eq!(gumbel.dims(), self.log_probs.dims(), "shape of gumbel");
        (self.log_probs.clone() + gumbel).argmax(1).float()
    }

    /// argmax_k p_k, as floats `[B, 1]`.
    pub fn mode(&self) -> Tensor<2> {
        self.log_probs.clone().argmax(1).float()
    }

    /// log p(a) `[B]` for action indices `[B, 1]`.
    pub fn log_prob(&self, actions: Tensor<2>) -> Tensor<1> {
        assert_shape!(actions, [self.log_probs.dims()[0], 1]);
        self.log_probs
            .clone()
            .gather(1, actions.int())
            .squeeze_dim(1)
    }

    /// H = −Σ_k p_k log p_k `[B]`.
    pub fn entropy(&self) -> Tensor<1> {
        (self.log_probs.clone().exp() * self.log_probs.clone())
            .sum_dim(1)
            .neg()
            .squeeze_dim(1)
    }

    /// KL(p ‖ q) = Σ_k p_k (log p_k − log q_k) `[B]`. If q (`other`) forbids an action that p allows, the divergence is
    /// infinite; the result is then of the order of 1e9 times that action's probability.
    pub fn kl(&self, other: &Self) -> Tensor<1> {
        let difference = self.log_probs.clone() - other.log_probs.clone();
        (self.log_probs.clone().exp() * difference)
            .sum_dim(1)
            .squeeze_dim(1)
    }

    /// Fisher-vector product F u `[B, K]` → `[B, K]` in the logits, F = E[∇log p(a) ∇log p(a)ᵀ] = diag(p) − p pᵀ: p ∘ u
    /// − p (pᵀu).
    ///
    /// Constant vectors are in its kernel, because adding a constant to the logits changes nothing.
    pub fn fisher_mul(&self, tangent: Tensor<2>) -> Tensor<2> {
        assert_eq!(
            tangent.dims(),
            self.log_probs.dims(),
            "shape of the tangent"
        );
        let p = self.log_probs.clone().exp();
        let mean = (p.clone() * tangent.clone()).sum_dim(1);
        p * (tangent - mean)
    }
}
