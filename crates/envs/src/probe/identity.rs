//! Probe of the policy's input: an observation to name.

use crate::{ActionSpace, Described, Env, EnvSpec, ObsSpace, Outcome, Philox};

/// Number of observations and of actions.
const CHOICES: u32 = 4;

/// ProbeIdentity-v0: one step, rewarded if the action names the observation.
///
/// **Action**: index 0 to 3. **Observation**: four components, one of them 1 and the others 0. **Reward**: 1 if
/// the action is the index of the 1, else 0. **Start state**: each observation with probability 1/4. **Episode
/// end**: terminated after one step. **Time limit**: none. **Solved** at a mean return of 0.9.
///
/// **Optimum**: action = index, return 1; any policy that ignores the observation gets 1/4.
///
/// **Localises**: a policy that does not receive its observation; actions, observations and advantages of different
/// copies or steps paired with each other when the rollout is flattened or shuffled.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProbeIdentity;

impl Described for ProbeIdentity {
    fn spec(&self) -> EnvSpec {
        let n = CHOICES as usize;
        EnvSpec {
            name: "ProbeIdentity-v0".to_owned(),
            obs: ObsSpace::between(0.0, 1.0, n),
            action: ActionSpace::Discrete { n },
            time_limit: None,
            reward_threshold: Some(0.9),
        }
    }

    fn state_size(&self) -> usize {
        1
    }
}

impl Env for ProbeIdentity {
    fn reset(&self, state: &mut [f32], rng: &mut Philox) {
        state[0] = rng.below(CHOICES) as f32;
    }

    fn step(&self, state: &mut [f32], action: &[f32], _rng: &mut Philox) -> Outcome {
        Outcome {
            reward: if action[0] == state[0] { 1.0 } else { 0.0 },
            terminated: true,
        }
    }

    fn observe(&self, state: &[f32], obs: &mut [f32]) {
        obs.fill(0.0);
        obs[state[0] as usize] = 1.0;
    }
}
