//! Kernels on experience: recurrences along time, moments, and scaling by them.
//!
//! Several agents `S` are processed together, with their numbers concatenated.

use crate::ops::ExperienceOps;
use burn::backend::Dispatch;
use burn::tensor::{Bool, Tensor};

/// y_t = x_t + d_t · y_{t+1} over rows of `[T, N]`.
pub fn scan_reverse(x: Tensor<2>, decay: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::scan(x.into_dispatch(), decay.into_dispatch()))
}

/// Generalised advantages and value targets `[S·T, N]` for `agents` `S`.
pub fn gae(
    [rewards, values, next_values]: [Tensor<2>; 3],
    [terminated, truncated]: [Tensor<2, Bool>; 2],
    gamma: f64,
    gae_lambda: f64,
    agents: usize,
) -> [Tensor<2>; 2] {
    let (advantages, returns) = Dispatch::gae(
        rewards.into_dispatch(),
        values.into_dispatch(),
        next_values.into_dispatch(),
        terminated.into_dispatch(),
        truncated.into_dispatch(),
        [gamma as f32, (gamma * gae_lambda) as f32],
        agents,
    );
    [advantages, returns].map(Tensor::from_dispatch)
}

/// Means and variances `[S·F]` of `agents` `S` after adding `samples` `[S·B, W]`, of which the first F columns count.
/// `shares` are the fractions of earlier samples and of these.
pub fn merge_moments(
    samples: Tensor<2>,
    [mean, variance]: [Tensor<1>; 2],
    shares: [f64; 2],
    agents: usize,
) -> [Tensor<1>; 2] {
    let (mean, variance) = Dispatch::merge_moments(
        samples.into_dispatch(),
        mean.into_dispatch(),
        variance.into_dispatch(),
        shares.map(|share| share as f32),
        agents,
    );
    [mean, variance].map(Tensor::from_dispatch)
}

/// The first F columns of `x` `[S·B, W]`, divided by the standard deviations `[S·F]` of `agents` `S` after subtracting
/// the means if `centred`, and clipped to ±`clip` (0: no clipping).
pub fn scaled(
    x: Tensor<2>,
    [mean, variance]: [Tensor<1>; 2],
    clip: f64,
    centred: bool,
    agents: usize,
) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::scaled(
        x.into_dispatch(),
        mean.into_dispatch(),
        variance.into_dispatch(),
        clip as f32,
        centred,
        agents,
    ))
}

/// Discounted returns so far of `rewards` `[S·T, N]`, starting from those `before`, and the ones with which the next
/// rollout starts, `[S·N]`.
pub fn discounted(
    rewards: Tensor<2>,
    ended: Tensor<2, Bool>,
    before: Tensor<1>,
    gamma: f64,
    agents: usize,
) -> (Tensor<2>, Tensor<1>) {
    let (discounted, after) = Dispatch::discounted(
        rewards.into_dispatch(),
        ended.into_dispatch(),
        before.into_dispatch(),
        gamma as f32,
        agents,
    );
    (
        Tensor::from_dispatch(discounted),
        Tensor::from_dispatch(after),
    )
}
