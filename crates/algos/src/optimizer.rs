//! Optimisers of actor and critic, shared or separate, with checkpoints of their state.

use crate::checkpoint::{Checkpoint, CheckpointError};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use uphill_core::{
    network::Net,
    ops::HostStep,
    optim::{Adam, Rule, RuleKind, clip_grad_norm},
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
    /// Learning rate of both networks, or of the actor.
    pub learning_rate: f64,
    /// Learning rate of the critic if the optimisers are separate.
    pub critic_learning_rate: f64,
    /// Norm to which longer gradients are scaled down; 0: never.
    pub max_grad_norm: f64,
}

impl StepSize {
    /// The same settings for fused loops and kernels.
    pub(crate) fn fused(self, kind: OptimizerKind) -> HostStep {
        let joint = kind == OptimizerKind::Shared;
        let critic_rate = if joint {
            self.learning_rate
        } else {
            self.critic_learning_rate
        };
        HostStep {
            learning_rates: [self.learning_rate, critic_rate],
            max_grad_norm: self.max_grad_norm,
            joint_norm: joint,
        }
    }
}

/// Optimiser states for an actor and a critic.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // tensor handles; there is one of these in a run
pub enum Optimizer {
    /// One state over the concatenated parameters, the actor's first.
    Shared(Rule),
    /// One state for the actor and one for the critic.
    Separate(Rule, Rule),
}

impl Optimizer {
    /// Fresh states for two networks.
    pub fn new(
        kind: OptimizerKind,
        rule: RuleKind,
        actor: &Net,
        critic: &Net,
        epsilon: f64,
    ) -> Self {
        let device = actor.device();
        let fresh = |len| Rule::new(rule, len, epsilon, &device);
        let (a, c) = (actor.num_params(), critic.num_params());
        match kind {
            OptimizerKind::Shared => Self::Shared(fresh(a + c)),
            OptimizerKind::Separate => Self::Separate(fresh(a), fresh(c)),
        }
    }

    /// Whether the optimiser is shared or separate.
    pub fn kind(&self) -> OptimizerKind {
        match self {
            Self::Shared(_) => OptimizerKind::Shared,
            Self::Separate(..) => OptimizerKind::Separate,
        }
    }

    /// Takes one step along the gradients of both networks. Returns their joint norm `[1]` before clipping.
    pub fn step(
        &mut self,
        actor: &mut Net,
        critic: &mut Net,
        grads: (Tensor<1>, Tensor<1>),
        size: StepSize,
    ) -> Tensor<1> {
        match self {
            Self::Shared(rule) => {
                let split = grads.0.dims()[0];
                let (grad, norm) =
                    clip_grad_norm(Tensor::cat(vec![grads.0, grads.1], 0), size.max_grad_norm);
                let params = Tensor::cat(vec![actor.flat(), critic.flat()], 0);
                let params = rule.step(params, grad, size.learning_rate);
                let rest = params.dims()[0] - split;
                *actor = actor.with_flat(params.clone().narrow(0, 0, split));
                *critic = critic.with_flat(params.narrow(0, split, rest));
                norm
            }
            Self::Separate(actor_rule, critic_rule) => {
                let (rate, critic_rate) = (size.learning_rate, size.critic_learning_rate);
                let norm = descend(actor, actor_rule, grads.0, rate, size.max_grad_norm);
                let critic_norm = descend(
                    critic,
                    critic_rule,
                    grads.1,
                    critic_rate,
                    size.max_grad_norm,
                );
                (norm.square() + critic_norm.square()).sqrt()
            }
        }
    }

    /// Adam's states for the actor, which has `len` parameters, and for the critic; `None` for another rule.
    pub fn adams(&self, len: usize) -> Option<[Adam; 2]> {
        match self {
            Self::Shared(Rule::Adam(adam)) => Some(adam.split(len, 1)),
            Self::Separate(Rule::Adam(actor), Rule::Adam(critic)) => {
                Some([actor.clone(), critic.clone()])
            }
            _ => None,
        }
    }

    /// Sets the states returned by [`adams`](Self::adams).
    pub fn set_adams(&mut self, [actor, critic]: [Adam; 2]) {
        *self = match self {
            Self::Shared(_) => Self::Shared(Rule::Adam(Adam::joined([actor, critic], 1))),
            Self::Separate(..) => Self::Separate(Rule::Adam(actor), Rule::Adam(critic)),
        };
    }

    /// Adam's state for the actor's parameters followed by the critic's; `None` for another rule. Of several agents
    /// `[S·P]`, concatenated by agent.
    pub fn joined(&self, agents: usize) -> Option<Adam> {
        match self {
            Self::Shared(Rule::Adam(adam)) => Some(adam.clone()),
            Self::Separate(Rule::Adam(actor), Rule::Adam(critic)) => {
                Some(Adam::joined([actor.clone(), critic.clone()], agents))
            }
            _ => None,
        }
    }

    /// Sets the state returned by [`joined`](Self::joined); an actor has `len` parameters.
    pub fn set_joined(&mut self, adam: Adam, len: usize, agents: usize) {
        *self = match self {
            Self::Shared(_) => Self::Shared(Rule::Adam(adam)),
            Self::Separate(..) => {
                let [actor, critic] = adam.split(len, agents);
                Self::Separate(Rule::Adam(actor), Rule::Adam(critic))
            }
        };
    }

    /// States of several agents in one, concatenated by agent; `None` unless all are of Adam and of the same kind.
    pub(crate) fn of_agents(all: &[&Self]) -> Option<Self> {
        let adams = |of: fn(&Self) -> Option<&Adam>| {
            let all = all.iter().map(|one| of(one).cloned());
            Some(Rule::Adam(Adam::of_agents(all.collect::<Option<_>>()?)))
        };
        let shared = adams(|one| match one {
            Self::Shared(Rule::Adam(adam)) => Some(adam),
            _ => None,
        });
        if let Some(rule) = shared {
            return Some(Self::Shared(rule));
        }
        let actors = adams(|one| match one {
            Self::Separate(Rule::Adam(actor), _) => Some(actor),
            _ => None,
        });
        let critics = adams(|one| match one {
            Self::Separate(_, Rule::Adam(critic)) => Some(critic),
            _ => None,
        });
        Some(Self::Separate(actors?, critics?))
    }

    /// Adds the states to a checkpoint.
    pub fn save(&self, checkpoint: &mut Checkpoint) {
        match self {
            Self::Shared(rule) => save_rule(checkpoint, "shared", rule),
            Self::Separate(actor, critic) => {
                save_rule(checkpoint, "actor", actor);
                save_rule(checkpoint, "critic", critic);
            }
        }
    }

    /// Adds states whose moments `[P]` have already been read back, the actor's `len` first.
    pub(crate) fn save_moments(
        &self,
        checkpoint: &mut Checkpoint,
        [first, second]: [&[f32]; 2],
        steps: u64,
        len: usize,
    ) {
        let mut put = |name: &str, range: std::ops::Range<usize>| {
            checkpoint.put_floats(&key(name, "first"), &first[range.clone()]);
            checkpoint.put_floats(&key(name, "second"), &second[range]);
            checkpoint.put_ints(&key(name, "steps"), &[steps]);
        };
        match self {
            Self::Shared(_) => put("shared", 0..first.len()),
            Self::Separate(..) => {
                put("actor", 0..len);
                put("critic", len..first.len());
            }
        }
    }

    /// Restores the states from a checkpoint.
    pub fn load(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        match self {
            Self::Shared(rule) => load_rule(checkpoint, "shared", rule),
            Self::Separate(actor, critic) => {
                load_rule(checkpoint, "actor", actor)?;
                load_rule(checkpoint, "critic", critic)
            }
        }
    }
}

/// Takes one step of one network along a gradient `[P]` that is first scaled down to `max_grad_norm` if it is longer
/// (0: never). Returns the norm `[1]` before scaling.
pub fn descend(
    net: &mut Net,
    rule: &mut Rule,
    grad: Tensor<1>,
    learning_rate: f64,
    max_grad_norm: f64,
) -> Tensor<1> {
    let (grad, norm) = clip_grad_norm(grad, max_grad_norm);
    *net = net.with_flat(rule.step(net.flat(), grad, learning_rate));
    norm
}

/// Key in a checkpoint of a part of the state of the optimiser called `name`.
fn key(name: &str, part: &str) -> String {
    format!("optimizer.{name}.{part}")
}

/// Adds the state of the optimiser called `name` to a checkpoint.
pub fn save_rule(checkpoint: &mut Checkpoint, name: &str, rule: &Rule) {
    let key = |part| key(name, part);
    match rule {
        Rule::Adam(adam) => {
            checkpoint.put_tensor(&key("first"), adam.first.clone());
            checkpoint.put_tensor(&key("second"), adam.second.clone());
            checkpoint.put_ints(&key("steps"), &[adam.steps]);
        }
        Rule::RmsProp(rms_prop) => checkpoint.put_tensor(&key("second"), rms_prop.second.clone()),
        Rule::Sgd => {}
    }
}

/// Restores the state of the optimiser called `name` from a checkpoint.
pub fn load_rule(
    checkpoint: &Checkpoint,
    name: &str,
    rule: &mut Rule,
) -> Result<(), CheckpointError> {
    let key = |part| key(name, part);
    match rule {
        Rule::Adam(adam) => {
            adam.first = checkpoint.tensor(&key("first"), &adam.first)?;
            adam.second = checkpoint.tensor(&key("second"), &adam.second)?;
            adam.steps = checkpoint.int(&key("steps"))?;
        }
        Rule::RmsProp(rms_prop) => {
            rms_prop.second = checkpoint.tensor(&key("second"), &rms_prop.second)?;
        }
        Rule::Sgd => {}
    }
    Ok(())
}
