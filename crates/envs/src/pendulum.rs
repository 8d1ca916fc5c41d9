//! Pendulum: swing-up and balance of a rod with a motor too weak to lift it.
//!
//! # Action
//!
//! | component | meaning | low | high | unit |
//! |---|---|---|---|---|
//! | 0 | torque u, counter-clockwise positive | −2 | 2 | N m |
//!
//! # Observation
//!
//! | component | meaning | low | high | unit |
//! |---|---|---|---|---|
//! | 0 | cos θ; θ is the angle from upright | −1 | 1 | |
//! | 1 | sin θ | −1 | 1 | |
//! | 2 | angular velocity θ̇ | −8 | 8 | rad/s |
//!
//! **Reward**: −(θ² + 0.1 θ̇² + 0.001 u²), with θ in [−π, π), from the state before the step and the clipped
//! torque: at most 0, at least −16.3.
//!
//! **Start state**: θ uniform in [−π, π], θ̇ uniform in [−1, 1].
//!
//! **Episode end**: never terminated. **Time limit**: 200 steps. No return is agreed on as solved.
//!
//! # Dynamics
//!
//! A uniform rod of mass m = 1 kg and length l = 1 m about one end (moment of inertia m l²/3), g = 10 m/s²:
//!
//! ```text
//! θ̈ = 3g / (2l) sin θ + 3 / (m l²) u
//! ```
//!
//! Semi-implicit Euler step of 0.05 s: first θ̇, clipped to ±8 rad/s, then θ with the new θ̇.
//!
//! **Source**: the torque-limited pendulum swing-up of Doya: "Reinforcement learning in continuous time and
//! space", Neural Computation 12(1), 2000, with the constants of the task that Gymnasium calls `Pendulum-v1`.
//!
//! **Version**: v1. Differs: f32 instead of f64 arithmetic; θ is kept in [−π, π), so that it stays accurate however
//! long the rod spins.

use std::f32::consts::PI;

#[allow(clippy::wildcard_imports)] // the vocabulary of kernels, whichever of the two it is
use crate::kernel::*;
use crate::{ActionSpace, Described, EnvSpec, ObsSpace, Outcome, Philox, in_kernels};

/// Angular acceleration due to gravity per sin θ, 3g / (2l), in 1/s².
const GRAVITY_GAIN: f32 = 3.0 * 10.0 / 2.0;
/// Angular acceleration per unit of torque, 3 / (m l²), in 1/(kg m²).
const TORQUE_GAIN: f32 = 3.0;
/// Duration of a step, s.
const DT: f32 = 0.05;
/// Largest |u|, N m.
const MAX_TORQUE: f32 = 2.0;
/// Largest |θ̇|, rad/s.
const MAX_SPEED: f32 = 8.0;
/// Largest |θ̇| at the start, rad/s.
const START_SPEED: f32 = 1.0;
/// Weight of θ̇² in the cost.
const SPEED_COST: f32 = 0.1;
/// Weight of u² in the cost.
const TORQUE_COST: f32 = 0.001;
/// A full turn, rad.
const TURN: f32 = 2.0 * PI;
/// Turns per radian.
const TURNS_PER_RADIAN: f32 = 1.0 / TURN;

/// Pendulum-v1; see the [module](self).
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "gpu", derive(CubeType))]
pub struct Pendulum;

/// The equivalent angle in [−π, π), rad: θ − 2π ⌊θ/2π + ½⌋.
#[cfg_attr(feature = "gpu", cube)]
pub fn wrap(angle: f32) -> f32 {
    angle - TURN * (angle * TURNS_PER_RADIAN + 0.5f32).floor()
}

impl Described for Pendulum {
    fn spec(&self) -> EnvSpec {
        EnvSpec {
            name: "Pendulum-v1".to_owned(),
            obs: ObsSpace::symmetric(&[1.0, 1.0, MAX_SPEED]),
            action: ActionSpace::Box {
                low: vec![-MAX_TORQUE],
                high: vec![MAX_TORQUE],
            },
            time_limit: Some(200),
            reward_threshold: None,
        }
    }

    /// θ, θ̇.
    fn state_size(&self) -> usize {
        2
    }
}

#[cfg_attr(feature = "gpu", cube)]
impl Env for Pendulum {
    fn reset(&self, state: &mut [f32], rng: &mut Philox) {
        state[0] = spread(rng.uniform(), PI);
        state[1] = spread(rng.uniform(), START_SPEED);
    }

    fn step(&self, state: &mut [f32], action: &[f32], _rng: &mut Philox) -> Outcome {
        let angle = wrap(state[0]);
        let speed = state[1];
        let u = action[0];
        let cost = angle * angle + SPEED_COST * speed * speed + TORQUE_COST * u * u;
        let new_speed = clip(
            speed + (GRAVITY_GAIN * angle.sin() + TORQUE_GAIN * u) * DT,
            MAX_SPEED,
        );
        state[0] = wrap(angle + new_speed * DT);
        state[1] = new_speed;
        Outcome {
            reward: -cost,
            terminated: false,
        }
    }

    fn observe(&self, state: &[f32], obs: &mut [f32]) {
        let angle = state[0];
        obs[0] = angle.cos();
        obs[1] = angle.sin();
        obs[2] = state[1];
    }
}

in_kernels!(Pendulum => PendulumExpand {});

#[cfg(test)]
mod tests {
    use super::*;

    /// Advances `state` by one step and returns the reward.
    fn step(state: &mut [f32; 2], torque: f32) -> f32 {
        let mut rng = Philox::new(0, crate::Stream::User, 0, 0);
        Pendulum.step(state, &[torque], &mut rng).reward
    }

    #[test]
    fn a_step_is_as_computed_by_hand() {
        // θ = π/2, θ̇ = 1, u = 2: cost 2.467401 + 0.1 + 0.004; θ̈ = 15 + 6 = 21;
        // θ̇ = 1 + 21 · 0.05 = 2.05; θ = 1.570796 + 2.05 · 0.05 = 1.673296.
        let mut state = [PI / 2.0, 1.0];
        let reward = step(&mut state, 2.0);
        assert!((reward + 2.571_401).abs() < 1e-6, "{reward}");
        assert!(
            (state[0] - 1.673_296).abs() < 1e-6 && (state[1] - 2.05).abs() < 1e-6,
            "{state:?}"
        );
    }

    #[test]
    fn speed_is_limited() {
        let mut state = [PI / 2.0, 7.9];
        step(&mut state, 2.0);
        assert_eq!(state[1], MAX_SPEED);
    }

    #[test]
    fn angles_are_wrapped() {
        let check = |angle: f32, expected: f32| {
            assert!(
                (wrap(angle) - expected).abs() < 1e-5,
                "{angle}: {} and not {expected}",
                wrap(angle)
            );
        };
        check(0.3, 0.3);
        check(PI + 0.1, -PI + 0.1);
        check(-PI - 0.1, PI - 0.1);
        check(20.0, 20.0 - 6.0 * PI);
        check(-20.0, -20.0 + 6.0 * PI);
    }

    #[test]
    fn hanging_at_rest_is_an_equilibrium() {
        let mut state = [-PI, 0.0];
        for _ in 0..10 {
            let reward = step(&mut state, 0.0);
            assert!((reward + PI * PI).abs() < 1e-3, "{reward}");
        }
    }

    #[test]
    fn what_is_no_number_stays_so() {
        let mut state = [0.1, 0.2];
        assert!(step(&mut state, f32::NAN).is_nan());
        assert!(state[0].is_nan() && state[1].is_nan());
    }
}
