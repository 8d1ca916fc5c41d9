//! Fused operations: what Burn's tensor operations compute one node at a time, in one pass.
//!
//! On the CPU a perceptron's forward pass and its backward pass are one
//! loop over blocks of rows each (`FusedMlp`); Burn's operations stay as the reference that tests
//! compare with, and as the path of a user's own module. Only this folder knows that backends
//! differ.

mod adam;
mod fused;
mod gemm;
mod mlp;
mod simd;
mod tanh;

pub(crate) use fused::FusedMlp;
pub use mlp::MlpShape;

use crate::optim::Adam;
use adam::AdamStep;
use burn::tensor::{DType, Device, Tensor, TensorData};

/// True where tensors lie in host memory as 32-bit floats, which is what these operations read.
pub(crate) fn on_host<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32 && is_host(&tensor.device())
}

fn is_host(device: &Device) -> bool {
    let device = device.clone().without_autodiff();
    #[cfg(feature = "flex")]
    if device == Device::flex() {
        return true;
    }
    #[cfg(feature = "ndarray")]
    #[allow(deprecated)] // offered for comparison
    if device == Device::ndarray() {
        return true;
    }
    let _ = device;
    false
}

/// The elements in row-major order; moved out where nobody else holds the tensor.
fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = tensor.into_data();
    data.try_into_vec()
        .unwrap_or_else(|e| unreachable!("a tensor of 32-bit floats: {e:?}"))
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// [`Adam::step`] in host memory; `adam.steps` already counts this one.
pub(crate) fn adam_step(adam: &mut Adam, params: Tensor<1>, grad: Tensor<1>, lr: f64) -> Tensor<1> {
    let (device, shape) = (params.device(), params.dims());
    let taken =
        |moment: &mut Tensor<1>| values(std::mem::replace(moment, Tensor::empty([0], &device)));
    let (mut first, mut second) = (taken(&mut adam.first), taken(&mut adam.second));
    let mut params = values(params);
    AdamStep {
        params: &mut params,
        grad: &values(grad),
        first: &mut first,
        second: &mut second,
        beta1: adam.beta1 as f32,
        beta2: adam.beta2 as f32,
        epsilon: adam.epsilon as f32,
        rate: (lr * adam.unbias(adam.beta1)) as f32,
        unbias: adam.unbias(adam.beta2) as f32,
    }
    .run();
    adam.first = tensor(first, shape, &device);
    adam.second = tensor(second, shape, &device);
    tensor(params, shape, &device)
}

/// [`clip_grad_norm`](crate::optim::clip_grad_norm) in host memory.
pub(crate) fn clip_grad_norm(grad: Tensor<1>, max_norm: f64) -> (Tensor<1>, Tensor<1>) {
    let (device, shape) = (grad.device(), grad.dims());
    let mut grad = values(grad);
    let norm = adam::norm(&grad);
    if max_norm > 0.0 {
        let scale = max_norm as f32 / (norm + 1e-6);
        if scale < 1.0 || scale.is_nan() {
            grad.iter_mut().for_each(|g| *g *= scale);
        }
    }
    let norm = tensor(vec![norm], [1], &device);
    (tensor(grad, shape, &device), norm)
}
