//! Kernels that stand alone: a gradient without a step, an order without an epoch.

use super::backend::DeviceOps;
use super::buffers::samples;
use super::on_cube;
use super::plan::MEASURED;
use super::setup::{plan, scalars};
use crate::{
    ops::{ActorCriticLoss, HostStep, shuffle_keys},
    optim::Adam,
    policy::{Actor, Critic},
    rollout::Batch,
};
use burn::backend::Dispatch;
use burn::tensor::{Device, Int, Tensor};

/// Gradients of `loss` over the batch by the parameters of actor and critic, `[P]` each, and the means of
/// surrogate, entropy, approximate KL, clip fraction and value loss `[5]`, all on the device. `None` where
/// [`DeviceLearner::new`](crate::ops::DeviceLearner::new) has none.
pub fn device_gradient(
    actor: &Actor,
    critic: &Critic,
    batch: &Batch,
    loss: &ActorCriticLoss,
) -> Option<([Tensor<1>; 2], Tensor<1>)> {
    let plan = plan((actor, critic), batch, [1, 1], loss)?;
    let (device, len) = (batch.obs.device(), batch.len());
    let step = HostStep {
        learning_rates: [0.0; 2],
        max_grad_norm: 0.0,
        joint_norm: true,
    };
    let scalars = scalars(loss, step, &Adam::new(0, 0.0, &device));
    let batch = Batch {
        obs: actor.normalized(batch.obs.clone()),
        ..batch.clone()
    };
    let totals: Tensor<1> = Tensor::from_dispatch(Dispatch::gradient(
        actor.net.flat().into_dispatch(),
        critic.net.flat().into_dispatch(),
        Tensor::<1>::from_data(scalars, &device).into_dispatch(),
        samples(batch),
        shuffle_keys(&[[0, 0]], &device).into_dispatch(),
        plan,
    ));
    let (of_actor, of_both) = (plan.actor.num_params(), plan.num_params());
    let part = |from: usize, to: usize| totals.clone().narrow(0, from, to - from);
    let means = part(of_both, of_both + MEASURED) * (1.0 / len as f64);
    Some(([part(0, of_actor), part(of_actor, of_both)], means))
}

/// The numbers below `len` in the random order that `key` chooses, `[len]`, made on the device; `None` where the
/// device is not CubeCL's.
pub fn device_order(key: [u32; 2], len: usize, device: &Device) -> Option<Tensor<1, Int>> {
    on_cube(device)?;
    let keys = shuffle_keys(&[key], device).into_dispatch();
    Some(Tensor::from_dispatch(Dispatch::order(keys, 0, len)))
}
