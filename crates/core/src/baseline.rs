//! Baselines: what is subtracted from the return of a trajectory to make the policy gradient less noisy.
//!
//! Because E[∇ log π] = 0, subtracting anything that does not depend on the actions leaves the
//! expectation of the estimator as it is. A baseline computed from the very trajectories that it is
//! subtracted from does depend on them. Here the baseline of trajectory i is computed from the *others*
//! (leave-one-out), which keeps the estimator unbiased for any number of trajectories; with a single
//! one there are no others and the baseline is zero.
//!
//! `M` trajectories are the columns of a [`Rollout`] of whole episodes.

use crate::{policy::Actor, rollout::Rollout};
use burn::tensor::{Tensor, assert_shape};

/// b_i = mean of R_j over j ≠ i, of returns `[M]`.
pub fn average(returns: Tensor<1>) -> Tensor<1> {
    let others = others(&returns);
    let [count] = returns.dims();
    let sums = returns.unsqueeze::<2>().matmul(others).squeeze_dim(0);
    sums * (1.0 / count.saturating_sub(1).max(1) as f64)
}

/// b_i(t) = mean of G_j(t) over the trajectories j ≠ i that last longer than t, of returns and mask
/// `[T, M]`; zero where there are none.
pub fn average_per_step(returns: Tensor<2>, mask: Tensor<2>) -> Tensor<2> {
    let [_, count] = returns.dims();
    assert_eq!(mask.dims(), returns.dims(), "shape of mask");
    let first = mask.clone().narrow(0, 0, 1).reshape([count]);
    let others = others(&first);
    let sums = (returns * mask.clone()).matmul(others.clone());
    sums / mask.matmul(others).clamp_min(1.0)
}

/// The constant baseline of least variance, b* = Σ_i w_i S_i·g_i / Σ_i w_i ‖S_i‖², `[1]`.
///
/// `scores` S and `gradients` g `[M, P]` are the sums of ∇ log π along each trajectory without and with
/// returns, `weights` `[M]` their probabilities: b* minimises E‖g − b S‖². Where one return R multiplies
/// a whole trajectory, g = R S and this is E[‖∇ log π‖² R] / E[‖∇ log π‖²] (Greensmith et al. 2004;
/// Peters & Schaal 2008). The denominator is the expectation of the squared norm; the squared norm of
/// the expectation, as some lecture notes have it, is zero.
pub fn optimal_constant(scores: Tensor<2>, gradients: Tensor<2>, weights: Tensor<1>) -> Tensor<1> {
    let (products, squares) = projections(scores, gradients);
    (products * weights.clone()).sum() / (squares * weights).sum().clamp_min(TINY)
}

/// [`optimal_constant`] of the other trajectories, for each, all with the same weight: `[M]`.
pub fn optimal(scores: Tensor<2>, gradients: Tensor<2>) -> Tensor<1> {
    let (products, squares) = projections(scores, gradients);
    let others = others(&products);
    let products = products.unsqueeze::<2>().matmul(others.clone());
    let squares = squares.unsqueeze::<2>().matmul(others).clamp_min(TINY);
    (products / squares).squeeze_dim(0)
}

/// ∇_θ Σ_t w_t log π(a_t|s_t) for each trajectory, `[M, P]`, with weights `[T, M]`.
///
/// One backward pass per trajectory, each over its own steps: together about the work of one over all.
pub fn trajectory_gradients(actor: &Actor, rollout: &Rollout, weights: Tensor<2>) -> Tensor<2> {
    let [steps, count] = rollout.dims();
    assert_shape!(weights, [steps, count]);
    let [_, _, action_width] = rollout.actions.dims();
    let gradient = |i: usize| {
        let len = rollout.lengths.as_ref().map_or(steps, |lengths| lengths[i]);
        let obs = rollout.obs.clone().slice([0..len, i..i + 1]);
        let actions = rollout.actions.clone().slice([0..len, i..i + 1]);
        let weights = weights.clone().slice([0..len, i..i + 1]).reshape([len]);
        let net = actor.net.tracked();
        let (state, keep) = (net.start(1), weights.ones_like().unsqueeze_dim(1));
        let dist = (actor.with_net(net.clone())).follow(obs, keep, state);
        let log_probs = dist.log_prob(actions.reshape([len, action_width]));
        net.flat_grad(&(log_probs * weights).sum().backward())
    };
    Tensor::stack((0..count).map(gradient).collect(), 0)
}

/// Keeps 0 / 0 from being NaN; far below any squared norm that is not zero.
const TINY: f64 = 1e-30;

/// S_i·g_i and ‖S_i‖², `[M]` each.
fn projections(scores: Tensor<2>, gradients: Tensor<2>) -> (Tensor<1>, Tensor<1>) {
    assert_eq!(gradients.dims(), scores.dims(), "shape of gradients");
    let products = (scores.clone() * gradients).sum_dim(1).squeeze_dim(1);
    (products, scores.square().sum_dim(1).squeeze_dim(1))
}

/// 1 off the diagonal, 0 on it, `[M, M]`: a product with it sums over the others. Subtracting an element
/// from the sum of all would lose the small ones to rounding.
fn others(like: &Tensor<1>) -> Tensor<2> {
    let [count] = like.dims();
    let eye = Tensor::<2>::eye(count, &like.device());
    eye.neg() + 1.0
}
