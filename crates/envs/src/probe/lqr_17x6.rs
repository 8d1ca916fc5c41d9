//! Linear-quadratic probe with 17 states and 6 controls.
//!
//! The dimensions are those of well-known locomotion tasks, the optimum is known, and a step costs next to nothing, so
//! benchmarks measure the learner. See [`ProbeLqr`](super::ProbeLqr) for the scalar system.
//!
//! # Action
//!
//! | component | meaning | low | high |
//! |---|---|---|---|
//! | 0 … 5 | amplitudes u of the waves | −2 | 2 |
//!
//! # Observation
//!
//! | component | meaning | low | high |
//! |---|---|---|---|
//! | 0 … 16 | state x | −22 | 22 |
//!
//! **Reward**: −(q |x|² + r |u|²) with q = 1, r = 0.1, from the state before the step.
//!
//! **Start state**: every component uniform in [−¼, ¼].
//!
//! **Episode end**: never terminated. **Time limit**: 100 steps.
//!
//! # Dynamics
//!
//! x′ = a x + b E u + w with a = 0.9, b = 0.5 and every component of w uniform in [−⅛, ⅛]. The columns of E are
//! orthonormal cosine waves:
//!
//! ```text
//! E_ij = √(2/17) cos(π (i + ½) (j + 1) / 17),      i = 0 … 16,  j = 0 … 5.
//! ```
//!
//! # Optimum
//!
//! In the coordinates of the waves, c = Eᵀ x, the system is six copies of the scalar one: u = −k c with its k. The rest
//! of the state is uncontrollable and decays by itself; it costs p₀ = q / (1 − γ a²) per unit of squared state. With
//! the p of the scalar system and σ² = (1/8)² / 3,
//!
//! ```text
//! V(x) = −p |c|² − p₀ (|x|² − |c|²) − γ/(1−γ) σ² (6 p + 11 p₀).
//! ```
//!
//! The optimal control stays within the bounds of the action. **Localises**: log-probabilities and entropies that are
//! wrongly summed over the components of an action.
//!
//! **Source**: that of [`lqr`](super::lqr).

use std::f64::consts::PI;

use super::lqr::{A, B, Q, R, optimal_gain, riccati};
use crate::{ActionSpace, Described, Env, EnvSpec, ObsSpace, Outcome, Philox};

/// Number of states.
const STATES: usize = 17;
/// Number of controls.
const CONTROLS: usize = 6;
/// Largest |u_j|.
const MAX_CONTROL: f32 = 2.0;
/// Largest |w_i|.
const MAX_NOISE: f32 = 0.125;
/// Largest |x_i| at the start.
const START: f32 = 0.25;
/// More than the largest reachable |x_i|: where a x + b E u + w cannot grow.
const MAX_STATE: f32 = 22.0;

/// ProbeLqr17x6-v0; see the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct ProbeLqr17x6 {
    /// b E, one row per state.
    pushes: [[f32; CONTROLS]; STATES],
}

impl Default for ProbeLqr17x6 {
    fn default() -> Self {
        let push = |i, j| (f64::from(B) * wave(i, j)) as f32;
        Self {
            pushes: std::array::from_fn(|i| std::array::from_fn(|j| push(i, j))),
        }
    }
}

/// E_ij.
fn wave(i: usize, j: usize) -> f64 {
    let states = STATES as f64;
    (2.0 / states).sqrt() * (PI * (i as f64 + 0.5) * (j as f64 + 1.0) / states).cos()
}

/// The state in the coordinates of the waves, c = Eᵀ x.
fn along_waves(x: &[f64; STATES]) -> [f64; CONTROLS] {
    std::array::from_fn(|j| (0..STATES).map(|i| wave(i, j) * x[i]).sum())
}

fn square(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum()
}

/// The cost q / (1 − γ a²) of a unit of uncontrollable squared state.
fn cost_out_of_reach(gamma: f64) -> f64 {
    f64::from(Q) / (1.0 - gamma * f64::from(A).powi(2))
}

/// Contribution of one step's noise to the cost of the following states.
fn cost_of_noise(gamma: f64) -> f64 {
    let variance = f64::from(MAX_NOISE).powi(2) / 3.0;
    let (reached, rest) = (CONTROLS as f64, (STATES - CONTROLS) as f64);
    variance * (reached * riccati(gamma) + rest * cost_out_of_reach(gamma))
}

/// Optimal controls u = −k Eᵀ x for discount `gamma` in [0, 1].
#[must_use]
pub fn optimal_controls(x: &[f64; STATES], gamma: f64) -> [f64; CONTROLS] {
    along_waves(x).map(|c| -optimal_gain(gamma) * c)
}

/// Optimal value V(x) of the task without time limit, for discount `gamma` in [0, 1).
#[must_use]
pub fn optimal_value(x: &[f64; STATES], gamma: f64) -> f64 {
    let reached = square(&along_waves(x));
    let rest = square(x) - reached;
    let noise = gamma / (1.0 - gamma) * cost_of_noise(gamma);
    -(riccati(gamma) * reached + cost_out_of_reach(gamma) * rest + noise)
}

impl Described for ProbeLqr17x6 {
    fn spec(&self) -> EnvSpec {
        EnvSpec {
            name: "ProbeLqr17x6-v0".to_owned(),
            obs: ObsSpace::symmetric(&[MAX_STATE; STATES]),
            action: ActionSpace::Box {
                low: vec![-MAX_CONTROL; CONTROLS],
                high: vec![MAX_CONTROL; CONTROLS],
            },
            time_limit: Some(100),
            reward_threshold: None,
        }
    }

    fn state_size(&self) -> usize {
        STATES
    }
}

impl Env for ProbeLqr17x6 {
    fn reset(&self, state: &mut [f32], rng: &mut Philox) {
        state.fill_with(|| rng.range(-START, START));
    }

    fn step(&self, state: &mut [f32], action: &[f32], rng: &mut Philox) -> Outcome {
        let square = |numbers: &[f32]| numbers.iter().map(|x| x * x).sum::<f32>();
        let cost = Q * square(state) + R * square(action);
        for (x, pushes) in state.iter_mut().zip(&self.pushes) {
            let push: f32 = pushes.iter().zip(action).map(|(push, u)| push * u).sum();
            *x = A * *x + push + rng.range(-MAX_NOISE, MAX_NOISE);
        }
        Outcome {
            reward: -cost,
            terminated: false,
        }
    }

    fn observe(&self, state: &[f32], obs: &mut [f32]) {
        obs.copy_from_slice(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stream;

    const GAMMAS: [f64; 5] = [0.0, 0.5, 0.9, 0.99, 0.999];

    fn random_state(seed: u64, limit: f32) -> [f64; STATES] {
        let mut rng = Philox::new(seed, Stream::User, 0, 0);
        std::array::from_fn(|_| f64::from(rng.range(-limit, limit)))
    }

    #[test]
    fn waves_have_length_one_and_right_angles() {
        for j in 0..CONTROLS {
            let column = std::array::from_fn(|i| wave(i, j));
            for (k, product) in along_waves(&column).into_iter().enumerate() {
                let expected = if j == k { 1.0 } else { 0.0 };
                assert!((product - expected).abs() < 1e-12, "{j} {k}: {product}");
            }
        }
    }

    #[test]
    fn noise_costs_in_all_directions() {
        // With γ = 0 a square of state costs q = 1 wherever it is.
        let variance = f64::from(MAX_NOISE).powi(2) / 3.0;
        assert!((cost_of_noise(0.0) - 17.0 * variance).abs() < 1e-12);
    }

    #[test]
    fn a_step_is_as_computed_by_hand() {
        // All ones with amplitude 2 of the first wave: x′ = 0.9 + ½ · 2 · √(2/17) cos(π (i + ½) / 17) = 0.9 + 0.342997
        // cos(…) without the noise, cost 17 + 0.1 · 4. At i = 8, in the middle, the wave is cos(π/2) = 0.
        let mut state = [1.0; STATES];
        let mut action = [0.0; CONTROLS];
        action[0] = 2.0;
        let mut rng = Philox::new(0, Stream::User, 0, 0);
        let outcome = ProbeLqr17x6::default().step(&mut state, &action, &mut rng);
        assert!((outcome.reward + 17.4).abs() < 1e-5, "{}", outcome.reward);
        assert!(!outcome.terminated);
        let mut rng = Philox::new(0, Stream::User, 0, 0);
        let noise: [f32; STATES] = std::array::from_fn(|_| rng.range(-MAX_NOISE, MAX_NOISE));
        // cos(π / 34) = 0.995734; cos(33 π / 34) is its negative.
        for (i, expected) in [(0, 1.241_534), (8, 0.9), (16, 0.558_466)] {
            let found = state[i] - noise[i];
            assert!((found - expected).abs() < 1e-5, "{i}: {found}");
        }
    }

    #[test]
    fn no_controls_are_better_than_the_optimal_ones() {
        // V(x) = max over u of −(q |x|² + r |u|²) + γ E V(a x + b E u + w), varying one control at a time.
        for gamma in GAMMAS {
            let action_value = |x: &[f64; STATES], u: &[f64; CONTROLS]| {
                let mean = std::array::from_fn(|i| {
                    let push: f64 = (0..CONTROLS).map(|j| wave(i, j) * u[j]).sum();
                    f64::from(A) * x[i] + f64::from(B) * push
                });
                let cost = f64::from(Q) * square(x) + f64::from(R) * square(u);
                // V is quadratic: its expectation depends on the variance only.
                gamma * (optimal_value(&mean, gamma) - cost_of_noise(gamma)) - cost
            };
            for seed in 0..5 {
                let x = random_state(seed, 1.0);
                let value = optimal_value(&x, gamma);
                let tolerance = 1e-9 * value.abs().max(1.0);
                let best = optimal_controls(&x, gamma);
                assert!((action_value(&x, &best) - value).abs() < tolerance);
                for j in 0..CONTROLS {
                    for step in [-1.0, -0.1, -0.01, 0.01, 0.1, 1.0] {
                        let mut u = best;
                        u[j] += step;
                        assert!(action_value(&x, &u) < value, "{gamma} {j} {step}");
                    }
                }
            }
        }
    }

    #[test]
    fn states_and_optimal_controls_never_leave_their_bounds() {
        let (a, b) = (f64::from(A), f64::from(B));
        let row = |i| (0..CONTROLS).map(|j| wave(i, j).abs()).sum::<f64>();
        let push = (0..STATES).map(row).fold(0.0, f64::max) * f64::from(MAX_CONTROL);
        let largest = (b * push + f64::from(MAX_NOISE)) / (1.0 - a);
        assert!(largest <= f64::from(MAX_STATE), "{largest}");

        let column = |j| (0..STATES).map(|i| wave(i, j).abs()).sum::<f64>();
        let reach = (0..CONTROLS).map(column).fold(0.0, f64::max);
        for gamma in GAMMAS {
            let gain = optimal_gain(gamma);
            let decay = 1.0 - (a - b * gain).abs();
            let largest = reach * f64::from(START).max(f64::from(MAX_NOISE) / decay);
            assert!(
                gain * largest < f64::from(MAX_CONTROL),
                "{gamma}: {gain} {largest}"
            );
        }
    }

    #[test]
    fn the_simulated_return_is_the_optimal_value() {
        let gamma = 0.9;
        let env = ProbeLqr17x6::default();
        let start = random_state(7, START);
        let runs = 5_000;
        let mut mean = 0.0;
        for run in 0..runs {
            let mut state = start.map(|x| x as f32);
            let mut rng = Philox::new(0, Stream::User, 0, run);
            let mut discount = 1.0;
            for _ in 0..150 {
                let controls = optimal_controls(&state.map(f64::from), gamma);
                let reward = env
                    .step(&mut state, &controls.map(|u| u as f32), &mut rng)
                    .reward;
                mean += discount * f64::from(reward) / f64::from(runs);
                discount *= gamma;
            }
        }
        // The return is about −3.4 with a standard deviation of about 0.4, its mean over the runs one of 0.006.
        let expected = optimal_value(&start, gamma);
        assert!((mean - expected).abs() < 0.03, "{mean} {expected}");
    }
}
