//! What kernels read and write, as tensors and below them.

use super::backend::{self, DeviceOps};
use super::plan::{Plan, scalar};
use crate::rollout::Batch;
use burn::backend::Dispatch;
use burn::tensor::Tensor;

/// What an update changes: parameters of both networks, Adam's moments of the actor's parameters and then of the
/// critic's, `[S·P]` each for `S` agents, and the numbers at [`scalar`] of each of them.
#[derive(Clone, Debug)]
pub(super) struct Buffers {
    pub(super) actor: Tensor<1>,
    pub(super) critic: Tensor<1>,
    pub(super) first: Tensor<1>,
    pub(super) second: Tensor<1>,
    pub(super) scalars: Tensor<1>,
}

impl Buffers {
    /// Room for the numbers of an update, where `tensor` is.
    pub(super) fn beside(tensor: &Tensor<1>, plan: &Plan) -> Self {
        let room = |len| room(tensor, [plan.agents * len]);
        Self {
            actor: room(plan.actor.num_params()),
            critic: room(plan.critic.num_params()),
            first: room(plan.num_params()),
            second: room(plan.num_params()),
            scalars: room(scalar::COUNT),
        }
    }

    /// These buffers with the numbers of `from` in them. Nobody else may have a handle to them.
    pub(super) fn filled(self, from: Self) -> Self {
        Self::from_state(Dispatch::copy_state(self.into_state(), from.into_state()))
    }

    /// Hands the buffers over to an operation; until they come back, handles to `another` tensor stand for them.
    pub(super) fn take(&mut self, another: &Tensor<1>) -> Self {
        let others = Self {
            actor: another.clone(),
            critic: another.clone(),
            first: another.clone(),
            second: another.clone(),
            scalars: another.clone(),
        };
        std::mem::replace(self, others)
    }

    /// Below the tensors, for an operation.
    pub(super) fn into_state(self) -> backend::State<Dispatch> {
        backend::State {
            actor: self.actor.into_dispatch(),
            critic: self.critic.into_dispatch(),
            first: self.first.into_dispatch(),
            second: self.second.into_dispatch(),
            scalars: self.scalars.into_dispatch(),
        }
    }

    /// Back from an operation.
    pub(super) fn from_state(state: backend::State<Dispatch>) -> Self {
        Self {
            actor: Tensor::from_dispatch(state.actor),
            critic: Tensor::from_dispatch(state.critic),
            first: Tensor::from_dispatch(state.first),
            second: Tensor::from_dispatch(state.second),
            scalars: Tensor::from_dispatch(state.scalars),
        }
    }
}

/// Room for a batch of the same sizes.
pub(super) fn empty_like(batch: &Batch) -> Batch {
    let column = || room(&batch.values, batch.values.dims());
    Batch {
        obs: room(&batch.values, batch.obs.dims()),
        actions: room(&batch.values, batch.actions.dims()),
        log_probs: column(),
        values: column(),
        advantages: column(),
        returns: column(),
        sequences: None,
    }
}

/// The buffers of `to` with the numbers of `from` in them. Nobody else may have a handle to those of `to`.
pub(super) fn filled(to: Batch, from: Batch) -> Batch {
    let batch = Dispatch::copy_batch(samples(to), samples(from));
    Batch {
        obs: Tensor::from_dispatch(batch.obs),
        actions: Tensor::from_dispatch(batch.actions),
        log_probs: Tensor::from_dispatch(batch.log_probs),
        values: Tensor::from_dispatch(batch.values),
        advantages: Tensor::from_dispatch(batch.advantages),
        returns: Tensor::from_dispatch(batch.returns),
        sequences: None,
    }
}

/// A batch below the tensors, for an operation.
pub(super) fn samples(batch: Batch) -> backend::Batch<Dispatch> {
    backend::Batch {
        obs: batch.obs.into_dispatch(),
        actions: batch.actions.into_dispatch(),
        log_probs: batch.log_probs.into_dispatch(),
        values: batch.values.into_dispatch(),
        advantages: batch.advantages.into_dispatch(),
        returns: batch.returns.into_dispatch(),
    }
}

/// Where `tensor` is. Burn's own empty tensors may have gaps between their rows.
fn room<const D: usize>(tensor: &Tensor<1>, shape: [usize; D]) -> Tensor<D> {
    let room = Dispatch::room(tensor.clone().into_dispatch(), shape.into());
    Tensor::from_dispatch(room)
}
