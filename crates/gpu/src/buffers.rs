//! Buffers of an update and its samples, as tensors and as backend primitives.

use crate::ops::{self, LearningOps};
use crate::plan::{Plan, scalar};
use burn::backend::Dispatch;
use burn::tensor::Tensor;

/// State that an update changes: parameters of both networks, Adam's moments of the actor's parameters and then of the
/// critic's, `[S·P]` each for `S` agents, and the numbers at [`scalar`] of each agent.
#[derive(Clone, Debug)]
pub(crate) struct Buffers {
    pub(crate) actor: Tensor<1>,
    pub(crate) critic: Tensor<1>,
    pub(crate) first: Tensor<1>,
    pub(crate) second: Tensor<1>,
    pub(crate) scalars: Tensor<1>,
}

impl Buffers {
    /// Uninitialised buffers for an update, on the device of `tensor`.
    pub(crate) fn beside(tensor: &Tensor<1>, plan: &Plan) -> Self {
        let room = |len| room(tensor, [plan.agents * len]);
        Self {
            actor: room(plan.actor.num_params()),
            critic: room(plan.critic.num_params()),
            first: room(plan.num_params()),
            second: room(plan.num_params()),
            scalars: room(scalar::COUNT),
        }
    }

    /// These buffers, filled with the contents of `from`. There must be no other handles to them.
    pub(crate) fn filled(self, from: Self) -> Self {
        Self::from_state(Dispatch::copy_state(self.into_state(), from.into_state()))
    }

    /// Moves the buffers out for an operation; until they are returned, handles to `another` tensor take their place.
    pub(crate) fn take(&mut self, another: &Tensor<1>) -> Self {
        let others = Self {
            actor: another.clone(),
            critic: another.clone(),
            first: another.clone(),
            second: another.clone(),
            scalars: another.clone(),
        };
        std::mem::replace(self, others)
    }

    /// Primitive tensors, for a backend operation.
    pub(crate) fn into_state(self) -> ops::State<Dispatch> {
        ops::State {
            actor: self.actor.into_dispatch(),
            critic: self.critic.into_dispatch(),
            first: self.first.into_dispatch(),
            second: self.second.into_dispatch(),
            scalars: self.scalars.into_dispatch(),
        }
    }

    /// Buffers from the primitive tensors of a backend operation.
    pub(crate) fn from_state(state: ops::State<Dispatch>) -> Self {
        Self {
            actor: Tensor::from_dispatch(state.actor),
            critic: Tensor::from_dispatch(state.critic),
            first: Tensor::from_dispatch(state.first),
            second: Tensor::from_dispatch(state.second),
            scalars: Tensor::from_dispatch(state.scalars),
        }
    }
}

/// Samples of `S` agents from which one update learns, concatenated by agent.
#[derive(Clone, Debug)]
pub struct Samples {
    /// Normalised observations, as the networks see them, `[S·B, O]`.
    pub obs: Tensor<2>,
    /// Actions `[S·B, A]`.
    pub actions: Tensor<2>,
    /// log π_old(a|s), `[S·B]`.
    pub log_probs: Tensor<1>,
    /// V_old(s), `[S·B]`.
    pub values: Tensor<1>,
    /// Advantages `[S·B]`.
    pub advantages: Tensor<1>,
    /// Value targets, `[S·B]`.
    pub returns: Tensor<1>,
}

impl Samples {
    /// Number of samples.
    pub(crate) fn len(&self) -> usize {
        self.returns.dims()[0]
    }

    /// Uninitialised buffers of the same shapes.
    pub(crate) fn empty_like(&self) -> Self {
        let column = || room(&self.values, self.values.dims());
        Self {
            obs: room(&self.values, self.obs.dims()),
            actions: room(&self.values, self.actions.dims()),
            log_probs: column(),
            values: column(),
            advantages: column(),
            returns: column(),
        }
    }

    /// These buffers, filled with the contents of `from`. There must be no other handles to them.
    pub(crate) fn filled(self, from: Self) -> Self {
        let batch = Dispatch::copy_batch(self.into_batch(), from.into_batch());
        Self {
            obs: Tensor::from_dispatch(batch.obs),
            actions: Tensor::from_dispatch(batch.actions),
            log_probs: Tensor::from_dispatch(batch.log_probs),
            values: Tensor::from_dispatch(batch.values),
            advantages: Tensor::from_dispatch(batch.advantages),
            returns: Tensor::from_dispatch(batch.returns),
        }
    }

    /// Primitive tensors, for a backend operation.
    pub(crate) fn into_batch(self) -> ops::Batch<Dispatch> {
        ops::Batch {
            obs: self.obs.into_dispatch(),
            actions: self.actions.into_dispatch(),
            log_probs: self.log_probs.into_dispatch(),
            values: self.values.into_dispatch(),
            advantages: self.advantages.into_dispatch(),
            returns: self.returns.into_dispatch(),
        }
    }
}

/// An uninitialised tensor on the device of `tensor`. Burn's own empty tensors may have gaps between their rows.
fn room<const D: usize>(tensor: &Tensor<1>, shape: [usize; D]) -> Tensor<D> {
    let room = Dispatch::room(tensor.clone().into_dispatch(), shape.into());
    Tensor::from_dispatch(room)
}
