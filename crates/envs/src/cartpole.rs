//! CartPole: a pole hinged to a cart, balanced by pushing the cart left or right.
//!
//! # Action
//!
//! | index | meaning |
//! |---|---|
//! | 0 | push to the left with 10 N |
//! | 1 | push to the right with 10 N |
//!
//! # Observation
//!
//! | component | meaning | low | high | unit |
//! |---|---|---|---|---|
//! | 0 | position of the cart x | −4.8 | 4.8 | m |
//! | 1 | velocity of the cart ẋ | −∞ | ∞ | m/s |
//! | 2 | angle of the pole from upright θ | −24° | 24° | rad |
//! | 3 | angular velocity of the pole θ̇ | −∞ | ∞ | rad/s |
//!
//! The bounds are twice the limits below, so the observation that ends an episode lies within them too.
//!
//! **Reward**: 1 for every step, including the one that ends the episode.
//!
//! **Start state**: all four components uniform in [−0.05, 0.05].
//!
//! **Episode end**: terminated when |x| > 2.4 m or |θ| > 12°. **Time limit**: 500 steps. **Solved** at a mean
//! return of 475.
//!
//! # Dynamics
//!
//! With force F, masses m_c = 1 and m_p = 0.1 kg, half the pole's length l = 0.5 m and g = 9.8 m/s²:
//!
//! ```text
//! a = (F + m_p l θ̇² sin θ) / (m_c + m_p)
//! θ̈ = (g sin θ − a cos θ) / (l (4/3 − m_p cos² θ / (m_c + m_p)))
//! ẍ = a − m_p l θ̈ cos θ / (m_c + m_p)
//! ```
//!
//! and an explicit Euler step of 0.02 s. The hinge and the track have no friction.
//!
//! **Source**: Barto, Sutton, Anderson: "Neuronlike adaptive elements that can solve difficult learning control
//! problems", IEEE Transactions on Systems, Man, and Cybernetics 13(5), 1983; equations as corrected by Florian:
//! "Correct equations for the dynamics of the cart-pole system", 2007, without friction.
//!
//! **Version**: v1, equivalent to Gymnasium's `CartPole-v1`. Differs: f32 instead of f64 arithmetic.

#[allow(clippy::wildcard_imports)] // the vocabulary of kernels, whichever of the two it is
use crate::kernel::*;
use crate::{ActionSpace, Described, EnvSpec, ObsSpace, Outcome, Philox, in_kernels};

/// Acceleration of gravity, m/s².
const GRAVITY: f32 = 9.8;
/// Mass of the pole, kg.
const POLE_MASS: f32 = 0.1;
/// Mass of cart and pole, kg.
const TOTAL_MASS: f32 = 1.0 + POLE_MASS;
/// Half the length of the pole, m.
const HALF_LENGTH: f32 = 0.5;
/// Mass of the pole times half its length, kg m.
const POLE_MOMENT: f32 = POLE_MASS * HALF_LENGTH;
/// Push on the cart, N.
const FORCE: f32 = 10.0;
/// Duration of a step, s.
const DT: f32 = 0.02;
/// Largest |x| before termination, m.
const X_LIMIT: f32 = 2.4;
/// Largest |θ| before termination: 12° in rad.
const ANGLE_LIMIT: f32 = 12.0 * std::f32::consts::PI / 180.0;
/// Four thirds, from the moment of inertia of a uniform rod.
const FOUR_THIRDS: f32 = 4.0 / 3.0;
/// Bound on the absolute value of each component at the start.
const START: f32 = 0.05;

/// CartPole-v1; see the [module](self).
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "gpu", derive(CubeType))]
pub struct CartPole;

impl Described for CartPole {
    fn spec(&self) -> EnvSpec {
        EnvSpec {
            name: "CartPole-v1".to_owned(),
            obs: ObsSpace::symmetric(&[
                2.0 * X_LIMIT,
                f32::INFINITY,
                2.0 * ANGLE_LIMIT,
                f32::INFINITY,
            ]),
            action: ActionSpace::Discrete { n: 2 },
            time_limit: Some(500),
            reward_threshold: Some(475.0),
        }
    }

    /// x, ẋ, θ, θ̇.
    fn state_size(&self) -> usize {
        4
    }
}

#[cfg_attr(feature = "gpu", cube)]
impl Env for CartPole {
    fn reset(&self, state: &mut [f32], rng: &mut Philox) {
        state[0] = spread(rng.uniform(), START);
        state[1] = spread(rng.uniform(), START);
        state[2] = spread(rng.uniform(), START);
        state[3] = spread(rng.uniform(), START);
    }

    fn step(&self, state: &mut [f32], action: &[f32], _rng: &mut Philox) -> Outcome {
        let velocity = state[1];
        let angle = state[2];
        let angular_velocity = state[3];
        // Any index but 1 pushes left.
        let force = select(action[0] == 1.0f32, FORCE, -FORCE);
        let cos = angle.cos();
        let sin = angle.sin();
        let a = (force + POLE_MOMENT * angular_velocity * angular_velocity * sin) / TOTAL_MASS;
        let angular_acceleration = (GRAVITY * sin - cos * a)
            / (HALF_LENGTH * (FOUR_THIRDS - POLE_MASS * cos * cos / TOTAL_MASS));
        let acceleration = a - POLE_MOMENT * angular_acceleration * cos / TOTAL_MASS;
        state[0] += DT * velocity;
        state[1] += DT * acceleration;
        state[2] += DT * angular_velocity;
        state[3] += DT * angular_acceleration;
        Outcome {
            reward: 1.0f32,
            terminated: beyond_limits(state[0], state[2]),
        }
    }

    fn observe(&self, state: &[f32], obs: &mut [f32]) {
        obs[0] = state[0];
        obs[1] = state[1];
        obs[2] = state[2];
        obs[3] = state[3];
    }
}

in_kernels!(CartPole => CartPoleExpand {});

/// Whether an episode ends at position `x` and angle `angle`. NaN does not end it.
#[cfg_attr(feature = "gpu", cube)]
fn beyond_limits(x: f32, angle: f32) -> bool {
    x.abs() > X_LIMIT || angle.abs() > ANGLE_LIMIT
}

#[cfg(test)]
mod tests {
    use super::*;

    /// State after one step from `state`.
    fn stepped(mut state: [f32; 4], action: f32) -> [f32; 4] {
        let mut rng = Philox::new(0, crate::Stream::User, 0, 0);
        assert_eq!(CartPole.step(&mut state, &[action], &mut rng).reward, 1.0);
        state
    }

    #[test]
    fn a_push_from_rest_is_as_computed_by_hand() {
        // At rest and upright: a = 10/1.1 = 9.0909, θ̈ = −a / (0.5 (4/3 − 0.1/1.1)) = −9.0909/0.621212 = −14.6341,
        // ẍ = a + 0.05 · 14.6341 / 1.1 = 9.7561; times 0.02 s.
        let state = stepped([0.0; 4], 1.0);
        let expected = [0.0, 0.195_122, 0.0, -0.292_683];
        for (x, y) in state.into_iter().zip(expected) {
            assert!((x - y).abs() < 1e-6, "{state:?}");
        }
    }

    #[test]
    fn left_mirrors_right() {
        let left = stepped([0.1, -0.2, 0.05, 0.3], 0.0);
        let right = stepped([-0.1, 0.2, -0.05, -0.3], 1.0);
        assert_eq!(left, right.map(|x| -x));
    }

    #[test]
    fn limits_themselves_do_not_end_an_episode() {
        let check = |x, angle, expected| assert_eq!(beyond_limits(x, angle), expected);
        check(X_LIMIT, -ANGLE_LIMIT, false);
        check(X_LIMIT.next_up(), 0.0, true);
        check(-X_LIMIT.next_up(), 0.0, true);
        check(0.0, ANGLE_LIMIT.next_up(), true);
        check(f32::NAN, f32::NAN, false);
    }
}
