//! Fused operations on GPUs: a few CubeCL kernels behind a Burn backend extension.
//!
//! A perceptron's forward pass is one launch ([`DeviceMlp`]), generalised advantages are another, and a
//! gradient step of actor and critic is three ([`DeviceLearner`]): the partial gradients of tiles of samples,
//! their sum, and Adam. Nothing is read back: orders of samples are computed where they are needed, rates and
//! the count of steps live on the device.

mod activation;
mod backend;
mod buffers;
mod copies;
mod gradient;
mod graph;
mod layers;
mod learner;
mod limits;
mod losses;
mod moments;
mod net;
mod once;
mod perceptron;
mod plan;
mod setup;
mod shuffle;
mod step;
mod summary;
mod tile;
mod trace;

pub use activation::activated;
pub use learner::{Agents, DeviceLearner};
pub use limits::shared_memory;
pub(crate) use net::DeviceMlp;
pub use net::device_outputs;
pub use once::{device_gradient, device_order};
pub use setup::device_knows;

use backend::DeviceOps;
use burn::backend::{Dispatch, DispatchDevice};
use burn::tensor::{Bool, DType, Device, Tensor};
use burn_cubecl::CubeDevice;

/// The device below Burn's, if it is one of CubeCL's.
fn on_cube(device: &Device) -> Option<CubeDevice> {
    match device.as_dispatch() {
        DispatchDevice::Cube(device) => Some(device.clone()),
        _ => None,
    }
}

/// Whether these operations run where the tensor is: on a device of CubeCL's, with 32-bit floats that record no
/// gradients, and no more of them than kernels can count.
pub(crate) fn on_device<const D: usize>(tensor: &Tensor<D>) -> bool {
    let device = tensor.device();
    tensor.dtype() == DType::F32
        && u32::try_from(tensor.shape().num_elements()).is_ok()
        && !device.is_autodiff()
        && on_cube(&device).is_some()
}

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
