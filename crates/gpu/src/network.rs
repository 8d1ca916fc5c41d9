//! Outputs of a perceptron in one launch.

use crate::device::{on_device, shared_memory};
use crate::layers::{Layers, SIDE, UNITS};
use crate::ops::LearningOps;
use crate::setup::BUFFERS;
use burn::backend::Dispatch;
use burn::tensor::Tensor;
use uphill_cpu::shape::MlpShape;

/// A perceptron for the forward kernel.
#[derive(Clone, Copy, Debug)]
pub struct Forward {
    layers: Layers,
    /// Number of samples that a cube processes together.
    rows: usize,
}

impl Forward {
    /// `None` if the kernel does not support the parameters' device or the network's size.
    pub fn new(shape: &MlpShape, params: &Tensor<1>) -> Option<Self> {
        let shared = shared_memory(&params.device(), BUFFERS, UNITS)?;
        let layers = Layers::new(shape)?;
        let needed = |rows| layers.shared_weights() + layers.shared_values(rows);
        let rows = [2 * SIDE, SIDE];
        let rows = rows.into_iter().find(|rows| needed(*rows) * 4 <= shared)?;
        on_device(params).then_some(Self { layers, rows })
    }

    /// Outputs `[S·B, W]` of `S` concatenated perceptrons of this shape with parameters `params` `[S·P]`, each for its
    /// own part of the observations `[S·B, O]`, which must be [on the device](on_device).
    pub fn outputs(&self, params: Tensor<1>, obs: Tensor<2>) -> Tensor<2> {
        let networks = params.dims()[0] / self.layers.num_params();
        assert_eq!(
            params.dims(),
            [networks * self.layers.num_params()],
            "length of params"
        );
        assert_eq!(obs.dims()[0] % networks, 0, "rows of obs");
        assert_eq!(obs.dims()[1], self.layers.inputs(0), "columns of obs");
        Tensor::from_dispatch(Dispatch::perceptron(
            obs.into_dispatch(),
            params.into_dispatch(),
            networks,
            self.rows,
            self.layers,
        ))
    }
}
