//! One Adam for actor and critic together, or one each.

use crate::checkpoint::{Checkpoint, CheckpointError};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use uphill_core::{
    network::Net,
    optim::{Adam, clip_grad_norm},
};

/// Whether actor and critic share an optimiser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// One learning rate, and one gradient norm over both networks (CleanRL, Stable-Baselines3).
    #[default]
    Shared,
    /// A learning rate and a gradient norm for each (Spinning Up).
    Separate,
}

/// Learning rates and clipping of one gradient step.
#[derive(Clone, Copy, Debug)]
pub struct StepSize {
    /// Of both networks, or of the actor.
    pub learning_rate: f64,
    /// Of the critic, where the optimisers are separate.
    pub critic_learning_rate: f64,
    /// Gradients are shortened to this norm; 0: never.
    pub max_grad_norm: f64,
}

/// Adam states for an actor and a critic.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // tensor handles; there is one of these in a run
pub enum Optimizer {
    /// Over the concatenated parameters, the actor's first.
    Shared(Adam),
    /// The actor's and the critic's.
    Separate(Adam, Adam),
}

impl Optimizer {
    /// Fresh states for two networks.
    pub fn new(kind: OptimizerKind, actor: &Net, critic: &Net, epsilon: f64) -> Self {
        let device = actor.device();
        let adam = |len| Adam::new(len, epsilon, &device);
        let (a, c) = (actor.num_params(), critic.num_params());
        match kind {
            OptimizerKind::Shared => Self::Shared(adam(a + c)),
            OptimizerKind::Separate => Self::Separate(adam(a), adam(c)),
        }
    }

    /// One step down the gradients of both networks. Returns the norm `[1]` of both together, before
    /// clipping.
    pub fn step(
        &mut self,
        actor: &mut Net,
        critic: &mut Net,
        grads: (Tensor<1>, Tensor<1>),
        size: StepSize,
    ) -> Tensor<1> {
        match self {
            Self::Shared(adam) => {
                let split = grads.0.dims()[0];
                let (grad, norm) =
                    clip_grad_norm(Tensor::cat(vec![grads.0, grads.1], 0), size.max_grad_norm);
                let params = Tensor::cat(vec![actor.flat(), critic.flat()], 0);
                let params = adam.step(params, grad, size.learning_rate);
                let rest = params.dims()[0] - split;
                *actor = actor.with_flat(params.clone().narrow(0, 0, split));
                *critic = critic.with_flat(params.narrow(0, split, rest));
                norm
            }
            Self::Separate(actor_adam, critic_adam) => {
                let (grad, norm) = clip_grad_norm(grads.0, size.max_grad_norm);
                let params = actor_adam.step(actor.flat(), grad, size.learning_rate);
                *actor = actor.with_flat(params);
                let (grad, critic_norm) = clip_grad_norm(grads.1, size.max_grad_norm);
                let params = critic_adam.step(critic.flat(), grad, size.critic_learning_rate);
                *critic = critic.with_flat(params);
                (norm.square() + critic_norm.square()).sqrt()
            }
        }
    }

    /// Adds the states to a checkpoint.
    pub fn save(&self, checkpoint: &mut Checkpoint) {
        for (name, adam) in self.parts() {
            checkpoint.put_tensor(&format!("optimizer.{name}.first"), adam.first.clone());
            checkpoint.put_tensor(&format!("optimizer.{name}.second"), adam.second.clone());
            checkpoint.put_ints(&format!("optimizer.{name}.steps"), &[adam.steps]);
        }
    }

    /// Takes the states back.
    pub fn load(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        let load = |name: &str, adam: &mut Adam| {
            let first = checkpoint.tensor(&format!("optimizer.{name}.first"), &adam.first)?;
            let second = checkpoint.tensor(&format!("optimizer.{name}.second"), &adam.second)?;
            adam.steps = checkpoint.int(&format!("optimizer.{name}.steps"))?;
            (adam.first, adam.second) = (first, second);
            Ok(())
        };
        match self {
            Self::Shared(adam) => load("shared", adam),
            Self::Separate(actor, critic) => {
                load("actor", actor)?;
                load("critic", critic)
            }
        }
    }

    fn parts(&self) -> Vec<(&'static str, &Adam)> {
        match self {
            Self::Shared(adam) => vec![("shared", adam)],
            Self::Separate(actor, critic) => vec![("actor", actor), ("critic", critic)],
        }
    }
}
