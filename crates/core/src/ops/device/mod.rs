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
mod experience;
mod gradient;
mod graph;
mod launch;
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
mod sums;
mod tile;
mod trace;

pub use activation::activated;
pub(crate) use experience::{discounted, gae, merge_moments, scaled, scan_reverse};
pub use learner::{Agents, DeviceLearner};
pub use limits::shared_memory;
pub(crate) use net::DeviceMlp;
pub use net::device_outputs;
pub use once::{device_gradient, device_order};
pub use setup::device_knows;

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Device, Tensor};
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
