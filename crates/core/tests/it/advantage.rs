use crate::{assert_close, device::device, numbers};
use burn::tensor::{Tensor, TensorData};
use proptest::prelude::*;
use uphill_core::advantage::{
    Estimator, Trace, discounted_returns, discounts, gae, gae_with_returns, n_step_returns,
    standardize, td_residuals,
};

/// A trace on the host, `[T][N]`.
#[derive(Clone, Debug)]
struct Host {
    rewards: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
    next_values: Vec<Vec<f32>>,
    terminated: Vec<Vec<bool>>,
    truncated: Vec<Vec<bool>>,
}

impl Host {
    fn dims(&self) -> [usize; 2] {
        [self.rewards.len(), self.rewards[0].len()]
    }

    fn trace(&self) -> Trace {
        let float = |x: &Vec<Vec<f32>>| {
            Tensor::<2>::from_data(TensorData::new(x.concat(), self.dims()), &device())
        };
        let flag = |x: &Vec<Vec<bool>>| {
            let ints: Vec<i32> = x.concat().into_iter().map(i32::from).collect();
            Tensor::<2, burn::tensor::Int>::from_data(TensorData::new(ints, self.dims()), &device())
                .equal_elem(1)
        };
        Trace {
            rewards: float(&self.rewards),
            values: float(&self.values),
            next_values: float(&self.next_values),
            terminated: flag(&self.terminated),
            truncated: flag(&self.truncated),
            agents: 1,
        }
    }

    fn rows(&self, from: usize, to: usize) -> Self {
        Self {
            rewards: self.rewards[from..to].to_vec(),
            values: self.values[from..to].to_vec(),
            next_values: self.next_values[from..to].to_vec(),
            terminated: self.terminated[from..to].to_vec(),
            truncated: self.truncated[from..to].to_vec(),
        }
    }

    fn delta(&self, t: usize, n: usize, gamma: f64) -> f64 {
        let next = if self.terminated[t][n] {
            0.0
        } else {
            f64::from(self.next_values[t][n])
        };
        f64::from(self.rewards[t][n]) + gamma * next - f64::from(self.values[t][n])
    }

    /// The definition as a double sum: Σ_l (γλ)^l δ_{t+l}, up to the end of the episode.
    fn gae(&self, gamma: f64, lambda: f64) -> Vec<f64> {
        let [steps, envs] = self.dims();
        let mut all = vec![];
        for t in 0..steps {
            for n in 0..envs {
                let (mut sum, mut weight) = (0.0, 1.0);
                for l in t..steps {
                    sum += weight * self.delta(l, n, gamma);
                    weight *= gamma * lambda;
                    if self.terminated[l][n] || self.truncated[l][n] {
                        break;
                    }
                }
                all.push(sum);
            }
        }
        all
    }

    /// Rewards one by one, up to n+1 of them, then the value of what follows.
    fn n_step(&self, gamma: f64, n_steps: usize) -> Vec<f64> {
        let [steps, envs] = self.dims();
        let mut all = vec![];
        for t in 0..steps {
            for n in 0..envs {
                let (mut sum, mut weight) = (0.0, 1.0);
                for l in t..steps {
                    sum += weight * f64::from(self.rewards[l][n]);
                    weight *= gamma;
                    let ended = self.terminated[l][n] || self.truncated[l][n];
                    if ended || l == t + n_steps || l == steps - 1 {
                        if !self.terminated[l][n] {
                            sum += weight * f64::from(self.next_values[l][n]);
                        }
                        break;
                    }
                }
                all.push(sum);
            }
        }
        all
    }
}

/// `[steps][envs]` numbers with an episode end now and then.
fn host(steps: usize, envs: usize) -> impl Strategy<Value = Host> {
    let numbers = || prop::collection::vec(prop::collection::vec(-2f32..2.0, envs), steps);
    let ends = prop::collection::vec(prop::collection::vec(0..10u8, envs), steps);
    (numbers(), numbers(), numbers(), ends).prop_map(|(rewards, values, next_values, ends)| {
        let mark = |mark| {
            ends.iter()
                .map(|row| row.iter().map(|e| *e == mark).collect())
                .collect()
        };
        Host {
            rewards,
            values,
            next_values,
            terminated: mark(0),
            truncated: mark(1),
        }
    })
}

/// The same with one critic: V after a step is V before the next, unless the episode ended.
fn consistent(steps: usize, envs: usize) -> impl Strategy<Value = Host> {
    host(steps, envs).prop_map(|mut host| {
        for t in 0..host.rewards.len() - 1 {
            for n in 0..host.rewards[0].len() {
                if !host.terminated[t][n] && !host.truncated[t][n] {
                    host.next_values[t][n] = host.values[t + 1][n];
                }
            }
        }
        host
    })
}

fn one(
    rewards: &[f32],
    values: &[f32],
    next_values: &[f32],
    terminated: &[usize],
    truncated: &[usize],
) -> Host {
    let column = |x: &[f32]| x.iter().map(|v| vec![*v]).collect();
    let flags = |at: &[usize]| (0..rewards.len()).map(|t| vec![at.contains(&t)]).collect();
    Host {
        rewards: column(rewards),
        values: column(values),
        next_values: column(next_values),
        terminated: flags(terminated),
        truncated: flags(truncated),
    }
}

#[test]
#[should_panic(expected = "shape of next_values")]
fn numbers_of_other_steps_are_refused() {
    let trace = one(&[1.0; 3], &[1.0; 3], &[2.0; 3], &[], &[]).trace();
    let short = Trace {
        next_values: trace.next_values.clone().narrow(0, 0, 2),
        ..trace
    };
    discounted_returns(&short, 0.5);
}

#[test]
fn returns_of_gae_are_advantages_plus_values() {
    let host = one(&[1.0; 3], &[1.0, 2.0, 3.0], &[2.0, 3.0, 4.0], &[], &[]);
    let [advantages, returns] = gae_with_returns(&host.trace(), 0.5, 0.5);
    assert_close(advantages, &[1.125, 0.5, 0.0], 1e-6);
    assert_close(returns, &[2.125, 2.5, 3.0], 1e-6);
}

/// d/dr_t of the sum of all returns: 1 + γ + … + γ^t, for t steps could have waited for it.
#[test]
fn gradients_pass_through_returns() {
    let rewards = crate::vector(&[1.0, 2.0, 3.0]).reshape([3, 1]);
    let rewards = rewards.autodiff().require_grad();
    let still = rewards.clone().without_autodiff().zeros_like().autodiff();
    let never = still.clone().bool();
    let trace = Trace {
        rewards: rewards.clone(),
        values: still.clone(),
        next_values: still,
        terminated: never.clone(),
        truncated: never,
        agents: 1,
    };
    let grads = discounted_returns(&trace, 0.5).sum().backward();
    assert_close(rewards.grad(&grads).unwrap(), &[1.0, 1.5, 1.75], 1e-6);
}

#[test]
fn gae_by_hand() {
    // γ = ½, λ = ½, nothing ends. δ = (1 + ½·2 − 1, 1 + ½·3 − 2, 1 + ½·4 − 3) = (1, ½, 0).
    let host = one(&[1.0; 3], &[1.0, 2.0, 3.0], &[2.0, 3.0, 4.0], &[], &[]);
    // From the back: 0; ½ + ¼·0 = ½; 1 + ¼·½ = 1.125.
    assert_close(gae(&host.trace(), 0.5, 0.5), &[1.125, 0.5, 0.0], 1e-6);
}

#[test]
fn termination_zeroes_the_bootstrap_and_truncation_does_not() {
    let ended = one(&[1.0, 1.0], &[0.0, 0.0], &[10.0, 10.0], &[0], &[1]);
    // Step 0 terminated: 1. Step 1 truncated: 1 + 0.9 · 10.
    assert_close(gae(&ended.trace(), 0.9, 0.95), &[1.0, 10.0], 1e-6);
    assert_close(discounted_returns(&ended.trace(), 0.9), &[1.0, 10.0], 1e-6);
}

#[test]
fn the_last_row_bootstraps_like_any_other() {
    let open = one(&[1.0], &[0.5], &[10.0], &[], &[]);
    assert_close(td_residuals(&open.trace(), 0.9), &[9.5], 1e-6);
    assert_close(discounted_returns(&open.trace(), 0.9), &[10.0], 1e-6);
}

#[test]
fn n_step_counts_exponents_from_zero() {
    let host = one(&[1.0, 2.0, 4.0], &[0.0; 3], &[10.0, 20.0, 30.0], &[], &[]);
    // n = 0 is the TD target; n = 1 at t = 0: 1 + ½·2 + ¼·20.
    assert_close(
        n_step_returns(&host.trace(), 0.5, 0),
        &[6.0, 12.0, 19.0],
        1e-6,
    );
    assert_close(
        n_step_returns(&host.trace(), 0.5, 1),
        &[7.0, 11.5, 19.0],
        1e-6,
    );
}

#[test]
fn standardized_advantages_have_mean_zero_and_unit_spread() {
    let x = crate::vector(&[1.0, 2.0, 3.0, 4.0]);
    let s = (5f64 / 3.0).sqrt();
    assert_close(
        standardize(x),
        &[-1.5 / s, -0.5 / s, 0.5 / s, 1.5 / s],
        1e-5,
    );
}

#[test]
fn a_batch_of_one_is_left_alone() {
    assert_close(standardize(crate::vector(&[3.0])), &[3.0], 0.0);
}

#[test]
fn a_batch_without_spread_stays_finite() {
    assert_close(
        standardize(crate::vector(&[3.0, 3.0, 3.0])),
        &[0.0; 3],
        1e-6,
    );
}

proptest! {
    // One device round trip per case: few cases keep this quick on a GPU too.
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn gae_is_its_definition(host in host(13, 3), gamma in 0.5..1.0, lambda in 0.0..1.0) {
        assert_close(gae(&host.trace(), gamma, lambda), &host.gae(gamma, lambda), 2e-5);
    }

    #[test]
    fn lambda_zero_is_the_td_residual(host in host(9, 2)) {
        let td = numbers(td_residuals(&host.trace(), 0.97));
        assert_close(gae(&host.trace(), 0.97, 0.0), &td, 1e-6);
    }

    #[test]
    fn lambda_one_is_the_return_minus_the_value(host in consistent(9, 2)) {
        let trace = host.trace();
        let returns = discounted_returns(&trace, 0.97);
        let expected = numbers(returns - trace.values.clone());
        assert_close(gae(&trace, 0.97, 1.0), &expected, 2e-5);
    }

    #[test]
    fn gae_is_the_lambda_weighted_mean_of_n_step_advantages(host in consistent(6, 2), lambda in 0.1..0.9) {
        // eq. 16 with finitely many steps: past the end every n-step advantage is the last one.
        let trace = host.trace();
        let mut sum = trace.rewards.zeros_like();
        for n in 0..200 {
            let weight = (1.0 - lambda) * f64::powi(lambda, n);
            sum = sum + (n_step_returns(&trace, 0.9, n as usize) - trace.values.clone()) * weight;
        }
        assert_close(gae(&trace, 0.9, lambda), &numbers(sum), 5e-5);
    }

    #[test]
    fn returns_are_n_step_returns_without_a_limit(host in host(9, 2)) {
        let trace = host.trace();
        assert_close(discounted_returns(&trace, 0.9), &host.n_step(0.9, 100), 2e-5);
    }

    #[test]
    fn n_step_is_its_definition(host in host(9, 2), n in 0..12usize) {
        assert_close(n_step_returns(&host.trace(), 0.9, n), &host.n_step(0.9, n), 2e-5);
    }

    #[test]
    fn cutting_at_truncations_changes_nothing(mut host in host(10, 2), cut in 1..9usize) {
        for n in 0..2 {
            host.terminated[cut - 1][n] = false;
            host.truncated[cut - 1][n] = true;
        }
        let whole = numbers(gae(&host.trace(), 0.9, 0.8));
        let first = gae(&host.rows(0, cut).trace(), 0.9, 0.8);
        let second = gae(&host.rows(cut, 10).trace(), 0.9, 0.8);
        assert_close(Tensor::cat(vec![first, second], 0), &whole, 1e-5);
    }
}

#[test]
fn every_estimator_is_what_its_name_says() {
    let host = Host {
        rewards: vec![vec![1.0, 2.0], vec![-1.0, 0.5], vec![2.0, 1.0]],
        values: vec![vec![0.5, 1.0], vec![0.2, -0.3], vec![1.5, 0.7]],
        next_values: vec![vec![0.2, -0.3], vec![0.9, 0.7], vec![0.4, 0.6]],
        terminated: vec![vec![false, false], vec![true, false], vec![false, false]],
        truncated: vec![vec![false, false], vec![false, false], vec![true, false]],
    };
    let (trace, gamma) = (host.trace(), 0.9);
    let same = |estimator: Estimator, expected: Tensor<2>| {
        let found = estimator.advantages(&trace, gamma);
        assert_close(found, &numbers(expected), 1e-5);
    };
    let minus_values = |returns: Tensor<2>| returns - trace.values.clone();
    same(Estimator::Td, td_residuals(&trace, gamma));
    same(Estimator::Gae { lambda: 0.7 }, gae(&trace, gamma, 0.7));
    let one = n_step_returns(&trace, gamma, 1);
    same(Estimator::NStep { n: 1 }, minus_values(one));
    let all = discounted_returns(&trace, gamma);
    same(Estimator::MonteCarlo, minus_values(all));
    // And the identities between them.
    same(Estimator::NStep { n: 0 }, td_residuals(&trace, gamma));
    same(Estimator::MonteCarlo, gae(&trace, gamma, 1.0));
    same(Estimator::NStep { n: 9 }, gae(&trace, gamma, 1.0));
}

#[test]
fn discounts_are_powers() {
    assert_close(discounts(3, 0.5, &device()), &[1.0, 0.5, 0.25], 1e-7);
    assert_close(discounts(3, 0.0, &device()), &[1.0, 0.0, 0.0], 0.0);
}
