//! A perceptron on a GPU, behind the same face as any other network.

use super::backend::{BUFFERS, DeviceOps};
use super::layers::{Layers, SIDE, UNITS};
use super::{on_device, shared_memory};
use crate::{network::ErasedNetwork, ops::MlpShape, params::ParamSpec};
use burn::backend::Dispatch;
use burn::tensor::{Gradients, Tensor};
use std::sync::{Arc, Mutex, PoisonError};

/// A perceptron whose forward pass is one launch and whose parameters are one tensor. Gradients, and
/// observations that record them, take Burn's operations.
#[derive(Clone, Debug)]
pub(crate) struct DeviceMlp {
    layers: Layers,
    /// Samples that a cube works on together.
    rows: usize,
    flat: Tensor<1>,
    /// Its own parameters are out of date.
    stock: Arc<Mutex<Box<dyn ErasedNetwork>>>,
}

impl DeviceMlp {
    /// Takes over the parameters of `stock`, which have the layout of `shape`. `stock` itself where its device
    /// or its size is not one for these kernels.
    pub(crate) fn over(shape: &MlpShape, stock: Box<dyn ErasedNetwork>) -> Box<dyn ErasedNetwork> {
        let flat = stock.flat();
        let Some((layers, rows)) = tiles(shape, &flat) else {
            return stock;
        };
        Box::new(Self {
            layers,
            rows,
            flat,
            stock: Arc::new(Mutex::new(stock)),
        })
    }

    fn current(&self) -> Box<dyn ErasedNetwork> {
        let stock = self.stock.lock().unwrap_or_else(PoisonError::into_inner);
        stock.with_flat(self.flat.clone())
    }
}

/// How kernels see a perceptron, and how many samples a cube works on together. `None` where the parameters' device
/// or the size is not one for them.
fn tiles(shape: &MlpShape, params: &Tensor<1>) -> Option<(Layers, usize)> {
    let shared = shared_memory(&params.device(), BUFFERS, UNITS)?;
    let layers = Layers::new(shape)?;
    let needed = |rows| layers.shared_weights() + layers.shared_values(rows);
    let rows = [2 * SIDE, SIDE];
    let rows = rows.into_iter().find(|rows| needed(*rows) * 4 <= shared)?;
    on_device(params).then_some((layers, rows))
}

/// The outputs `[S·B, W]` of `S` perceptrons of one shape with parameters `params` `[S·P]`, one after the other, each
/// for its own part of the observations `[S·B, O]`, in one launch. `None` where there is no kernel for it.
pub fn device_outputs(shape: &MlpShape, params: Tensor<1>, obs: Tensor<2>) -> Option<Tensor<2>> {
    let (layers, rows) = tiles(shape, &params).filter(|_| on_device(&obs))?;
    let networks = params.dims()[0] / layers.num_params();
    assert_eq!(
        params.dims(),
        [networks * layers.num_params()],
        "length of params"
    );
    assert_eq!(obs.dims()[0] % networks, 0, "rows of obs");
    assert_eq!(obs.dims()[1], layers.inputs(0), "columns of obs");
    let outputs = Dispatch::perceptron(
        obs.into_dispatch(),
        params.into_dispatch(),
        networks,
        rows,
        layers,
    );
    Some(Tensor::from_dispatch(outputs))
}

impl ErasedNetwork for DeviceMlp {
    fn forward(&self, obs: Tensor<2>) -> Tensor<2> {
        if !on_device(&obs) {
            return self.current().forward(obs);
        }
        assert_eq!(obs.dims()[1], self.layers.inputs(0), "columns of obs");
        Tensor::from_dispatch(Dispatch::perceptron(
            obs.into_dispatch(),
            self.flat.clone().into_dispatch(),
            1,
            self.rows,
            self.layers,
        ))
    }

    fn jvp(&self, obs: Tensor<2>, direction: Tensor<1>) -> Tensor<2> {
        self.current().jvp(obs, direction)
    }

    fn flat(&self) -> Tensor<1> {
        self.flat.clone()
    }

    fn with_flat(&self, flat: Tensor<1>) -> Box<dyn ErasedNetwork> {
        assert_eq!(flat.dims(), self.flat.dims(), "length of the flat vector");
        Box::new(Self {
            flat,
            ..self.clone()
        })
    }

    fn tracked(&self) -> Box<dyn ErasedNetwork> {
        self.current().tracked()
    }

    fn flat_grad(&self, _: &Gradients) -> Tensor<1> {
        // Whoever records gradients is the stock network that `tracked` made.
        self.flat.zeros_like()
    }

    fn layout(&self) -> Vec<ParamSpec> {
        let stock = self.stock.lock().unwrap_or_else(PoisonError::into_inner);
        stock.layout()
    }

    fn stock(&self) -> Box<dyn ErasedNetwork> {
        self.stock
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .boxed_clone()
    }

    fn boxed_clone(&self) -> Box<dyn ErasedNetwork> {
        Box::new(self.clone())
    }
}
