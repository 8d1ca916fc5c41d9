//! Baselines, subtracted from the returns of trajectories to reduce the variance of the policy gradient.
//!
//! Because E[∇ log π] = 0, subtracting anything that does not depend on the actions leaves the expectation of the
//! estimator unchanged. A baseline computed from the same trajectories that it is subtracted from does depend on their
//! actions. Here the baseline of trajectory i is computed from the *others* (leave-one-out), which keeps the estimator
//! unbiased for any number of trajectories; a single trajectory has baseline zero.
//!
//! `M` trajectories are the columns of a [`Rollout`] of whole episodes.

use crate::{policy::Actor, rollout::Rollout};
use burn::tensor::{Tensor, assert_shape};

/// Leave-one-out average: b_i = mean of R_j over j ≠ i, for returns `[M]`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::baseline::average;
///
/// let baselines = average(Tensor::from_floats([1.0, 2.0, 6.0], &Device::flex()));
/// let baselines: Vec<f32> = baselines.into_data().iter().collect();
/// assert_eq!(baselines, [4.0, 3.5, 1.5]);
/// ```
pub fn average(returns: Tensor<1>) -> Tensor<1> {
    let others = others(&returns);
    let [count] = returns.dims();
    let sums = returns.unsqueeze::<2>().matmul(others).squeeze_dim(0);
    sums * (1.0 / count.saturating_sub(1).max(1) as f64)
}

/// Leave-one-out average per step: b_i(t) = mean of G_j(t) over the trajectories j ≠ i that are longer than t, for
/// returns and mask `[T, M]`; zero where there are no such trajectories.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::baseline::average_per_step;
///
/// // The second trajectory is over after one step.
/// let device = Device::flex();
/// let returns = Tensor::from_floats([[2.0, 4.0], [1.0, 0.0]], &device);
/// let mask = Tensor::from_floats([[1.0, 1.0], [1.0, 0.0]], &device);
/// let baselines: Vec<f32> = average_per_step(returns, mask).into_data().iter().collect();
/// assert_eq!(baselines, [4.0, 2.0, 0.0, 1.0]);
/// ```
pub fn average_per_step(returns: Tensor<2>, mask: Tensor<2>) -> Tensor<2> {
    let [_, count] = returns.dims();
    assert_eq!(mask.dims(), returns.dims(), "shape of mask");
    let first = mask.clone().narrow(0, 0, 1).reshape([count]);
    let others = others(&first);
    let sums = (returns * mask.clone()).matmul(others.clone());
    sums / mask.matmul(others).clamp_min(1.0)
}

/// Constant baseline of least variance, b* = Σ_i w_i S_i·g_i / Σ_i w_i ‖S_i‖², `[1]`.
///
/// `scores` S and `gradients` g `[M, P]` are the sums of ∇ log π along each trajectory without and with returns, and
/// `weights` `[M]` are the trajectories' probabilities: b* minimises E‖g − b S‖². If one return R multiplies a whole
/// trajectory, g = R S and b* is E[‖∇ log π‖² R] / E[‖∇ log π‖²] (Greensmith et al. 2004; Peters & Schaal 2008). The
/// denominator is the expectation of the squared norm; the squared norm of the expectation, given in some lecture
/// notes, is zero.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::baseline::optimal_constant;
///
/// // Scores 1 and 2 with returns 3 and 6, equally likely: b = (1 · 3 + 4 · 6) / (1 + 4).
/// let device = Device::flex();
/// let scores = Tensor::from_floats([[1.0], [2.0]], &device);
/// let gradients = Tensor::from_floats([[3.0], [12.0]], &device);
/// let b = optimal_constant(scores, gradients, Tensor::from_floats([0.5, 0.5], &device));
/// assert!((b.into_scalar::<f32>() - 5.4).abs() < 1e-6);
/// ```
pub fn optimal_constant(scores: Tensor<2>, gradients: Tensor<2>, weights: Tensor<1>) -> Tensor<1> {
    let (products, squares) = projections(scores, gradients);
    (products * weights.clone()).sum() / (squares * weights).sum().clamp_min(TINY)
}

/// Leave-one-out [`optimal_constant`]: for each trajectory, that of the others with equal weights, `[M]`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::baseline::optimal;
///
/// // Two trajectories with returns 3 and 6: the baseline of each is the return of the other.
/// let device = Device::flex();
/// let scores = Tensor::from_floats([[1.0], [2.0]], &device);
/// let gradients = Tensor::from_floats([[3.0], [12.0]], &device);
/// let baselines: Vec<f32> = optimal(scores, gradients).into_data().iter().collect();
/// assert_eq!(baselines, [6.0, 3.0]);
/// ```
pub fn optimal(scores: Tensor<2>, gradients: Tensor<2>) -> Tensor<1> {
    let (products, squares) = projections(scores, gradients);
    let others = others(&products);
    let products = products.unsqueeze::<2>().matmul(others.clone());
    let squares = squares.unsqueeze::<2>().matmul(others).clamp_min(TINY);
    (products / squares).squeeze_dim(0)
}

/// ∇_θ Σ_t w_t log π(a_t|s_t) for each trajectory, `[M, P]`, with weights `[T, M]`.
///
/// One backward pass per trajectory, each over its own steps; together they cost about as much as one pass over all.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use rand::{SeedableRng, rngs::SmallRng};
/// use uphill_core::{baseline::trajectory_gradients, dist::DistKind, nn::MlpConfig, policy::Actor};
/// use uphill_core::rollout::{Memory, Rollout};
///
/// let (device, mut rng) = (Device::flex(), SmallRng::seed_from_u64(1));
/// let network = MlpConfig { hidden: vec![], ..MlpConfig::default() }.build(1, 2, 0.0, &mut rng, &device);
/// let actor = Actor::new(network, DistKind::Categorical { choices: 2 });
/// let zeros = Tensor::<2>::zeros([1, 1], &device);
/// let rollout = Rollout {
///     obs: Tensor::<3>::zeros([1, 1, 1], &device).into(),
///     actions: Tensor::zeros([1, 1, 1], &device),
///     log_probs: zeros.clone(),
///     values: zeros.clone(),
///     next_values: zeros.clone(),
///     rewards: zeros.clone(),
///     terminated: zeros.clone().bool(),
///     truncated: zeros.bool(),
///     lengths: Some(vec![1]),
///     memory: Memory::default(),
///     agents: 1,
/// };
/// // Logits are the bias where the observation is 0: 2 ∇ log π(0) = 2 (1 − ½, −½) after zeros for the weights.
/// let gradient = trajectory_gradients(&actor, &rollout, Tensor::ones([1, 1], &device) * 2.0);
/// let gradient: Vec<f32> = gradient.into_data().iter().collect();
/// assert_eq!(gradient, [0.0, 0.0, 1.0, -1.0]);
/// ```
pub fn trajectory_gradients(actor: &Actor, rollout: &Rollout, weights: Tensor<2>) -> Tensor<2> {
    let [steps, count] = rollout.dims();
    assert_shape!(weights, [steps, count]);
    let [_, _, action_width] = rollout.actions.dims();
    let gradient = |i: usize| {
        let len = rollout.lengths.as_ref().map_or(steps, |lengths| lengths[i]);
        let obs = rollout.obs.clone().narrow(0, 0, len).narrow(1, i, 1);
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

/// Prevents 0 / 0 from being NaN; far below any nonzero squared norm.
const TINY: f64 = 1e-30;

/// S_i·g_i and ‖S_i‖², `[M]` each.
fn projections(scores: Tensor<2>, gradients: Tensor<2>) -> (Tensor<1>, Tensor<1>) {
    assert_eq!(gradients.dims(), scores.dims(), "shape of gradients");
    let products = (scores.clone() * gradients).sum_dim(1).squeeze_dim(1);
    (products, scores.square().sum_dim(1).squeeze_dim(1))
}

/// 1 off the diagonal, 0 on it, `[M, M]`: multiplying by it sums over the others. Subtracting an element from the total
/// sum would lose small elements to rounding.
fn others(like: &Tensor<1>) -> Tensor<2> {
    let [count] = like.dims();
    let eye = Tensor::<2>::eye(count, &like.device());
    eye.neg() + 1.0
}
