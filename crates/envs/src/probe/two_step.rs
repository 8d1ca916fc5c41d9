//! Probe of discounting: a reward that comes one step late.

use crate::{ActionSpace, Described, Env, EnvSpec, ObsSpace, Outcome, Philox};

/// ProbeTwoStep-v0: two steps, the second of which is rewarded.
///
/// **Action**: index 0 or 1, without effect. **Observation**: one component, 0 at first, then 1. **Reward**: 0,
/// then 1. **Start state**: 0. **Episode end**: terminated after two steps. **Time limit**: none.
///
/// **Optimum**: V(0) = γ, V(1) = 1.
///
/// **Localises**: the discount, bootstrapping from the next observation, and the order of time in returns.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProbeTwoStep;

impl Described for ProbeTwoStep {
    fn spec(&self) -> EnvSpec {
        EnvSpec {
            name: "ProbeTwoStep-v0".to_owned(),
            obs: ObsSpace::new(vec![0.0], vec![1.0]),
            action: ActionSpace::Discrete { n: 2 },
            time_limit: None,
            reward_threshold: None,
        }
    }

    fn state_size(&self) -> usize {
        1
    }
}

impl Env for ProbeTwoStep {
    fn reset(&self, state: &mut [f32], _rng: &mut Philox) {
        state[0] = 0.0;
    }

    fn step(&self, state: &mut [f32], _action: &[f32], _rng: &mut Philox) -> Outcome {
        let last = state[0] == 1.0;
        state[0] = 1.0;
        Outcome {
            reward: if last { 1.0 } else { 0.0 },
            terminated: last,
        }
    }

    fn observe(&self, state: &[f32], obs: &mut [f32]) {
        obs.copy_from_slice(state);
    }
}
