//! Experience of `N` copies over `T` steps, and minibatches of it.

use crate::advantage::Trace;
use burn::tensor::{Bool, Int, Tensor};

/// What was seen and done in `T` steps of `N` copies, time-major.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// What the policy acted on, raw, `[T, N, O]`.
    pub obs: Tensor<3>,
    /// As sampled, not clipped to the environment's bounds, `[T, N, A]`.
    pub actions: Tensor<3>,
    /// log π(a|s) at the time of acting, `[T, N]`.
    pub log_probs: Tensor<2>,
    /// V(s_t), `[T, N]`.
    pub values: Tensor<2>,
    /// V of the observation after step t, before a reset, `[T, N]`.
    pub next_values: Tensor<2>,
    /// `[T, N]`.
    pub rewards: Tensor<2>,
    /// The MDP ended at step t, `[T, N]`.
    pub terminated: Tensor<2, Bool>,
    /// The episode was cut off at step t, `[T, N]`; never together with `terminated`.
    pub truncated: Tensor<2, Bool>,
}

impl Rollout {
    /// Steps per copy `T` and number of copies `N`.
    pub fn dims(&self) -> [usize; 2] {
        self.rewards.dims()
    }

    /// Where episodes ended for either reason, `[T, N]`.
    pub fn ended(&self) -> Tensor<2, Bool> {
        self.terminated.clone().bool_or(self.truncated.clone())
    }

    /// The part that advantages are computed from.
    pub fn trace(&self) -> Trace {
        Trace {
            rewards: self.rewards.clone(),
            values: self.values.clone(),
            next_values: self.next_values.clone(),
            terminated: self.terminated.clone(),
            truncated: self.truncated.clone(),
        }
    }

    /// All observations as one batch `[T·N, O]`.
    pub fn flat_obs(&self) -> Tensor<2> {
        flat3(self.obs.clone())
    }

    /// One batch of `B = T·N` samples with advantages and value targets, both `[T, N]`.
    pub fn flatten(&self, advantages: Tensor<2>, returns: Tensor<2>) -> Batch {
        Batch {
            obs: self.flat_obs(),
            actions: flat3(self.actions.clone()),
            log_probs: flat2(self.log_probs.clone()),
            values: flat2(self.values.clone()),
            advantages: flat2(advantages),
            returns: flat2(returns),
        }
    }
}

/// `B` samples for an update, in no particular order.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[B, O]`.
    pub obs: Tensor<2>,
    /// `[B, A]`.
    pub actions: Tensor<2>,
    /// log π(a|s) under the policy that acted, `[B]`.
    pub log_probs: Tensor<1>,
    /// V(s) under the critic of that time, `[B]`.
    pub values: Tensor<1>,
    /// `[B]`.
    pub advantages: Tensor<1>,
    /// Value targets, `[B]`.
    pub returns: Tensor<1>,
}

impl Batch {
    /// Number of samples `B`.
    pub fn len(&self) -> usize {
        self.advantages.dims()[0]
    }

    /// True without samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The samples at `indices` `[M]`.
    pub fn select(&self, indices: Tensor<1, Int>) -> Self {
        let pick = |x: &Tensor<1>| x.clone().select(0, indices.clone());
        Self {
            obs: self.obs.clone().select(0, indices.clone()),
            actions: self.actions.clone().select(0, indices.clone()),
            log_probs: pick(&self.log_probs),
            values: pick(&self.values),
            advantages: pick(&self.advantages),
            returns: pick(&self.returns),
        }
    }
}

fn flat3(x: Tensor<3>) -> Tensor<2> {
    let [steps, envs, width] = x.dims();
    x.reshape([steps * envs, width])
}

fn flat2(x: Tensor<2>) -> Tensor<1> {
    let [steps, envs] = x.dims();
    x.reshape([steps * envs])
}
