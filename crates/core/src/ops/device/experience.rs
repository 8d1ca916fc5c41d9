//! Operations on what was experienced: recurrences along time, moments, and what is scaled by them.
//!
//! Agents `S` whose numbers follow one another are served at once.

use super::launch::{arg, beside, cubes, threads, units};
use super::moments::{discounted_kernel, merge_kernel, scale_kernel};
use super::trace::{gae_kernel, scan_kernel};
use burn::backend::{
    Backend, Dispatch, TensorMetadata, backend_extension,
    cubecl::dtype_to_storage_type,
    tensor::{BoolTensor, FloatTensor},
};
use burn::tensor::{Bool, Tensor};
use burn_cubecl::{CubeBackend, kernel::into_contiguous, tensor::CubeTensor};

/// y_t = x_t + d_t · y_{t+1} over rows of `[T, N]`.
pub(crate) fn scan_reverse(x: Tensor<2>, decay: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::scan(x.into_dispatch(), decay.into_dispatch()))
}

/// Generalised advantages and value targets `[S·T, N]` for `agents` `S`.
pub(crate) fn gae(
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

/// Means and variances `[S·F]` of `agents` `S` after also seeing `samples` `[S·B, W]`, of which the first F columns count;
/// `shares`: of what was seen before, and of these.
pub(crate) fn merge_moments(
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

/// The first F columns of `x` `[S·B, W]`, divided by the standard deviations `[S·F]` of `agents` `S` after subtracting the
/// means if they are to be `centred`, clipped to ±`clip` (0: not).
pub(crate) fn scaled(
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

/// Discounted returns so far of `rewards` `[S·T, N]`, and what the next rollout goes on from, `[S·N]`, as this one does
/// from `before`.
pub(crate) fn discounted(
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

/// Operations on the device. Tensors are of 32-bit floats.
#[backend_extension(Cube)]
trait ExperienceOps: Backend {
    /// y_t = x_t + d_t · y_{t+1}, all `[T, N]`.
    fn scan(x: FloatTensor<Self>, decay: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Generalised advantages and value targets, all `[S·T, N]` for `agents` `S`, with `decays` γ and γλ.
    fn gae(
        rewards: FloatTensor<Self>,
        values: FloatTensor<Self>,
        next_values: FloatTensor<Self>,
        terminated: BoolTensor<Self>,
        truncated: BoolTensor<Self>,
        decays: [f32; 2],
        agents: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// Means and variances `[S·F]` of `agents` `S` after also seeing `samples` `[S·B, W]`, of which the first F columns
    /// count. `shares`: of what was seen before, and of these.
    fn merge_moments(
        samples: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        shares: [f32; 2],
        agents: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The first F columns of `x` `[S·B, W]`, divided by the standard deviations `[S·F]` after subtracting the means if
    /// they are to be `centred`, clipped to ±`clip` (0: not).
    fn scaled(
        x: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        clip: f32,
        centred: bool,
        agents: usize,
    ) -> FloatTensor<Self>;

    /// Discounted returns so far `[S·T, N]`, and what the next rollout goes on from, `[S·N]`, as this one does from
    /// `before`.
    fn discounted(
        rewards: FloatTensor<Self>,
        ended: BoolTensor<Self>,
        before: FloatTensor<Self>,
        gamma: f32,
        agents: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

impl ExperienceOps for CubeBackend {
    fn scan(x: CubeTensor, decay: CubeTensor) -> CubeTensor {
        let (x, decay) = (into_contiguous(x), into_contiguous(decay));
        let shape = x.shape();
        let y = beside(&x, [shape[0], shape[1]]);
        scan_kernel::launch(
            &x.client.clone(),
            threads(&x, shape[1]),
            units(),
            x.into_buffer_arg(),
            decay.into_buffer_arg(),
            y.clone().into_buffer_arg(),
            shape[0] as u32,
            shape[1] as u32,
        );
        y
    }

    fn gae(
        rewards: CubeTensor,
        values: CubeTensor,
        next_values: CubeTensor,
        terminated: CubeTensor,
        truncated: CubeTensor,
        decays: [f32; 2],
        agents: usize,
    ) -> (CubeTensor, CubeTensor) {
        let shape = rewards.shape();
        let advantages = beside(&rewards, [shape[0], shape[1]]);
        let returns = beside(&rewards, [shape[0], shape[1]]);
        let flags = terminated.dtype;
        gae_kernel::launch(
            &rewards.client.clone(),
            threads(&rewards, agents * shape[1]),
            units(),
            into_contiguous(rewards).into_buffer_arg(),
            into_contiguous(values).into_buffer_arg(),
            into_contiguous(next_values).into_buffer_arg(),
            into_contiguous(terminated).into_buffer_arg(),
            into_contiguous(truncated).into_buffer_arg(),
            advantages.clone().into_buffer_arg(),
            returns.clone().into_buffer_arg(),
            decays[0],
            decays[1],
            agents as u32,
            (shape[0] / agents) as u32,
            shape[1] as u32,
            dtype_to_storage_type(flags),
        );
        (advantages, returns)
    }

    fn merge_moments(
        samples: CubeTensor,
        mean: CubeTensor,
        variance: CubeTensor,
        shares: [f32; 2],
        agents: usize,
    ) -> (CubeTensor, CubeTensor) {
        let [rows, width] = [0, 1].map(|d| samples.shape()[d]);
        let len = mean.meta.num_elements();
        let new = [(); 2].map(|()| beside(&mean, [len]));
        let [new_mean, new_variance] = &new;
        merge_kernel::launch(
            &mean.client.clone(),
            cubes([len / agents, agents, 1]),
            units(),
            arg(&into_contiguous(samples)),
            arg(&into_contiguous(mean)),
            arg(&into_contiguous(variance)),
            arg(new_mean),
            arg(new_variance),
            rows / agents,
            width,
            shares[0],
            shares[1],
        );
        new.into()
    }

    fn scaled(
        x: CubeTensor,
        mean: CubeTensor,
        variance: CubeTensor,
        clip: f32,
        centred: bool,
        agents: usize,
    ) -> CubeTensor {
        let [rows, width] = [0, 1].map(|d| x.shape()[d]);
        let features = mean.meta.num_elements() / agents;
        let scaled = beside(&x, [rows, width]);
        scale_kernel::launch(
            &x.client.clone(),
            threads(&x, rows * width),
            units(),
            arg(&into_contiguous(x)),
            arg(&into_contiguous(mean)),
            arg(&into_contiguous(variance)),
            arg(&scaled),
            rows * width,
            rows / agents,
            width,
            features,
            clip,
            centred,
        );
        scaled
    }

    fn discounted(
        rewards: CubeTensor,
        ended: CubeTensor,
        before: CubeTensor,
        gamma: f32,
        agents: usize,
    ) -> (CubeTensor, CubeTensor) {
        let [rows, envs] = [0, 1].map(|d| rewards.shape()[d]);
        let discounted = beside(&rewards, [rows, envs]);
        let after = beside(&rewards, [agents * envs]);
        let flags = ended.dtype;
        discounted_kernel::launch(
            &rewards.client.clone(),
            threads(&rewards, agents * envs),
            units(),
            arg(&into_contiguous(rewards)),
            arg(&into_contiguous(ended)),
            arg(&into_contiguous(before)),
            arg(&discounted),
            arg(&after),
            gamma,
            agents,
            rows / agents,
            envs,
            dtype_to_storage_type(flags),
        );
        (discounted, after)
    }
}
