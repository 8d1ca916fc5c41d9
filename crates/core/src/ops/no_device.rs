//! Stubs of the GPU operations for builds without GPU backends.

use super::{ActorCriticLoss, HostStep};
use crate::{
    network::Net,
    optim::Adam,
    policy::{Actor, Critic},
    rollout::Batch,
};
use burn::tensor::{Bool, Device, Int, Tensor};
use std::convert::Infallible;

/// Gradient steps on a GPU; uninhabited in this build.
#[derive(Debug)]
pub struct DeviceLearner(Infallible);

impl DeviceLearner {
    /// Always `None`.
    pub fn new(
        _: Option<Self>,
        _: (&Actor, &Critic),
        _: &Batch,
        _: usize,
        _: Adam,
        _: &ActorCriticLoss,
        _: HostStep,
    ) -> Option<Self> {
        None
    }

    /// Cannot be called.
    pub fn epochs(&mut self, _: Tensor<1, Int>) -> Tensor<2> {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn is_recorded(&self) -> bool {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn summary(&self, _: Vec<Tensor<2>>) -> Tensor<1> {
        match self.0 {}
    }

    /// Cannot be called.
    pub fn finish(&self, _: &mut Net, _: &mut Net) -> Adam {
        match self.0 {}
    }
}

/// Always `None`.
pub fn device_gradient(
    _: &Actor,
    _: &Critic,
    _: &Batch,
    _: &ActorCriticLoss,
) -> Option<([Tensor<1>; 2], Tensor<1>)> {
    None
}

/// Always `None`.
pub fn device_order(_: [u32; 2], _: usize, _: &Device) -> Option<Tensor<1, Int>> {
    None
}

/// Always `None`.
pub fn device_knows(_: &Actor, _: &Critic) -> Option<bool> {
    None
}

pub(crate) fn on_device<const D: usize>(_: &Tensor<D>) -> bool {
    false
}

pub(crate) fn scan_reverse(x: Tensor<2>, _: Tensor<2>) -> Tensor<2> {
    unreachable!("on_device is false for {:?}", x.device())
}

pub(crate) fn gae(
    [rewards, ..]: [Tensor<2>; 3],
    _: [Tensor<2, Bool>; 2],
    _: f64,
    _: f64,
    _: usize,
) -> [Tensor<2>; 2] {
    unreachable!("on_device is false for {:?}", rewards.device())
}

pub(crate) fn merge_moments(
    samples: Tensor<2>,
    _: [Tensor<1>; 2],
    _: [f64; 2],
    _: usize,
) -> [Tensor<1>; 2] {
    unreachable!("on_device is false for {:?}", samples.device())
}

pub(crate) fn scaled(x: Tensor<2>, _: [Tensor<1>; 2], _: f64, _: bool, _: usize) -> Tensor<2> {
    unreachable!("on_device is false for {:?}", x.device())
}

pub(crate) fn discounted(
    rewards: Tensor<2>,
    _: Tensor<2, Bool>,
    _: Tensor<1>,
    _: f64,
    _: usize,
) -> (Tensor<2>, Tensor<1>) {
    unreachable!("on_device is false for {:?}", rewards.device())
}
