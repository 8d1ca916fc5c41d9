//! Probe of the value function: a constant reward.

use crate::{ActionSpace, Described, Env, EnvSpec, ObsSpace, Outcome, Philox};

/// ProbeConstant-v0: one step, one observation, one reward.
///
/// **Action**: index 0 or 1, without effect. **Observation**: one component, always 0. **Reward**: 1.
/// **Start state**: none. **Episode end**: terminated after one step. **Time limit**: none.
///
/// **Optimum**: V = 1 for every discount.
///
/// **Localises**: the value loss and its optimiser; a value that grows beyond 1 means bootstrapping beyond the
/// termination.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProbeConstant;

impl Described for ProbeConstant {
    fn spec(&self) -> EnvSpec {
        EnvSpec {
            name: "ProbeConstant-v0".to_owned(),
            obs: ObsSpace::new(vec![0.0], vec![0.0]),
            action: ActionSpace::Discrete { n: 2 },
            time_limit: None,
            reward_threshold: None,
        }
    }

    fn state_size(&self) -> usize {
        0
    }
}

impl Env for ProbeConstant {
    fn reset(&self, _state: &mut [f32], _rng: &mut Philox) {}

    fn step(&self, _state: &mut [f32], _action: &[f32], _rng: &mut Philox) -> Outcome {
        Outcome {
            reward: 1.0,
            terminated: true,
        }
    }

    fn observe(&self, _state: &[f32], obs: &mut [f32]) {
        obs[0] = 0.0;
    }
}
