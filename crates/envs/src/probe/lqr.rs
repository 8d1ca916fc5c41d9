//! Linear-quadratic probe: optimal policy and value in closed form.
//!
//! # Action
//!
//! | component | meaning | low | high |
//! |---|---|---|---|
//! | 0 | control u | −2 | 2 |
//!
//! # Observation
//!
//! | component | meaning | low | high |
//! |---|---|---|---|
//! | 0 | state x | −15 | 15 |
//!
//! **Reward**: −(q x² + r u²) with q = 1, r = 0.1, from the state before the step.
//!
//! **Start state**: x uniform in [−1, 1].
//!
//! **Episode end**: never terminated. **Time limit**: 32 steps. Noise causes costs for ever, so a critic that mistakes
//! the truncation for a termination believes that late states are cheap.
//!
//! # Dynamics
//!
//! x′ = a x + b u + w with a = 0.9, b = 0.5 and w uniform in [−½, ½], hence of variance 1/12.
//!
//! # Optimum
//!
//! u = −k x, V(x) = −p x² − γ/(1−γ) p/12, where p solves the discounted Riccati equation
//!
//! ```text
//! p = q + γ a² p − (γ a b p)² / (r + γ b² p),      k = γ a b p / (r + γ b² p).
//! ```
//!
//! The optimal control stays within the bounds of the action. **Localises**: log-probability and sampling of a
//! Gaussian policy, learning its scale, bootstrapping at a truncation.
//!
//! **Source**: the discounted linear-quadratic regulator, e.g. Bertsekas: "Dynamic programming and optimal
//! control", volume I.

#[allow(clippy::wildcard_imports)] // the vocabulary of kernels, whichever of the two it is
use crate::kernel::*;
use crate::{ActionSpace, Described, EnvSpec, ObsSpace, Outcome, Philox, in_kernels};

/// State coefficient.
pub(super) const A: f32 = 0.9;
/// Control coefficient.
pub(super) const B: f32 = 0.5;
/// Cost of the squared state.
pub(super) const Q: f32 = 1.0;
/// Cost of the squared control.
pub(super) const R: f32 = 0.1;
/// Largest |u|.
const MAX_CONTROL: f32 = 2.0;
/// Largest |w|.
const MAX_NOISE: f32 = 0.5;
/// Largest |x| at the start.
const START: f32 = 1.0;
/// Largest reachable |x|: where a x + b u + w cannot grow, 1.5 / 0.1.
const MAX_STATE: f32 = 15.0;

/// ProbeLqr-v0; see the [module](self).
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "gpu", derive(CubeType))]
pub struct ProbeLqr;

/// The coefficient p of the optimal value for discount `gamma` in [0, 1]: the positive root of
/// γ b² p² + (r − γ b² q − γ a² r) p − q r = 0.
#[must_use]
pub fn riccati(gamma: f64) -> f64 {
    let [a, b, q, r] = [A, B, Q, R].map(f64::from);
    let square = gamma * b * b;
    let half_linear = 0.5 * (r - square * q - gamma * a * a * r);
    // The usual formula for the root, with a rationalised numerator: valid for γ = 0 too.
    q * r / (half_linear + (half_linear * half_linear + square * q * r).sqrt())
}

/// The gain k of the optimal control u = −k x for discount `gamma` in [0, 1].
#[must_use]
pub fn optimal_gain(gamma: f64) -> f64 {
    let [a, b, r] = [A, B, R].map(f64::from);
    let p = riccati(gamma);
    gamma * a * b * p / (r + gamma * b * b * p)
}

/// Optimal value V(x) of the task without time limit, for discount `gamma` in [0, 1).
#[must_use]
pub fn optimal_value(x: f64, gamma: f64) -> f64 {
    let noise = f64::from(MAX_NOISE).powi(2) / 3.0;
    -riccati(gamma) * (x * x + gamma / (1.0 - gamma) * noise)
}

impl Described for ProbeLqr {
    fn spec(&self) -> EnvSpec {
        EnvSpec {
            name: "ProbeLqr-v0".to_owned(),
            obs: ObsSpace::symmetric(&[MAX_STATE]),
            action: ActionSpace::Box {
                low: vec![-MAX_CONTROL],
                high: vec![MAX_CONTROL],
            },
            time_limit: Some(32),
            reward_threshold: None,
        }
    }

    fn state_size(&self) -> usize {
        1
    }
}

#[cfg_attr(feature = "gpu", cube)]
impl Env for ProbeLqr {
    fn reset(&self, state: &mut [f32], rng: &mut Philox) {
        state[0] = rng.range(-START, START);
    }

    fn step(&self, state: &mut [f32], action: &[f32], rng: &mut Philox) -> Outcome {
        let x = state[0];
        let u = action[0];
        let noise = rng.range(-MAX_NOISE, MAX_NOISE);
        state[0] = A * x + B * u + noise;
        Outcome {
            reward: -(Q * x * x + R * u * u),
            terminated: false,
        }
    }

    fn observe(&self, state: &[f32], obs: &mut [f32]) {
        obs[0] = state[0];
    }
}

in_kernels!(ProbeLqr => ProbeLqrExpand {});

#[cfg(test)]
mod tests {
    use super::*;

    const GAMMAS: [f64; 5] = [0.0, 0.5, 0.9, 0.99, 0.999];
    const NOISE_VARIANCE: f64 = 1.0 / 12.0;

    #[test]
    fn iterating_the_riccati_recursion_arrives_at_the_closed_form() {
        let [a, b, q, r] = [A, B, Q, R].map(f64::from);
        for gamma in GAMMAS {
            let mut p = 0.0;
            for _ in 0..1000 {
                p = q + gamma * a * a * p - (gamma * a * b * p).powi(2) / (r + gamma * b * b * p);
            }
            assert!(
                (p - riccati(gamma)).abs() < 1e-12,
                "{gamma}: {p} {}",
                riccati(gamma)
            );
        }
    }

    #[test]
    fn no_control_is_better_than_the_optimal_one() {
        // V(x) = max over u of −(q x² + r u²) + γ E V(a x + b u + w), by trying every u.
        let [a, b, q, r] = [A, B, Q, R].map(f64::from);
        for gamma in GAMMAS {
            let action_value = |x: f64, u: f64| {
                let mean = a * x + b * u;
                // V is quadratic: its expectation depends on the variance only.
                -(q * x * x + r * u * u)
                    + gamma * (optimal_value(mean, gamma) - riccati(gamma) * NOISE_VARIANCE)
            };
            for x in [-2.0, -0.7, 0.0, 0.1, 1.0] {
                let value = optimal_value(x, gamma);
                let best = action_value(x, -optimal_gain(gamma) * x);
                assert!(
                    (best - value).abs() < 1e-9 * value.abs().max(1.0),
                    "{gamma} {x}: {best} {value}"
                );
                for step in -400..=400 {
                    assert!(action_value(x, f64::from(step) * 0.01) <= value + 1e-9);
                }
            }
        }
    }

    #[test]
    fn the_optimal_control_never_leaves_the_bounds() {
        for gamma in GAMMAS {
            let gain = optimal_gain(gamma);
            let contraction = f64::from(A) - f64::from(B) * gain;
            // Under the optimal gain, |x| ≤ max(start, noise / (1 − contraction)).
            let largest = f64::from(START).max(f64::from(MAX_NOISE) / (1.0 - contraction.abs()));
            assert!(
                gain * largest < f64::from(MAX_CONTROL),
                "{gamma}: {gain} {largest}"
            );
        }
    }

    #[test]
    fn a_step_is_as_computed_by_hand() {
        // From 2 under control −1: x′ = 1.8 − 0.5 + w, cost 4 + 0.1.
        let mut state = [2.0];
        let rng = || Philox::new(0, crate::Stream::User, 0, 0);
        let outcome = ProbeLqr.step(&mut state, &[-1.0], &mut rng());
        let noise = rng().range(-MAX_NOISE, MAX_NOISE);
        assert!(noise.abs() > 0.01);
        assert!((state[0] - (1.3 + noise)).abs() < 1e-6, "{state:?}");
        assert!((outcome.reward + 4.1).abs() < 1e-6 && !outcome.terminated);
    }

    #[test]
    fn the_simulated_return_is_the_optimal_value() {
        let (gamma, x0) = (0.9, 0.8_f32);
        let gain = optimal_gain(gamma) as f32;
        let (runs, mut mean) = (20_000, 0.0);
        for run in 0..runs {
            let (mut state, mut discount) = ([x0], 1.0);
            let mut rng = Philox::new(0, crate::Stream::User, 0, run);
            for _ in 0..150 {
                let action = [-gain * state[0]];
                mean += discount * f64::from(ProbeLqr.step(&mut state, &action, &mut rng).reward)
                    / f64::from(runs);
                discount *= gamma;
            }
        }
        // The return has a standard deviation of about 0.6, its mean over the runs one of 0.004.
        assert!(
            (mean - optimal_value(f64::from(x0), gamma)).abs() < 0.02,
            "{mean}"
        );
    }
}
