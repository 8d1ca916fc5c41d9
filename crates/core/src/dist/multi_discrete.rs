//! Independent categorical distributions, one per action component.

use super::Categorical;
use burn::tensor::{Tensor, assert_shape};

/// `B` products of `A` categorical distributions, component i with its own number of choices K_i.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::dist::MultiDiscrete;
///
/// // One of two and one of four, all equally likely: H = ln 2 + ln 4.
/// let dist = MultiDiscrete::from_logits(Tensor::zeros([1, 6], &Device::flex()), &[2, 4]);
/// assert!((dist.entropy().into_scalar::<f32>() - 8f32.ln()).abs() < 1e-6);
/// ```
#[derive(Clone, Debug)]
pub struct MultiDiscrete {
    components: Vec<Categorical>,
}

impl MultiDiscrete {
    /// Distributions with unnormalised logits `[B, Σ K_i]`, those of the first component first.
    pub fn from_logits(logits: Tensor<2>, choices: &[usize]) -> Self {
        Self {
            components: split(logits, choices)
                .into_iter()
                .map(Categorical::from_logits)
                .collect(),
        }
    }

    /// Samples each component with its own Gumbel noise, `[B, Σ K_i]`. Returns indices as floats `[B, A]`.
    pub fn sample(&self, gumbel: Tensor<2>) -> Tensor<2> {
        let parts = split(gumbel, &self.choices());
        let drawn = self.components.iter().zip(parts);
        Tensor::cat(drawn.map(|(dist, noise)| dist.sample(noise)).collect(), 1)
    }

    /// The most likely choice of each component, as floats `[B, A]`.
    pub fn mode(&self) -> Tensor<2> {
        Tensor::cat(self.components.iter().map(Categorical::mode).collect(), 1)
    }

    /// log p(a) = Σ_i log p_i(a_i) `[B]` for action indices `[B, A]`.
    pub fn log_prob(&self, actions: Tensor<2>) -> Tensor<1> {
        assert_shape!(actions, [_, self.components.len()]);
        let one = |(i, dist): (usize, &Categorical)| dist.log_prob(actions.clone().narrow(1, i, 1));
        total(self.components.iter().enumerate().map(one))
    }

    /// H = Σ_i H_i `[B]`.
    pub fn entropy(&self) -> Tensor<1> {
        total(self.components.iter().map(Categorical::entropy))
    }

    /// KL(p ‖ q) = Σ_i KL(p_i ‖ q_i) `[B]`.
    pub fn kl(&self, other: &Self) -> Tensor<1> {
        assert_eq!(self.choices(), other.choices(), "numbers of choices");
        let pairs = self.components.iter().zip(&other.components);
        total(pairs.map(|(p, q)| p.kl(q)))
    }

    /// Fisher-vector product F u, block by block, since components are independent. `[B, Σ K_i]` → `[B, Σ K_i]`.
    pub fn fisher_mul(&self, tangent: Tensor<2>) -> Tensor<2> {
        let parts = split(tangent, &self.choices());
        let blocks = self.components.iter().zip(parts);
        Tensor::cat(blocks.map(|(dist, u)| dist.fisher_mul(u)).collect(), 1)
    }

    fn choices(&self) -> Vec<usize> {
        self.components.iter().map(Categorical::choices).collect()
    }
}

/// Splits columns by component, `[B, Σ K_i]` → `[B, K_i]` for every i.
fn split(x: Tensor<2>, choices: &[usize]) -> Vec<Tensor<2>> {
    assert_shape!(x, [_, choices.iter().sum::<usize>()]);
    x.split_with_sizes(choices.to_vec(), 1)
}

fn total(terms: impl Iterator<Item = Tensor<1>>) -> Tensor<1> {
    Tensor::stack::<2>(terms.collect(), 0)
        .sum_dim(0)
        .squeeze_dim(0)
}
