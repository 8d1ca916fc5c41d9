//! The value fit of the second-order methods.

use super::{
    AdamF64, COPIES, Case, EPSILON, GAMMA, STEPS, agree, difference, norm, scaled, sum, tensor,
};
use uphill_algos::{
    critic_fit::{CriticConfig, CriticMethod},
    npg::NpgConfig,
    random::Order,
};
use uphill_core::schedule::Schedule;

const RATE: f64 = 0.05;
const CLIP: f64 = 0.3;

fn npg(critic: CriticConfig) -> NpgConfig {
    NpgConfig {
        steps: STEPS,
        gamma: GAMMA,
        gae_lambda: 0.7,
        critic,
        ..Default::default()
    }
}

/// Targets are A + V with generalised advantages.
fn targets(case: &Case) -> Vec<f64> {
    sum(&case.numbers.gae(GAMMA, 0.7), &case.numbers.values)
}

#[test]
fn adam_goes_through_the_minibatches_of_every_epoch() {
    for fused in [true, false] {
        for (value_clip, max_grad_norm) in [(0.0, 0.0), (CLIP, 0.0), (0.0, 0.05)] {
            let critic = CriticConfig {
                method: CriticMethod::Adam,
                epochs: 2,
                minibatches: 3,
                learning_rate: Schedule::Linear {
                    from: 2.0 * RATE,
                    to: 0.0,
                },
                adam_epsilon: EPSILON,
                max_grad_norm,
                value_clip,
            };
            let case = Case::new("CartPole-v1", fused, npg(critic));
            let returns = targets(&case);
            let before = case.critic_params();
            let (mut params, mut adam) = (before.clone(), AdamF64::new(before.len()));
            let order = |epoch| {
                let (seed, iteration) = (case.config.seed, 0);
                let order = Order {
                    seed,
                    iteration,
                    epoch,
                };
                order.minibatches(STEPS * COPIES, 3)
            };
            for rows in (0..2).flat_map(order) {
                let rows: Vec<usize> = rows.into_iter().map(|row| row as usize).collect();
                let chosen =
                    |values: &[f64]| -> Vec<f64> { rows.iter().map(|row| values[*row]).collect() };
                let mut grad = case.value_slope(&params, &rows, |values| {
                    let (old, returns) = (
                        tensor(&chosen(&case.numbers.values)),
                        tensor(&chosen(&returns)),
                    );
                    let plain = (values.clone() - returns.clone()).square();
                    let losses = if value_clip > 0.0 {
                        let moved = (values - old.clone()).clamp(-CLIP, CLIP);
                        plain.max_pair((old + moved - returns).square())
                    } else {
                        plain
                    };
                    losses.mean() * 0.5
                });
                if max_grad_norm > 0.0 {
                    let length = norm(&grad);
                    assert!(length > max_grad_norm, "this test shortens nothing");
                    grad = scaled(&grad, max_grad_norm / length);
                }
                params = sum(&params, &adam.step(&grad, RATE));
            }
            let what = format!("fused {fused}, clip {value_clip}, norm {max_grad_norm}");
            agree(
                &case.update(0.5).critic_step,
                &difference(&params, &before),
                &what,
            );
        }
    }
}

/// A linear value function on 24 samples: where L-BFGS ends, the loss has no slope.
#[test]
fn lbfgs_ends_where_the_loss_is_least() {
    let critic = CriticConfig {
        method: CriticMethod::Lbfgs,
        epochs: 40,
        ..Default::default()
    };
    let mut config = Case::new("CartPole-v1", true, npg(critic)).config;
    config.network.hidden.clear();
    let case = Case::of(config);
    let returns = targets(&case);
    let slope = |params: &[f64]| {
        norm(&case.value_slope(params, &case.all(), |values| {
            (values - tensor(&returns)).square().mean() * 0.5
        }))
    };
    let before = case.critic_params();
    let after = sum(&before, &case.update(0.5).critic_step);
    let (start, end) = (slope(&before), slope(&after));
    assert!(end < 1e-3 * start, "a slope of {start:e} became {end:e}");
}
