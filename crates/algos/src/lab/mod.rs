//! Laboratory: bias and variance of policy-gradient estimators.
//!
//! In decision processes so small that every trajectory can be enumerated ([`mdp`], [`enumerate`]), expectations and
//! variances are exact. In other environments, and for any number of trajectories, they are measured from repeated
//! estimates ([`study`](mod@study)):
//!
//! ```text
//! Problem, Actor ─> Study: reference g, rollouts of whole episodes
//!                     │ groups: R rollouts of N trajectories
//!                     └ measure: R estimates ĝ => bias, variance, direction
//! ```

pub mod estimator;
pub mod mdp;
pub mod measure;
pub mod problem;
pub mod study;

use crate::lab::mdp::{TinyMdp, Trajectory};
use burn::tensor::Tensor;
use uphill_core::{policy::Actor, rollout::Rollout};

/// ∇_θ E[Σ_t γᵗ r_t], `[P]`, by differentiating the dynamic program for the values of all states, without
/// log-derivatives.
pub fn exact_gradient(mdp: &TinyMdp, actor: &Actor, gamma: f64) -> Tensor<1> {
    let net = actor.net.tracked();
    let log_probs = mdp.log_probs(&actor.with_net(net.clone()));
    net.flat_grad(&mdp.objective(log_probs, gamma).backward())
}

/// Mean and variance of an estimator of the gradient.
#[derive(Clone, Debug)]
pub struct Spread {
    /// E\[ĝ\], `[P]`.
    pub mean: Tensor<1>,
    /// E‖ĝ − E\[ĝ\]‖², the trace of the covariance, `[1]`.
    pub variance: Tensor<1>,
}

/// Exact mean and variance of an estimator that receives `count` independent trajectories as the columns of a rollout:
/// a sum over all combinations of trajectories, weighted by their probabilities.
///
/// `values` `[H, S]` become the rollout's values of states.
pub fn enumerate(
    mdp: &TinyMdp,
    actor: &Actor,
    values: Tensor<2>,
    count: usize,
    estimator: impl Fn(&Rollout) -> Tensor<1>,
) -> Spread {
    let trajectories = mdp.trajectories();
    let probabilities = mdp.probabilities(&trajectories, mdp.log_probs(actor));
    let (mut estimates, mut weights) = (vec![], vec![]);
    for code in 0..trajectories.len().pow(count as u32) {
        let drawn = digits(code, trajectories.len(), count);
        let columns: Vec<&Trajectory> = drawn.iter().map(|&i| &trajectories[i]).collect();
        estimates.push(estimator(&mdp.rollout(&columns, actor, values.clone())));
        let probability = |&i: &usize| probabilities.clone().narrow(0, i, 1);
        let each = drawn.iter().map(probability);
        weights.extend(each.reduce(|product, p| product * p));
    }
    let (estimates, weights) = (Tensor::stack::<2>(estimates, 0), Tensor::cat(weights, 0));
    let weights: Tensor<2> = weights.unsqueeze_dim(1);
    let mean = (estimates.clone() * weights.clone()).sum_dim(0);
    let deviations = (estimates - mean.clone()).square().sum_dim(1);
    Spread {
        mean: mean.squeeze_dim(0),
        variance: (deviations * weights).sum(),
    }
}

/// The digits of `code` to the base `base`, `count` of them.
fn digits(mut code: usize, base: usize, count: usize) -> Vec<usize> {
    let mut digits = Vec::with_capacity(count);
    for _ in 0..count {
        digits.push(code % base);
        code /= base;
    }
    digits
}
