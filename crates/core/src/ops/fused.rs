//! Perceptron with fused passes, behind the interface of any other network.

use super::slices::{tensor, values};
use super::{MlpShape, Weights};
use crate::{
    heads::{masked, masked_jvp},
    network::ErasedNetwork,
    params::ParamSpec,
};
use burn::tensor::{Gradients, Tensor};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use uphill_cpu::mlp::{self, Pass};

/// A perceptron in host memory.
///
/// Autodiff sees only the outputs: they are leaves of the loss's graph, and [`flat_grad`](ErasedNetwork::flat_grad)
/// propagates their gradient through the network directly. Burn thus records one node instead of one per operation.
#[derive(Clone, Debug)]
pub(crate) struct FusedMlp {
    shape: Arc<MlpShape>,
    flat: Tensor<1>,
    /// `flat` in the layout of the kernels, made when first needed.
    weights: OnceLock<Arc<Weights>>,
    /// Intermediate results of the forward passes of a recording network. Shared between clones.
    tape: Option<Arc<Mutex<Vec<Record>>>>,
    /// The original module: provides names of parameters, and the path for observations that record gradients
    /// themselves. Its own parameters are out of date.
    stock: Arc<Mutex<Box<dyn ErasedNetwork>>>,
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // tensor handles; nearly all are of the large kind
enum Record {
    Fused { pass: Pass, outputs: Tensor<2> },
    Stock(Box<dyn ErasedNetwork>),
}

impl FusedMlp {
    /// Takes over the parameters of `stock`, which are laid out as `shape` says.
    pub(crate) fn new(shape: MlpShape, stock: Box<dyn ErasedNetwork>) -> Self {
        Self {
            shape: Arc::new(shape),
            flat: stock.flat(),
            weights: OnceLock::new(),
            tape: None,
            stock: Arc::new(Mutex::new(stock)),
        }
    }

    fn weights(&self) -> &Arc<Weights> {
        self.weights
            .get_or_init(|| Arc::new(Weights::new(&self.shape, &values(self.flat.clone()))))
    }

    fn record(&self, record: Record) {
        if let Some(tape) = &self.tape {
            lock(tape).push(record);
        }
    }

    /// Burn's own operations, for observations that need a gradient too.
    fn stock_forward(&self, obs: Tensor<2>) -> Tensor<2> {
        let net = lock(&self.stock).with_flat(self.flat.clone());
        if self.tape.is_none() {
            return net.forward(obs);
        }
        let net = net.tracked();
        let outputs = net.forward(obs);
        self.record(Record::Stock(net));
        outputs
    }
}

impl ErasedNetwork for FusedMlp {
    fn forward(&self, obs: Tensor<2>) -> Tensor<2> {
        if obs.device().is_autodiff() {
            return self.stock_forward(obs);
        }
        let [batch, _] = obs.dims();
        let device = obs.device();
        let shape = [batch, self.shape.outputs()];
        let masks = self.shape.masked.then(|| obs.clone());
        if self.tape.is_none() {
            let outputs = tensor(mlp::infer(self.weights(), &values(obs)), shape, &device);
            return match masks {
                Some(obs) => masked(outputs, obs),
                None => outputs,
            };
        }
        let (outputs, pass) = mlp::forward(self.weights(), values(obs));
        let outputs = tensor(outputs, shape, &device);
        let outputs = outputs.autodiff().require_grad();
        self.record(Record::Fused {
            pass,
            outputs: outputs.clone(),
        });
        match masks {
            Some(obs) => masked(outputs, obs.autodiff()),
            None => outputs,
        }
    }

    fn jvp(&self, obs: Tensor<2>, direction: Tensor<1>) -> Tensor<2> {
        if obs.device().is_autodiff() {
            let net = lock(&self.stock).with_flat(self.flat.clone());
            return net.jvp(obs, direction);
        }
        let ([batch, _], device) = (obs.dims(), obs.device());
        let masks = self.shape.masked.then(|| obs.clone());
        let (_, pass) = mlp::forward(self.weights(), values(obs));
        let (params, direction) = (values(self.flat.clone()), values(direction));
        let tangents = mlp::jvp(&self.shape, &params, &direction, &pass);
        let tangents = tensor(tangents, [batch, self.shape.outputs()], &device);
        match masks {
            Some(obs) => masked_jvp(tangents, obs),
            None => tangents,
        }
    }

    fn flat(&self) -> Tensor<1> {
        self.flat.clone()
    }

    fn with_flat(&self, flat: Tensor<1>) -> Box<dyn ErasedNetwork> {
        assert_eq!(flat.dims(), self.flat.dims(), "length of the flat vector");
        Box::new(Self {
            shape: self.shape.clone(),
            flat,
            weights: OnceLock::new(),
            tape: None,
            stock: self.stock.clone(),
        })
    }

    fn tracked(&self) -> Box<dyn ErasedNetwork> {
        Box::new(Self {
            tape: Some(Arc::default()),
            ..self.clone()
        })
    }

    fn flat_grad(&self, grads: &Gradients) -> Tensor<1> {
        let Some(tape) = &self.tape else {
            return self.flat.zeros_like();
        };
        let mut total: Option<Tensor<1>> = None;
        for record in lock(tape).iter() {
            let part = match record {
                Record::Fused { pass, outputs } => outputs.grad(grads).map(|grad| {
                    let grad = mlp::backward(self.weights(), pass, &values(grad));
                    tensor(grad, self.flat.dims(), &self.flat.device())
                }),
                Record::Stock(net) => Some(net.flat_grad(grads)),
            };
            total = match (total, part) {
                (Some(total), Some(part)) => Some(total + part),
                (total, part) => total.or(part),
            };
        }
        total.unwrap_or_else(|| self.flat.zeros_like())
    }

    fn layout(&self) -> Vec<ParamSpec> {
        lock(&self.stock).layout()
    }

    fn boxed_clone(&self) -> Box<dyn ErasedNetwork> {
        Box::new(self.clone())
    }

    fn stock(&self) -> Box<dyn ErasedNetwork> {
        lock(&self.stock).boxed_clone()
    }

    fn host_weights(&self) -> Option<Arc<Weights>> {
        Some(self.weights().clone())
    }

    fn fused_shape(&self) -> Option<&MlpShape> {
        Some(&self.shape)
    }
}

/// Locks a mutex, poisoned or not: the value inside is replaced or appended to as a whole, so a panic elsewhere cannot
/// have left it inconsistent.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
