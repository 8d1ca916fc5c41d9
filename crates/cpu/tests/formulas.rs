//! Small formulas, by hand.

use std::sync::Arc;
use uphill_cpu::{
    acting::{Policy, RowNorm},
    adam::{clip_norm, shortening},
    dist::{Choices, RowDist},
    kernel::{clip, spread},
    loss::Custom,
    mlp::Weights,
    rng::NoiseAt,
    shape::{Activation, MlpShape},
};

fn choices(of: &[usize]) -> RowDist {
    RowDist::Categorical(Choices::new(of).expect("few choices"))
}

#[test]
fn numbers_are_clipped_and_spread() {
    assert_eq!([3.0, -3.0, 0.5].map(|x| clip(x, 2.0)), [2.0, -2.0, 0.5]);
    assert!(clip(f32::NAN, 2.0).is_nan());
    assert_eq!([0.0, 0.25, 0.5].map(|u| spread(u, 2.0)), [-2.0, -1.0, 0.0]);
}

#[test]
fn gradients_are_shortened_to_a_little_less_than_the_limit() {
    // 1e-6 / (1e-5 + 1e-6)
    assert!((shortening(1e-5, 1e-6) - 1.0 / 11.0).abs() < 1e-6);
    assert_eq!([shortening(3.0, 0.0), shortening(3.0, 4.0)], [1.0; 2]);
    let mut grad = [3.0, 4.0];
    assert_eq!(clip_norm(&mut grad, 2.5), 5.0);
    assert!((grad[0] - 1.5).abs() < 1e-5 && (grad[1] - 2.0).abs() < 1e-5);
}

#[test]
fn among_equals_the_first_is_chosen() {
    let mut action = [9.0];
    let log_prob = choices(&[3]).sample(&[1.0; 3], &[], &[0.5; 3], &mut action);
    assert_eq!(action, [0.0]);
    assert!((f64::from(log_prob) + 3f64.ln()).abs() < 1e-6);
}

#[test]
fn one_choice_is_categorical_and_alone() {
    assert!(choices(&[3]).is_one_choice());
    assert!(!choices(&[3, 2]).is_one_choice());
    assert!(!RowDist::Gaussian.is_one_choice());
}

#[test]
fn a_position_moves_by_steps() {
    let at = NoiseAt::actions(7, 100);
    assert_eq!(at.after(5), NoiseAt::actions(7, 105));
    assert_eq!(at.after(0), at);
}

#[test]
fn surrogates_are_equal_to_themselves_alone() {
    let made = |clip| {
        Custom::new(clip, |log_ratio, advantage| {
            (log_ratio * advantage, advantage)
        })
    };
    let (a, b) = (made(0.2), made(0.2));
    assert!(a == a.clone() && a != b);
}

/// A policy with the identity as its network: a Gaussian around normalised observations.
fn mean_of(clip: f32, obs: f32) -> f32 {
    let shape = MlpShape {
        widths: vec![1, 1],
        activation: Activation::Tanh,
        log_stds: 1,
        masked: false,
    };
    let weights = Arc::new(Weights::new(&shape, &[1.0, 0.0, 0.0]));
    let norm = RowNorm {
        mean: vec![2.0],
        std: vec![0.5],
        clip,
    };
    let mut policy = Policy::new(weights, RowDist::Gaussian, Some(norm), vec![], 1);
    let (mut action, mut log_prob) = ([0.0], [0.0]);
    policy.act(&[obs], &[0.0], &mut action, &mut log_prob);
    action[0]
}

#[test]
fn normalised_observations_are_clipped_unless_the_limit_is_zero() {
    assert_eq!(mean_of(3.0, 5.0), 3.0);
    assert_eq!(mean_of(3.0, 0.0), -3.0);
    assert_eq!(mean_of(3.0, 3.0), 2.0);
    assert_eq!(mean_of(0.0, 5.0), 6.0);
}
