//! Rollouts of policy and environments in one launch.
//!
//! They support perceptrons with a categorical or Gaussian policy and environments that live on the device. The weights
//! are read once per rollout, and nothing is read back.

mod plan;

use crate::envs::{DeviceRules, DeviceState, Steps};
use crate::ops::RolloutOps;
use burn::backend::Dispatch;
use burn::tensor::{Device, Tensor};
use uphill_cpu::{rng::NoiseAt, shape::MlpShape};

pub(crate) use plan::Plan;

/// Shape of a policy.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    /// Network, whose outputs are logits or means.
    pub shape: &'a MlpShape,
    /// One categorical choice; otherwise a Gaussian whose log standard deviations are parameters.
    pub categorical: bool,
    /// Clipping range of normalised observations; 0: no clipping. `None` if observations are not normalised.
    pub norm_clip: Option<f32>,
}

/// Size of a rollout.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Number of agents `S`.
    pub agents: usize,
    /// Number of steps `T`.
    pub steps: usize,
    /// Number of copies `N` of each agent's environment.
    pub envs: usize,
}

/// A rollout for which there is a kernel.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    pub(crate) plan: Plan,
    pub(crate) rules: DeviceRules,
    pub(crate) size: Size,
    pub(crate) noise: NoiseAt,
    /// Clipping range of normalised observations.
    pub(crate) clip: f32,
}

impl Job {
    /// A rollout of agents whose policies have the same shape. The first agent has the seeds of `rules` and of the
    /// action `noise`, the others the following ones. `None` if there is no kernel for it.
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

    /// Runs the rollout. `params` `[S·P]` are the policies' parameters, `norm` `[S·2·O]` the means and then the
    /// variances of each one's observations, which are not read if observations are not normalised.
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

/// Results of a rollout of `S` agents, concatenated by agent.
#[derive(Clone, Debug)]
pub struct Collected {
    /// Results of the environments: `T` steps of each agent.
    pub steps: Steps,
    /// Observations before each step, `[S·T, N, O]`.
    pub obs: Tensor<3>,
    /// Actions `[S·T, N, A]`.
    pub actions: Tensor<3>,
    /// Log-probabilities `[S·T, N]`.
    pub log_probs: Tensor<2>,
}
