//! Fused operations: one pass where Burn's tensor operations compute node by node.
//!
//! On the CPU they use the loops of [`uphill_cpu`]: the forward and the backward pass of a perceptron are one loop over
//! blocks of rows each (`FusedMlp`). Two work without tensors: [`HostPolicy`] acts on slices, and [`HostLearner`] takes
//! gradient steps, from the samples of a minibatch to new parameters. On GPUs they are the kernels of
//! [`uphill_gpu`], and [`DeviceLearner`] takes the steps. Burn's operations remain as the reference for tests, and as the
//! path of user-defined modules. Only this folder distinguishes backends.

mod acting;
mod activation;
mod device_learner;
mod device_mlp;
mod fused;
mod layers;
mod learner;
mod outputs;
mod slices;

pub use acting::HostPolicy;
pub use activation::tanh;
pub use device_learner::{DeviceLearner, device_gradient, device_knows};
pub(crate) use device_mlp::DeviceMlp;
pub(crate) use fused::FusedMlp;
pub(crate) use layers::affine;
pub use layers::layer_norm;
pub use learner::{HostCritic, HostLearner, actor_critic_gradient};
pub use outputs::gradient_through_outputs;
pub(crate) use slices::{host_words, row_dist};
pub(crate) use uphill_cpu::mlp::Weights;
pub use uphill_cpu::{
    descent::{HostStep, StepDiagnostics},
    kernel,
    loss::{ActorCriticLoss, Custom, Surrogate},
    sample,
    shape::MlpShape,
};
pub use uphill_gpu::learner::{order as device_order, shuffle_keys};

use crate::optim::Adam;
use burn::tensor::{DType, Device, Tensor};
use slices::{adam, take_adam, tensor, values};

/// Whether tensors lie in host memory as 32-bit floats, the format that these operations read.
pub(crate) fn on_host<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32 && is_host(&tensor.device())
}

/// Whether a device is the host's memory.
pub(crate) fn is_host(device: &Device) -> bool {
    #[cfg(feature = "flex")]
    if is_flex(device) {
        return true;
    }
    let device = device.clone().without_autodiff();
    #[cfg(feature = "ndarray")]
    #[allow(deprecated)] // offered for comparison
    if device == Device::ndarray() {
        return true;
    }
    let _ = device;
    false
}

#[cfg(feature = "flex")]
fn is_flex(device: &Device) -> bool {
    device.clone().without_autodiff() == Device::flex()
}

/// The elements of a tensor in row-major order. A tensor that is not in host memory is read back.
pub fn host_values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    values(tensor)
}

/// [`Adam::step`] in host memory.
pub(crate) fn adam_step(
    state: &mut Adam,
    params: Tensor<1>,
    grad: Tensor<1>,
    lr: f64,
) -> Tensor<1> {
    let (device, shape) = (params.device(), params.dims());
    let mut host = take_adam(state);
    let mut params = values(params);
    host.step(&mut params, &values(grad), 1.0, lr);
    *state = adam(host, &device);
    tensor(params, shape, &device)
}

/// y_t = x_t + d_t · y_{t+1} over rows of `[T, N]`, in host memory.
pub(crate) fn scan_reverse(x: Tensor<2>, decay: Tensor<2>) -> Tensor<2> {
    let (device, [steps, width]) = (x.device(), x.dims());
    let (mut y, decay) = (values(x), values(decay));
    for t in (0..steps.saturating_sub(1)).rev() {
        let (row, later) = y[t * width..].split_at_mut(width);
        let decay = &decay[t * width..][..width];
        for ((y, decay), later) in row.iter_mut().zip(decay).zip(later) {
            *y += decay * *later;
        }
    }
    tensor(y, [steps, width], &device)
}

/// [`clip_grad_norm`](crate::optim::clip_grad_norm) in host memory.
pub(crate) fn clip_grad_norm(grad: Tensor<1>, max_norm: f64) -> (Tensor<1>, Tensor<1>) {
    let (device, shape) = (grad.device(), grad.dims());
    let mut grad = values(grad);
    let norm = uphill_cpu::adam::clip_norm(&mut grad, max_norm);
    let norm = tensor(vec![norm], [1], &device);
    (tensor(grad, shape, &device), norm)
}
