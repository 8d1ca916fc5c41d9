//! Probe of the critic's input: the reward equals the observation.

use crate::{ActionSpace, Described, Env, EnvSpec, ObsSpace, Outcome, Philox};

/// ProbeObservation-v0: one step whose reward is the observation.
///
/// **Action**: index 0 or 1, without effect. **Observation**: one component, −1 or 1. **Reward**: the
/// observation. **Start state**: −1 or 1 with equal probability. **Episode end**: terminated after one step.
/// **Time limit**: none.
///
/// **Optimum**: V(o) = o for every discount.
///
/// **Localises**: a critic that does not receive its observation, or receives that of another copy or step, in
/// particular the one after autoreset.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProbeObservation;

impl Described for ProbeObservation {
    fn spec(&self) -> EnvSpec {
        EnvSpec {
            name: "ProbeObservation-v0".to_owned(),
            obs: ObsSpace::symmetric(&[1.0]),
            action: ActionSpace::Discrete { n: 2 },
            time_limit: None,
            reward_threshold: None,
        }
    }

    fn state_size(&self) -> usize {
        1
    }
}

impl Env for ProbeObservation {
    fn reset(&self, state: &mut [f32], rng: &mut Philox) {
        state[0] = if rng.below(2) == 1 { 1.0 } else { -1.0 };
    }

    fn step(&self, state: &mut [f32], _action: &[f32], _rng: &mut Philox) -> Outcome {
        Outcome {
            reward: state[0],
            terminated: true,
        }
    }

    fn observe(&self, state: &[f32], obs: &mut [f32]) {
        obs.copy_from_slice(state);
    }
}
