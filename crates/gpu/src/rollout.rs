//! Policy and environment for many steps in one launch.
//!
//! For perceptrons with a categorical or Gaussian policy and environments that live on the device. The weights
//! are read once per rollout, and nothing is read back.

mod plan;

use crate::envs::{DeviceRules, DeviceState, Steps};
use crate::ops::RolloutOps;
use burn::backend::Dispatch;
use burn::tensor::{Device, Tensor};
use uphill_cpu::{rng::NoiseAt, shape::MlpShape};

pub(crate) use plan::Plan;

/// What a policy looks like.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    /// Its network, whose outputs are logits, or means.
    pub shape: &'a MlpShape,
    /// One choice; otherwise a Gaussian whose log standard deviations are parameters.
    pub categorical: bool,
    /// What normalised observations are clipped to, 0: nothing. `None` if observations are not normalised.
    pub norm_clip: Option<f32>,
}

/// Size of a rollout.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Agents `S`.
    pub agents: usize,
    /// Steps `T`.
    pub steps: usize,
    /// Copies `N` of each agent's environment.
    pub envs: usize,
}

/// A rollout that there is a kernel for.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    pub(crate) plan: Plan,
    pub(crate) rules: DeviceRules,
    pub(crate) size: Size,
    pub(crate) noise: NoiseAt,
    /// Of normalised observations.
    pub(crate) clip: f32,
}

impl Job {
    /// A rollout of agents whose policies look alike. That of the first has the seeds of `rules` and of the actions'
    /// `noise`, those of the others the next ones. `None` if there is no kernel for it.
    pub fn new(
        policy: &Policy<'_>,
        rules: DeviceRules,
        noise: NoiseAt,
        size: Size,
        device: &Device,
    ) -> Option<Self> {
        Some(Self {
            plan: Plan::new(policy, rules.env.sizes(), size, device)?,
            rules,
            size,
            noise,
            clip: policy.norm_clip.unwrap_or(0.0),
        })
    }

    /// Does it. `params` `[S·P]` are those of the policies, `norm` `[S·2·O]` the means and then the variances of each
    /// one's observations; where they are not normalised it is not read.
    pub fn run(self, params: Tensor<1>, norm: Tensor<1>, state: DeviceState) -> Collected {
        let out = Dispatch::rollout(
            params.into_dispatch(),
            norm.into_dispatch(),
            state.into_tensors(),
            self,
        );
        Collected {
            steps: Steps::from_tensors(out.steps),
            obs: Tensor::from_dispatch(out.obs),
            actions: Tensor::from_dispatch(out.actions),
            log_probs: Tensor::from_dispatch(out.log_probs),
        }
    }
}

/// What a rollout of `S` agents brings, whose parts follow one another.
#[derive(Clone, Debug)]
pub struct Collected {
    /// Of environments: `T` steps of each agent, one agent after the other.
    pub steps: Steps,
    /// What policies saw, `[S·T, N, O]`.
    pub obs: Tensor<3>,
    /// `[S·T, N, A]`
    pub actions: Tensor<3>,
    /// `[S·T, N]`
    pub log_probs: Tensor<2>,
}
