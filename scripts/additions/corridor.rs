//! A corridor, to show that adding an environment is this file and one line.

#[allow(clippy::wildcard_imports)] // the vocabulary of kernels, whichever of the two it is
use crate::kernel::*;
use crate::{ActionSpace, Described, EnvSpec, ObsSpace, Outcome, Philox, in_kernels};

/// Corridor-v0: walk to its right end.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "gpu", derive(CubeType))]
pub struct Corridor;

impl Described for Corridor {
    fn spec(&self) -> EnvSpec {
        EnvSpec {
            name: "Corridor-v0".to_owned(),
            obs: ObsSpace::between(0.0, 10.0, 1),
            action: ActionSpace::Discrete { n: 2 },
            time_limit: Some(30),
            reward_threshold: None,
        }
    }

    fn state_size(&self) -> usize {
        1
    }
}

#[cfg_attr(feature = "gpu", cube)]
impl Env for Corridor {
    fn reset(&self, state: &mut [f32], rng: &mut Philox) {
        state[0] = rng.below(5u32) as f32;
    }

    fn step(&self, state: &mut [f32], action: &[f32], _rng: &mut Philox) -> Outcome {
        let position = state[0] + select(action[0] == 1.0f32, 1.0f32, -1.0f32);
        state[0] = select(position < 0.0f32, 0.0f32, position);
        Outcome {
            reward: -1.0f32,
            terminated: position >= 10.0f32,
        }
    }

    fn observe(&self, state: &[f32], obs: &mut [f32]) {
        obs[0] = state[0];
    }
}

in_kernels!(Corridor => CorridorExpand {});
