//! REINFORCE and vanilla policy gradient: one step of the policy.

use super::{
    AdamF64, COPIES, Case, ENVS, EPSILON, GAMMA, STEPS, agree, difference, norm, numbers, scaled,
    standard, tensor,
};
use uphill_algos::{
    reinforce::{Baseline, Credit, ReinforceConfig, weights},
    vpg::VpgConfig,
};
use uphill_core::{optim::RuleKind, rollout::Span, schedule::Schedule};

/// Falls to 0.02 half way through a run.
const ENTROPY: Schedule = Schedule::Linear {
    from: 0.04,
    to: 0.0,
};
/// Falls to 0.05 half way through a run.
const RATE: Schedule = Schedule::Linear { from: 0.1, to: 0.0 };

fn reinforce() -> ReinforceConfig {
    ReinforceConfig {
        gamma: GAMMA,
        learning_rate: RATE,
        rule: RuleKind::Sgd,
        entropy_coef: ENTROPY,
        critic_steps: 1,
        ..Default::default()
    }
}

/// Whole episodes of 2, 6, 3 and 1 steps, the second and the last of them truncated.
fn episodes(config: ReinforceConfig, env: &str, fused: bool) -> Case {
    let mut case = Case::new(env, fused, config);
    let lengths = [2, 6, 3, 1];
    let data = &mut case.numbers;
    for (n, len) in lengths.into_iter().enumerate() {
        for t in 0..STEPS {
            let (at, last) = (t * COPIES + n, t + 1 == len);
            data.terminated[at] = last && n % 2 == 0;
            data.truncated[at] = last && n % 2 == 1;
        }
    }
    case.rollout.terminated = data.flags(&data.terminated);
    case.rollout.truncated = data.flags(&data.truncated);
    let span = |(env, len)| Span { env, start: 0, len };
    let spans: Vec<Span> = lengths.into_iter().enumerate().map(span).collect();
    case.rollout = case.rollout.columns(&spans);
    case
}

/// Entries that are steps, not padding.
fn samples(case: &Case) -> Vec<usize> {
    let lengths = case.rollout.lengths.clone().unwrap();
    let is_step = |at: &usize| at / COPIES < lengths[at % COPIES];
    case.all().into_iter().filter(is_step).collect()
}

/// Return less baseline and its factor, as (1) of the module's page has it, at the entries of `rows`.
fn expected_weights(c: &ReinforceConfig, case: &Case, rows: &[usize]) -> Vec<f64> {
    let mut data = case.numbers.clone();
    if c.baseline != Baseline::Value {
        // Without a critic there is nobody to say what would have come after the cut.
        data.next_values.fill(0.0);
    }
    let to_go = data.returns(GAMMA);
    let weight = |at: &usize| {
        let (t, n) = (at / COPIES, at % COPIES);
        let of = |n: usize| match c.credit {
            Credit::Trajectory => to_go[n],
            Credit::RewardToGo => to_go[t * COPIES + n],
        };
        let others = rows.iter().filter(|row| match c.credit {
            Credit::Trajectory => *row / COPIES == 0,
            Credit::RewardToGo => *row / COPIES == t,
        });
        let others: Vec<f64> = (others.map(|row| row % COPIES).filter(|m| *m != n))
            .map(of)
            .collect();
        let baseline = match c.baseline {
            Baseline::Average if others.is_empty() => 0.0,
            Baseline::Average => others.iter().sum::<f64>() / others.len() as f64,
            Baseline::Value => data.values[*at],
            _ => 0.0,
        };
        let factor = match c.credit {
            Credit::RewardToGo if c.discount_steps => GAMMA.powi(t as i32),
            _ => 1.0,
        };
        (of(n) - baseline) * factor
    };
    rows.iter().map(weight).collect()
}

/// (1/N) Σ_n Σ_t w ∇ log π over N trajectories + c_H ∇ mean H: a sum over the steps of a trajectory, whatever their
/// number, and a mean over trajectories.
fn estimate(case: &Case, rows: &[usize], weights: &[f64], entropy_coef: f64) -> Vec<f64> {
    case.policy_slope(&case.actor_params(), rows, |dist, actions| {
        let surrogate = (dist.log_prob(actions) * tensor(weights)).sum() * (1.0 / COPIES as f64);
        surrogate + dist.entropy().mean() * entropy_coef
    })
}

#[test]
fn reinforce_adds_over_steps_and_averages_over_trajectories() {
    for env in ENVS {
        for fused in [true, false] {
            for credit in [Credit::RewardToGo, Credit::Trajectory] {
                for baseline in [Baseline::None, Baseline::Average, Baseline::Value] {
                    for discount_steps in [true, false] {
                        let config = ReinforceConfig {
                            credit,
                            baseline,
                            discount_steps,
                            ..reinforce()
                        };
                        let case = episodes(config.clone(), env, fused);
                        let rows = samples(&case);
                        let weights = expected_weights(&config, &case, &rows);
                        let expected = scaled(&estimate(&case, &rows, &weights, 0.02), 0.05);
                        let what = format!("{env} {credit:?} {baseline:?} {discount_steps}");
                        agree(&case.update(0.5).actor_step, &expected, &what);
                    }
                }
            }
        }
    }
}

#[test]
fn reinforce_with_the_optimal_baseline_steps_along_its_weights() {
    let config = ReinforceConfig {
        baseline: Baseline::Optimal,
        ..reinforce()
    };
    let case = episodes(config.clone(), "CartPole-v1", true);
    let rows = samples(&case);
    let table = numbers(weights(&config, &case.actor, &case.rollout));
    let weights: Vec<f64> = rows.iter().map(|row| table[*row]).collect();
    let expected = scaled(&estimate(&case, &rows, &weights, 0.02), 0.05);
    agree(&case.update(0.5).actor_step, &expected, "optimal");
}

#[test]
fn reinforce_shortens_gradients_to_the_norm_that_is_set() {
    let config = ReinforceConfig {
        max_grad_norm: 0.01,
        ..reinforce()
    };
    let case = episodes(config.clone(), "CartPole-v1", true);
    let rows = samples(&case);
    let weights = expected_weights(&config, &case, &rows);
    let gradient = estimate(&case, &rows, &weights, 0.02);
    let expected = scaled(&gradient, 0.05 * 0.01 / norm(&gradient));
    let moved = case.update(0.5);
    agree(&moved.actor_step, &expected, "shortened");
    let reported = moved.metrics.get("grad_norm").unwrap();
    assert!(
        (reported / norm(&gradient) - 1.0).abs() < 1e-4,
        "{reported}"
    );
}

/// The value function learns returns, those of a truncated episode with the value of where it was cut.
#[test]
fn reinforce_fits_values_to_returns() {
    for fused in [true, false] {
        let config = ReinforceConfig {
            baseline: Baseline::Value,
            critic_learning_rate: RATE,
            critic_steps: 2,
            epsilon: EPSILON,
            ..reinforce()
        };
        let case = episodes(config, "Pendulum-v1", fused);
        let rows = samples(&case);
        let returns = case.numbers.returns(GAMMA);
        let returns: Vec<f64> = rows.iter().map(|row| returns[*row]).collect();
        let expected = fitted(&case, &rows, &returns, 2, 0.05);
        agree(&case.update(0.5).critic_step, &expected, "value function");
    }
}

/// How far `steps` steps of Adam down ½ mean((V − R)²) go.
fn fitted(case: &Case, rows: &[usize], returns: &[f64], steps: usize, rate: f64) -> Vec<f64> {
    let before = case.critic_params();
    let (mut params, mut adam) = (before.clone(), AdamF64::new(before.len()));
    for _ in 0..steps {
        let grad = case.value_slope(&params, rows, |values| {
            (values - tensor(returns)).square().mean() * 0.5
        });
        params = super::sum(&params, &adam.step(&grad, rate));
    }
    difference(&params, &before)
}

#[test]
fn vpg_takes_one_step_and_fits_values_to_rewards_to_go() {
    for env in ENVS {
        for (fused, normalize_advantages) in [(true, true), (true, false), (false, true)] {
            let config = VpgConfig {
                steps: STEPS,
                gamma: GAMMA,
                gae_lambda: 0.7,
                normalize_advantages,
                learning_rate: RATE,
                critic_learning_rate: Schedule::Linear {
                    from: 0.06,
                    to: 0.0,
                },
                critic_steps: 3,
                adam_epsilon: EPSILON,
                entropy_coef: ENTROPY,
                max_grad_norm: 0.0,
            };
            let case = Case::new(env, fused, config);
            let mut advantages = case.numbers.gae(GAMMA, 0.7);
            if normalize_advantages {
                advantages = standard(&advantages);
            }
            let params = case.actor_params();
            let gradient = case.policy_slope(&params, &case.all(), |dist, actions| {
                let surrogate = (dist.log_prob(actions) * tensor(&advantages)).mean();
                surrogate + dist.entropy().mean() * 0.02
            });
            let expected = AdamF64::new(params.len()).step(&scaled(&gradient, -1.0), 0.05);
            let moved = case.update(0.5);
            let what = format!("{env}, normalised {normalize_advantages}");
            agree(&moved.actor_step, &expected, &what);

            let returns = case.numbers.returns(GAMMA);
            let expected = fitted(&case, &case.all(), &returns, 3, 0.03);
            agree(&moved.critic_step, &expected, "value function");
        }
    }
}

#[test]
fn vpg_shortens_gradients_to_the_norm_that_is_set() {
    let config = VpgConfig {
        steps: STEPS,
        max_grad_norm: 0.02,
        adam_epsilon: EPSILON,
        normalize_advantages: false,
        learning_rate: RATE,
        critic_steps: 1,
        ..Default::default()
    };
    let case = Case::new("CartPole-v1", true, config);
    let advantages = case.numbers.gae(0.99, 0.97);
    let params = case.actor_params();
    let gradient = case.policy_slope(&params, &case.all(), |dist, actions| {
        (dist.log_prob(actions) * tensor(&advantages)).mean()
    });
    let short = scaled(&gradient, -0.02 / norm(&gradient));
    let expected = AdamF64::new(params.len()).step(&short, 0.1);
    agree(&case.update(0.0).actor_step, &expected, "shortened");
}
