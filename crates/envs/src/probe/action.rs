//! Probe of the policy gradient: a two-armed bandit.

use crate::{ActionSpace, Described, Env, EnvSpec, ObsSpace, Outcome, Philox};

/// ProbeAction-v0: a bandit with one good and one bad arm.
///
/// **Action**: index 0 or 1. **Observation**: one component, always 0. **Reward**: 1 for action 1, −1 for action
/// 0. **Start state**: none. **Episode end**: terminated after one step. **Time limit**: none. **Solved** at a
/// mean return of 0.9.
///
/// **Optimum**: action 1, return 1; a uniform policy gets 0.
///
/// **Localises**: the sign of the policy loss, the advantage, log-probabilities of the wrong action.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProbeAction;

impl Described for ProbeAction {
    fn spec(&self) -> EnvSpec {
        EnvSpec {
            name: "ProbeAction-v0".to_owned(),
            obs: ObsSpace::new(vec![0.0], vec![0.0]),
            action: ActionSpace::Discrete { n: 2 },
            time_limit: None,
            reward_threshold: Some(0.9),
        }
    }

    fn state_size(&self) -> usize {
        0
    }
}

impl Env for ProbeAction {
    fn reset(&self, _state: &mut [f32], _rng: &mut Philox) {}

    fn step(&self, _state: &mut [f32], action: &[f32], _rng: &mut Philox) -> Outcome {
        Outcome {
            reward: if action[0] == 1.0 { 1.0 } else { -1.0 },
            terminated: true,
        }
    }

    fn observe(&self, _state: &[f32], obs: &mut [f32]) {
        obs[0] = 0.0;
    }
}
