//! Probe of memory: a cue to recall.

use crate::{ActionSpace, Described, Env, EnvSpec, ObsSpace, Outcome, Philox};

/// Steps between the cue and the question.
pub const DELAY: u32 = 4;

/// ProbeRecall-v0: a cue, a delay, and the question what the cue was.
///
/// **Action**: index 0 or 1; only that of the last step counts. **Observation**: two components, the cue (±1 in the
/// first step, 0 later) and the question (1 in the last step, 0 before). **Reward**: in the last step 1 if the action
/// is 1 after a cue of 1 or 0 after a cue of −1, otherwise −1; 0 before. **Start state**: a cue of −1 or 1, equally
/// likely. **Episode end**: terminated after the answer, five steps in all. **Time limit**: none.
///
/// **Optimum**: a mean return of 1 with memory. Without memory the last observation is the same after both cues, so
/// every policy that sees only the latest observation answers correctly half of the time and has mean return 0.
///
/// **Localises**: the state of recurrent policies: carried through an episode, cleared between episodes, replayed in
/// updates, and gradients through time.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProbeRecall;

impl Described for ProbeRecall {
    fn spec(&self) -> EnvSpec {
        EnvSpec {
            name: "ProbeRecall-v0".to_owned(),
            obs: ObsSpace::new(vec![-1.0, 0.0], vec![1.0, 1.0]),
            action: ActionSpace::Discrete { n: 2 },
            time_limit: None,
            reward_threshold: None,
        }
    }

    /// The cue and the number of steps taken.
    fn state_size(&self) -> usize {
        2
    }
}

impl Env for ProbeRecall {
    fn reset(&self, state: &mut [f32], rng: &mut Philox) {
        state[0] = if rng.below(2) == 1 { 1.0 } else { -1.0 };
        state[1] = 0.0;
    }

    fn step(&self, state: &mut [f32], action: &[f32], _rng: &mut Philox) -> Outcome {
        let asked = state[1] == DELAY as f32;
        state[1] += 1.0;
        let right = (action[0] == 1.0) == (state[0] == 1.0);
        Outcome {
            reward: match (asked, right) {
                (false, _) => 0.0,
                (true, true) => 1.0,
                (true, false) => -1.0,
            },
            terminated: asked,
        }
    }

    fn observe(&self, state: &[f32], obs: &mut [f32]) {
        obs[0] = if state[1] == 0.0 { state[0] } else { 0.0 };
        obs[1] = if state[1] == DELAY as f32 { 1.0 } else { 0.0 };
    }
}
