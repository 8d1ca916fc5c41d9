//! `DeviceMlp`: a perceptron on a GPU.

use crate::{network::ErasedNetwork, ops::MlpShape, params::ParamSpec};
use burn::tensor::{Gradients, Tensor};
use std::sync::{Arc, Mutex, PoisonError};
use uphill_gpu::{device::on_device, network::Forward};

/// A perceptron whose forward pass is one launch and whose parameters are one tensor. Gradients, and observations with
/// autodiff, use Burn's operations.
#[derive(Clone, Debug)]
pub(crate) struct DeviceMlp {
    passes: Forward,
    /// Parameters, `[P]`, or `[S·P]` of several agents.
    flat: Tensor<1>,
    /// The module; its own parameters are out of date.
    stock: Arc<Mutex<Box<dyn ErasedNetwork>>>,
}

impl DeviceMlp {
    /// Wraps `stock`, whose parameters have the layout of `shape`. Returns `stock` itself if the kernel does not support its
    /// device or size.
    pub(crate) fn over(shape: &MlpShape, stock: Box<dyn ErasedNetwork>) -> Box<dyn ErasedNetwork> {
        let flat = stock.flat();
        let Some(passes) = Forward::new(shape, &flat) else {
            return stock;
        };
        Box::new(Self {
            passes,
            flat,
            stock: Arc::new(Mutex::new(stock)),
        })
    }

    fn current(&self) -> Box<dyn ErasedNetwork> {
        let stock = self.stock.lock().unwrap_or_else(PoisonError::into_inner);
        stock.with_flat(self.flat.clone())
    }
}

impl ErasedNetwork for DeviceMlp {
    fn forward(&self, obs: Tensor<2>) -> Tensor<2> {
        if !on_device(&obs) {
            return self.current().forward(obs);
        }
        self.passes.outputs(self.flat.clone(), obs)
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

    fn of_agents(&self, flat: Tensor<1>) -> Option<Box<dyn ErasedNetwork>> {
        let (all, one) = (flat.dims()[0], self.flat.dims()[0]);
        assert!(all.is_multiple_of(one), "length of the flat vector");
        Some(Box::new(Self {
            flat,
            ..self.clone()
        }))
    }

    fn tracked(&self) -> Box<dyn ErasedNetwork> {
        self.current().tracked()
    }

    fn flat_grad(&self, _: &Gradients) -> Tensor<1> {
        // Gradients are recorded by the stock network that `tracked` returns.
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
