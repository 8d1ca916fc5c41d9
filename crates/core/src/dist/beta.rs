//! Beta distribution on bounded intervals.

use super::{
    Bounds,
    special::{digamma, ln_beta, softplus, thirds, trigamma},
};
use burn::tensor::{Tensor, activation::sigmoid, assert_shape};

/// Candidates per gamma variate. For shapes ≥ 1 a candidate is rejected with probability below 0.0484, so all six are
/// rejected with probability below 1.3e-8, less than the resolution of the uniform noise.
const CANDIDATES: usize = 6;
/// Below this, softplus(x) = eˣ to f32 precision.
const TAIL: f64 = -17.0;

/// `B` products of `A` Beta distributions: a = low + (high − low) x with x_i from Beta(α_i, β_i), α = 1 +
/// softplus(r_α), β = 1 + softplus(r_β). They are therefore unimodal and, unlike a clipped Gaussian, have no
/// probability mass at or beyond the bounds.
///
/// Actions are stored as y = ln(x / (1 − x)) `[B, A]`: x rounded to 0 or 1 would have density 0. Densities are those of
/// a.
///
/// Chou, Maturana & Scherer (2017), "Improving stochastic policy gradients in continuous control with
/// deep reinforcement learning using the Beta distribution", ICML.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::dist::{Bounds, DistKind};
///
/// let bounds = Bounds::new(&[-2.0], &[4.0]).expect("finite bounds");
/// let kind = DistKind::Beta { bounds };
/// let dist = kind.with_params(Tensor::zeros([1, 2], &Device::flex()));
/// // α = β: the mean is the middle of the bounds.
/// assert_eq!(kind.env_actions(dist.greedy()).into_scalar::<f32>(), 1.0);
/// ```
#[derive(Clone, Debug)]
pub struct Beta {
    /// r_α, then r_β, `[B, 2A]`.
    raw: Tensor<2>,
    /// α − 1, then β − 1, `[B, 2A]`.
    excess: Tensor<2>,
    /// ln Π_i (high_i − low_i).
    ln_volume: f64,
}

impl Beta {
    /// Distributions with parameters r_α followed by r_β, `[B, 2A]`.
    pub fn from_raw(raw: Tensor<2>, bounds: &Bounds) -> Self {
        assert_shape!(raw, [_, 2 * bounds.dim()]);
        Self {
            excess: softplus(raw.clone()),
            raw,
            ln_volume: bounds.ln_volume(),
        }
    }

    /// Number of noise columns for `dim` components; see [`sample`](Self::sample).
    pub(super) fn noise_width(dim: usize) -> usize {
        2 * 2 * dim * CANDIDATES
    }

    /// α `[B, A]`.
    pub fn alpha(&self) -> Tensor<2> {
        self.excess_alpha() + 1.0
    }

    /// β `[B, A]`.
    pub fn beta(&self) -> Tensor<2> {
        self.excess_beta() + 1.0
    }

    /// y = ln g_α − ln g_β with gamma variates g_α, g_β of these shapes, `[B, A]`.
    ///
    /// `noise` is `[B, 24 A]`: standard normal in its first half, uniform on (0, 1) in its second. A pair (n, u) of
    /// them gives a candidate for a variate: d v with v = (1 + n / √(9d))³, d = shape − ⅓, accepted if ln u < ½n² + d
    /// (1 − v + ln v) (Marsaglia & Tsang 2000, "A simple method for generating gamma variables"). Each variate has six
    /// candidates and takes the first that is accepted, or d if all are rejected (probability below 1.3e-8).
    pub fn sample(&self, noise: Tensor<2>) -> Tensor<2> {
        let [batch, variates] = self.excess.dims();
        assert_shape!(noise, [batch, Self::noise_width(variates / 2)]);
        let half = |i: usize| {
            let width = variates * CANDIDATES;
            let columns = noise.clone().narrow(1, i * width, width);
            columns.reshape([batch, variates, CANDIDATES])
        };
        let (normal, uniform) = (half(0), half(1));

        let d = self.excess.clone() + 2.0 / 3.0;
        let d3: Tensor<3> = d.clone().unsqueeze_dim(2);
        // Cube root of v. If it is not positive, the floor makes ln v small enough for a rejection.
        let root = (normal.clone() * (d3.clone() * 9.0).sqrt().recip() + 1.0).clamp_min(1e-12);
        let ln_v = root.clone().log() * 3.0;
        let v = root.clone() * root.clone() * root;
        let limit = normal.square() * 0.5 + d3 * (ln_v.clone() - v + 1.0);
        let accepted = uniform.log().lower(limit);

        let mut first = d.zeros_like();
        for k in (0..CANDIDATES).rev() {
            let candidate = ln_v.clone().narrow(2, k, 1).squeeze_dim(2);
            let accepted = accepted.clone().narrow(2, k, 1).squeeze_dim(2);
            first = first.mask_where(accepted, candidate);
        }
        let ln_gamma = d.log() + first;
        left(&ln_gamma) - right(&ln_gamma)
    }

    /// y = ln α − ln β `[B, A]` of the mean x = α/(α + β).
    pub fn mean(&self) -> Tensor<2> {
        self.alpha().log() - self.beta().log()
    }

    /// y `[B, A]` of the mode x = (α − 1)/(α + β − 2).
    pub fn mode(&self) -> Tensor<2> {
        // ln softplus(r), which is r in the tail.
        let bounded = self.raw.clone().clamp_min(TAIL);
        let excess = softplus(bounded.clone()).clamp_min(TAIL.exp());
        let ln_excess = excess.log() + (self.raw.clone() - bounded);
        left(&ln_excess) - right(&ln_excess)
    }

    /// log p(a) = Σ_i (α_i − 1) ln x_i + (β_i − 1) ln(1 − x_i) − ln B(α_i, β_i) − ln(high_i − low_i) `[B]` for actions
    /// y `[B, A]`.
    pub fn log_prob(&self, actions: Tensor<2>) -> Tensor<1> {
        let (ea, eb) = (self.excess_alpha(), self.excess_beta());
        assert_eq!(actions.dims(), ea.dims(), "shape of actions");
        let (minus_ln_x, minus_ln_rest) = (softplus(actions.clone().neg()), softplus(actions));
        let terms = ea * minus_ln_x + eb * minus_ln_rest + ln_beta(self.alpha(), self.beta());
        sum(terms).neg() - self.ln_volume
    }

    /// H = Σ_i ln B(α, β) − (α − 1) ψ(α) − (β − 1) ψ(β) + (α + β − 2) ψ(α + β) + ln(high − low) `[B]`.
    pub fn entropy(&self) -> Tensor<1> {
        let (a, b) = (self.alpha(), self.beta());
        let (ea, eb) = (self.excess_alpha(), self.excess_beta());
        let [psi_a, psi_b, psi_sum] = self.digammas();
        let terms = ln_beta(a, b) - ea.clone() * psi_a - eb.clone() * psi_b + (ea + eb) * psi_sum;
        sum(terms) + self.ln_volume
    }

    /// KL(p ‖ q) = Σ_i ln(B(α′, β′)/B(α, β)) + (α − α′) ψ(α) + (β − β′) ψ(β) + (α′ − α + β′ − β) ψ(α + β) `[B]`, where
    /// α′, β′ belong to q.
    pub fn kl(&self, other: &Self) -> Tensor<1> {
        let (a, b) = (self.alpha(), self.beta());
        let fall_a = self.excess_alpha() - other.excess_alpha();
        let fall_b = self.excess_beta() - other.excess_beta();
        let [psi_a, psi_b, psi_sum] = self.digammas();
        let terms = ln_beta(other.alpha(), other.beta()) - ln_beta(a, b)
            + fall_a.clone() * psi_a
            + fall_b.clone() * psi_b
            - (fall_a + fall_b) * psi_sum;
        sum(terms)
    }

    /// Fisher-vector product F u in (r_α, r_β), `[B, 2A]` → `[B, 2A]`: with s_α = dα/dr_α = sigmoid(r_α) and likewise
    /// for β, s_α (ψ′(α) s_α u_α − ψ′(α + β)(s_α u_α + s_β u_β)), and the same with α and β exchanged.
    pub fn fisher_mul(&self, tangent: Tensor<2>) -> Tensor<2> {
        assert_eq!(tangent.dims(), self.raw.dims(), "shape of the tangent");
        let slope = sigmoid(self.raw.clone());
        let moved = slope.clone() * tangent;
        let common = trigamma(self.alpha() + self.beta()) * (left(&moved) + right(&moved));
        let own = trigamma(self.excess.clone() + 1.0) * moved;
        slope * (own - Tensor::cat(vec![common.clone(), common], 1))
    }

    /// ψ(α), ψ(β) and ψ(α + β), each `[B, A]`.
    fn digammas(&self) -> [Tensor<2>; 3] {
        let (a, b) = (self.alpha(), self.beta());
        thirds(digamma(Tensor::cat(vec![a.clone(), b.clone(), a + b], 1)))
    }

    fn excess_alpha(&self) -> Tensor<2> {
        left(&self.excess)
    }

    fn excess_beta(&self) -> Tensor<2> {
        right(&self.excess)
    }
}

/// The first half of the columns, which belongs to α.
fn left(x: &Tensor<2>) -> Tensor<2> {
    let dim = x.dims()[1] / 2;
    x.clone().narrow(1, 0, dim)
}

/// The second half of the columns, which belongs to β.
fn right(x: &Tensor<2>) -> Tensor<2> {
    let dim = x.dims()[1] / 2;
    x.clone().narrow(1, dim, dim)
}

/// Sum over components, `[B, A]` → `[B]`.
fn sum(terms: Tensor<2>) -> Tensor<1> {
    terms.sum_dim(1).squeeze_dim(1)
}
