//! Probe of bounded policies: targets near the bounds of the action.

use crate::{ActionSpace, Described, Env, EnvSpec, ObsSpace, Outcome, Philox};

/// Largest |a|, the stop of the actuator.
const STOP: f32 = 1.0;
/// |target|.
const TARGET: f32 = 0.9;

/// ProbeStop-v0: one step, in which to hit a target next to the stop without touching the stop.
///
/// **Action**: a real number a in [−1, 1]. **Observation**: the target c, −0.9 or 0.9. **Reward**:
/// 1 − |a − c|, and 1 less at the stop, |a| = 1. **Start state**: each target with probability ½. **Episode
/// end**: terminated after one step. **Time limit**: none. **Solved** at a mean return of 0.9.
///
/// **Optimum**: a = c, return 1.
///
/// **Localises**: bounded policies: scaling to the bounds, densities. A Gaussian clipped at the bounds touches the stop
/// with all its mass beyond it: centred on the target with standard deviation σ, with probability Φ(−0.1/σ), which is
/// 31 % for σ = 0.2. A squashed Gaussian or a Beta distribution never touches it.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProbeStop;

impl Described for ProbeStop {
    fn spec(&self) -> EnvSpec {
        EnvSpec {
            name: "ProbeStop-v0".to_owned(),
            obs: ObsSpace::symmetric(&[TARGET]),
            action: ActionSpace::Box {
                low: vec![-STOP],
                high: vec![STOP],
            },
            time_limit: None,
            reward_threshold: Some(0.9),
        }
    }

    fn state_size(&self) -> usize {
        1
    }
}

impl Env for ProbeStop {
    fn reset(&self, state: &mut [f32], rng: &mut Philox) {
        state[0] = if rng.below(2) == 1 { TARGET } else { -TARGET };
    }

    fn step(&self, state: &mut [f32], action: &[f32], _rng: &mut Philox) -> Outcome {
        let a = action[0];
        let stopped = if a.abs() >= STOP { 1.0 } else { 0.0 };
        Outcome {
            reward: 1.0 - (a - state[0]).abs() - stopped,
            terminated: true,
        }
    }

    fn observe(&self, state: &[f32], obs: &mut [f32]) {
        obs.copy_from_slice(state);
    }
}
