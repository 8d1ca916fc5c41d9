//! Probe of action masks: forbidden choices.

use crate::{ActionSpace, Described, Env, EnvSpec, ObsSpace, Outcome, Philox};

/// Number of choices.
const CHOICES: usize = 4;

/// ProbeMask-v0: one step, with the value of the chosen item as the reward; some items are forbidden.
///
/// **Action**: index 0 to 3 of an allowed item; any other is an error. **Observation**: eight components, the values of
/// the items (0, 1/3, 2/3 and 1 in any order), then 1 for each allowed item and 0 for the others. **Reward**: the value
/// of the item. **Start state**: every order, and every nonempty set of allowed items, with equal probability.
/// **Episode end**: terminated after one step. **Time limit**: none. **Solved** at a mean return of 0.7.
///
/// **Optimum**: the best allowed item. Of the 15 sets, 8 contain the best one, 4 only the second best, 2 and 1 the
/// others: (8 · 1 + 4 · 2/3 + 2 · 1/3)/15 = 34/45 ≈ 0.756. A policy that is uniform over the allowed items gets ½.
///
/// **Localises**: masks that are ignored, shifted, normalised, or taken from another copy or step.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProbeMask;

impl Described for ProbeMask {
    fn spec(&self) -> EnvSpec {
        EnvSpec {
            name: "ProbeMask-v0".to_owned(),
            obs: ObsSpace::between(0.0, 1.0, 2 * CHOICES),
            action: ActionSpace::MaskedDiscrete { n: CHOICES },
            time_limit: None,
            reward_threshold: Some(0.7),
        }
    }

    fn state_size(&self) -> usize {
        2 * CHOICES
    }
}

impl Env for ProbeMask {
    fn reset(&self, state: &mut [f32], rng: &mut Philox) {
        let (worth, allowed) = state.split_at_mut(CHOICES);
        for (i, w) in worth.iter_mut().enumerate() {
            *w = i as f32 / (CHOICES - 1) as f32;
        }
        for i in (1..CHOICES).rev() {
            worth.swap(i, rng.below(i as u32 + 1) as usize);
        }
        let set = 1 + rng.below((1 << CHOICES) - 1);
        for (i, a) in allowed.iter_mut().enumerate() {
            *a = (set >> i & 1) as f32;
        }
    }

    fn step(&self, state: &mut [f32], action: &[f32], _rng: &mut Philox) -> Outcome {
        Outcome {
            reward: state[action[0] as usize],
            terminated: true,
        }
    }

    fn observe(&self, state: &[f32], obs: &mut [f32]) {
        obs.copy_from_slice(state);
    }
}
