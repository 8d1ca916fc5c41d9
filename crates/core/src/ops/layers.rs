//! Affine maps and layer norms as differentiable operations: fused in host memory, Burn's own elsewhere.

use burn::tensor::Tensor;

/// x W + b: inputs `[B, I]`, weights `[I, O]`, bias `[O]` → `[B, O]`.
///
/// # Panics
/// If the shapes do not fit.
pub(crate) fn affine(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    let ([_, width], [inputs, _]) = (x.dims(), weight.dims());
    assert_eq!(width, inputs, "columns of the inputs of an affine map");
    #[cfg(feature = "flex")]
    if flex::takes(&x) {
        return flex::affine(x, weight, bias);
    }
    x.matmul(weight) + bias.unsqueeze()
}

/// (x − mean) / √(variance + ε) of each row of x `[B, W]`, times γ, plus β, `[W]` each (Ba et al., arXiv:1607.06450).
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::nn::layer_norm;
///
/// let vector = |values: [f32; 2]| Tensor::<1>::from_floats(values, &Device::flex());
/// let x = vector([1.0, 5.0]).reshape([1, 2]);
/// let y = layer_norm(x, vector([1.0, 2.0]), vector([0.0, 0.5]), 0.0);
/// assert_eq!(y.into_data().iter::<f32>().collect::<Vec<_>>(), [-1.0, 2.5]);
/// ```
///
/// # Panics
/// If the shapes do not fit.
pub fn layer_norm(x: Tensor<2>, gamma: Tensor<1>, beta: Tensor<1>, epsilon: f64) -> Tensor<2> {
    let widths = [gamma.dims(), beta.dims()];
    assert_eq!(widths, [[x.dims()[1]]; 2], "widths of scale and shift");
    #[cfg(feature = "flex")]
    if flex::takes(&x) {
        return flex::layer_norm(x, gamma, beta, epsilon);
    }
    let centred = x.clone() - x.mean_dim(1);
    let std = (centred.clone().square().mean_dim(1) + epsilon).sqrt();
    centred / std * gamma.unsqueeze() + beta.unsqueeze()
}

#[cfg(feature = "flex")]
mod flex {
    use crate::ops::is_flex;
    use burn::backend::{
        Autodiff, Backend, Dispatch, Flex,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind},
        },
        backend_extension,
        tensor::FloatTensor,
    };
    use burn::tensor::{DType, Tensor, TensorData};
    use uphill_cpu::layers;

    type Floats = FloatTensor<Flex>;

    /// Whether this backend has the operations for `x`.
    pub(super) fn takes(x: &Tensor<2>) -> bool {
        x.dtype() == DType::F32 && is_flex(&x.device())
    }

    pub(super) fn affine(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
        let [x, weight] = [x, weight].map(Tensor::into_dispatch);
        Tensor::from_dispatch(Dispatch::host_affine(x, weight, bias.into_dispatch()))
    }

    pub(super) fn layer_norm(
        x: Tensor<2>,
        gamma: Tensor<1>,
        beta: Tensor<1>,
        epsilon: f64,
    ) -> Tensor<2> {
        let [gamma, beta] = [gamma, beta].map(Tensor::into_dispatch);
        let x = x.into_dispatch();
        Tensor::from_dispatch(Dispatch::host_layer_norm(x, gamma, beta, epsilon as f32))
    }

    /// Of 32-bit floats in host memory.
    #[backend_extension(Flex, Autodiff)]
    pub(crate) trait HostLayers: Backend {
        fn host_affine(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            bias: FloatTensor<Self>,
        ) -> FloatTensor<Self>;

        fn host_layer_norm(
            x: FloatTensor<Self>,
            gamma: FloatTensor<Self>,
            beta: FloatTensor<Self>,
            epsilon: f32,
        ) -> FloatTensor<Self>;
    }

    impl HostLayers for Flex {
        fn host_affine(x: Floats, weight: Floats, bias: Floats) -> Floats {
            let [x, weight, bias] = [x, weight, bias].map(|tensor| tensor.to_contiguous());
            let shape = [rows(&x), bias.layout().shape()[0]];
            of(
                layers::affine(slice(&x), slice(&weight), slice(&bias)),
                &shape,
            )
        }

        fn host_layer_norm(x: Floats, gamma: Floats, beta: Floats, epsilon: f32) -> Floats {
            let [x, gamma, beta] = [x, gamma, beta].map(|tensor| tensor.to_contiguous());
            let shape = [rows(&x), gamma.layout().shape()[0]];
            let y = layers::layer_norm(slice(&x), [slice(&gamma), slice(&beta)], epsilon);
            of(y, &shape)
        }
    }

    impl<C: CheckpointStrategy> HostLayers for Autodiff<Flex, C> {
        fn host_affine(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            bias: FloatTensor<Self>,
        ) -> FloatTensor<Self> {
            let nodes = [x.node(), weight.node(), bias.node()];
            let [x, weight, bias] = [x, weight, bias].map(|tensor| tensor.into_primitive());
            let y = Flex::host_affine(x.clone(), weight.clone(), bias);
            match OfAffine.prepare::<C>(nodes).compute_bound().stateful() {
                OpsKind::Tracked(prep) => prep.finish((x, weight), y),
                OpsKind::UnTracked(prep) => prep.finish(y),
            }
        }

        fn host_layer_norm(
            x: FloatTensor<Self>,
            gamma: FloatTensor<Self>,
            beta: FloatTensor<Self>,
            epsilon: f32,
        ) -> FloatTensor<Self> {
            let nodes = [x.node(), gamma.node(), beta.node()];
            let [x, gamma, beta] = [x, gamma, beta].map(|tensor| tensor.into_primitive());
            let y = Flex::host_layer_norm(x.clone(), gamma.clone(), beta, epsilon);
            match OfNorm.prepare::<C>(nodes).compute_bound().stateful() {
                OpsKind::Tracked(prep) => prep.finish((x, gamma, epsilon), y),
                OpsKind::UnTracked(prep) => prep.finish(y),
            }
        }
    }

    #[derive(Debug)]
    struct OfAffine;

    impl Backward<Flex, 3> for OfAffine {
        /// x and W.
        type State = (Floats, Floats);

        fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
            let [of_x, of_weight, of_bias] = ops.parents;
            let grad = grads.consume::<Flex>(&ops.node).to_contiguous();
            let (x, weight) = (ops.state.0.to_contiguous(), ops.state.1.to_contiguous());
            let outputs = weight.layout().shape()[1];
            let operands = [slice(&x), slice(&weight), slice(&grad)];
            let gradient = layers::affine_gradient(operands, outputs, of_x.is_some());
            if let Some((node, values)) = of_x.zip(gradient.x) {
                grads.register::<Flex>(node.id, like(values, &x));
            }
            if let Some(node) = of_weight {
                grads.register::<Flex>(node.id, like(gradient.weight, &weight));
            }
            if let Some(node) = of_bias {
                grads.register::<Flex>(node.id, of(gradient.bias, &[outputs]));
            }
        }
    }

    #[derive(Debug)]
    struct OfNorm;

    impl Backward<Flex, 3> for OfNorm {
        /// x, γ and ε.
        type State = (Floats, Floats, f32);

        fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
            let [of_x, of_gamma, of_beta] = ops.parents;
            let grad = grads.consume::<Flex>(&ops.node).to_contiguous();
            let (x, gamma, epsilon) = ops.state;
            let (x, gamma) = (x.to_contiguous(), gamma.to_contiguous());
            let gradient =
                layers::layer_norm_gradient(slice(&x), slice(&gamma), slice(&grad), epsilon);
            if let Some(node) = of_x {
                grads.register::<Flex>(node.id, like(gradient.x, &x));
            }
            if let Some(node) = of_gamma {
                grads.register::<Flex>(node.id, like(gradient.gamma, &gamma));
            }
            if let Some(node) = of_beta {
                grads.register::<Flex>(node.id, like(gradient.beta, &gamma));
            }
        }
    }

    fn rows(tensor: &Floats) -> usize {
        tensor.layout().shape()[0]
    }

    fn slice(tensor: &Floats) -> &[f32] {
        let slice = tensor.as_slice::<f32>();
        slice.unwrap_or_else(|| unreachable!("contiguous 32-bit floats"))
    }

    fn of(values: Vec<f32>, shape: &[usize]) -> Floats {
        Floats::from_data(TensorData::new(values, shape.to_vec()))
    }

    fn like(values: Vec<f32>, tensor: &Floats) -> Floats {
        Floats::from_data(TensorData::new(values, tensor.layout().shape().clone()))
    }
}
