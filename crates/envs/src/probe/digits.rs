//! Probe of multi-discrete policies: two digits to name.

use crate::{ActionSpace, Described, Env, EnvSpec, ObsSpace, Outcome, Philox};

/// Number of values of each digit.
const CHOICES: [usize; 2] = [3, 4];

/// ProbeDigits-v0: one step, with half a reward for each digit that is named correctly.
///
/// **Action**: two indices, 0 to 2 and 0 to 3. **Observation**: seven components, the first digit one-hot in
/// three and the second in four. **Reward**: ½ for each index that equals its digit. **Start state**: both
/// digits uniform and independent. **Episode end**: terminated after one step. **Time limit**: none. **Solved**
/// at a mean return of 0.9.
///
/// **Optimum**: both named correctly, return 1; a uniform policy gets ½ (1/3 + 1/4) = 7/24.
///
/// **Localises**: multi-discrete policies: parameters, noise or indices confused between components with different
/// numbers of choices, log-probabilities that are not summed.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProbeDigits;

impl Described for ProbeDigits {
    fn spec(&self) -> EnvSpec {
        let width = CHOICES.iter().sum();
        EnvSpec {
            name: "ProbeDigits-v0".to_owned(),
            obs: ObsSpace::between(0.0, 1.0, width),
            action: ActionSpace::MultiDiscrete {
                choices: CHOICES.to_vec(),
            },
            time_limit: None,
            reward_threshold: Some(0.9),
        }
    }

    fn state_size(&self) -> usize {
        CHOICES.len()
    }
}

impl Env for ProbeDigits {
    fn reset(&self, state: &mut [f32], rng: &mut Philox) {
        for (digit, n) in state.iter_mut().zip(CHOICES) {
            *digit = rng.below(n as u32) as f32;
        }
    }

    fn step(&self, state: &mut [f32], action: &[f32], _rng: &mut Philox) -> Outcome {
        let named = state.iter().zip(action).filter(|(d, a)| d == a).count();
        Outcome {
            reward: 0.5 * named as f32,
            terminated: true,
        }
    }

    fn observe(&self, state: &[f32], obs: &mut [f32]) {
        obs.fill(0.0);
        let mut first = 0;
        for (digit, n) in state.iter().zip(CHOICES) {
            obs[first + *digit as usize] = 1.0;
            first += n;
        }
    }
}
