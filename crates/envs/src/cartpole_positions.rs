//! CartPole with hidden velocities: a partially observed task.

use crate::{CartPole, Described, Env, EnvSpec, ObsSpace, Outcome, Philox};

/// CartPolePositions-v1: [`CartPole`] with both velocities hidden.
///
/// **Action**, **reward**, **start state**, **episode end**, **time limit**: those of CartPole-v1. **Observation**:
///
/// | component | meaning | range |
/// |---|---|---|
/// | 0 | cart position x, m | ±4.8 |
/// | 1 | pole angle θ, rad | ±0.418 |
///
/// The state is partially observed: to infer velocities, a policy needs at least two observations, by memory or by
/// stacked frames. Gymnasium has no such environment; elsewhere it is known as stateless CartPole.
#[derive(Clone, Copy, Debug, Default)]
pub struct CartPolePositions;

impl Described for CartPolePositions {
    fn spec(&self) -> EnvSpec {
        let whole = CartPole.spec();
        let positions = |bounds: &[f32]| vec![bounds[0], bounds[2]];
        EnvSpec {
            name: "CartPolePositions-v1".to_owned(),
            obs: ObsSpace::new(positions(&whole.obs.low), positions(&whole.obs.high)),
            ..whole
        }
    }

    fn state_size(&self) -> usize {
        CartPole.state_size()
    }
}

impl Env for CartPolePositions {
    fn reset(&self, state: &mut [f32], rng: &mut Philox) {
        CartPole.reset(state, rng);
    }

    fn step(&self, state: &mut [f32], action: &[f32], rng: &mut Philox) -> Outcome {
        CartPole.step(state, action, rng)
    }

    fn observe(&self, state: &[f32], obs: &mut [f32]) {
        obs.copy_from_slice(&[state[0], state[2]]);
    }
}
