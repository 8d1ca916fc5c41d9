use crate::{assert_close, numbers, vector};
use uphill_core::loss::*;

#[test]
fn clipped_surrogate_takes_the_pessimistic_side() {
    // Ratios ½, 1, 2 with ε = 0.2.
    let log_ratios = vector(&[0.5f32.ln(), 0.0, 2f32.ln()]);
    // A > 0: min(½, 0.8), min(1, 1), min(2, 1.2) → ½ + 1 + 1.2.
    let up = clipped_surrogate(log_ratios.clone(), vector(&[1.0; 3]), 0.2);
    assert_close(up, &[2.7 / 3.0], 1e-5);
    // A < 0: min(−½, −0.8), −1, min(−2, −1.2) → −0.8 − 1 − 2.
    let down = clipped_surrogate(log_ratios, vector(&[-1.0; 3]), 0.2);
    assert_close(down, &[-3.8 / 3.0], 1e-5);
}

#[test]
fn policy_gradient_surrogate_is_a_weighted_mean() {
    let j = policy_gradient_surrogate(vector(&[-1.0, -2.0]), vector(&[3.0, -1.0]));
    assert_close(j, &[(-3.0 + 2.0) / 2.0], 1e-6);
}

#[test]
fn ratio_surrogate_weighs_advantages_by_ratios() {
    let log_ratios = vector(&[0.5f32.ln(), 0.0, 2f32.ln()]);
    let j = ratio_surrogate(log_ratios, vector(&[4.0, -1.0, 3.0]));
    assert_close(j, &[(2.0 - 1.0 + 6.0) / 3.0], 1e-6);
}

/// The rule of arXiv:1707.06347 §4 on both sides of both thresholds.
#[test]
fn the_kl_coefficient_follows_its_rule() {
    for (kl, expected) in [
        (0.0, 1.5),
        (0.0199 / 1.5 * 0.5, 1.5),
        (0.0101 / 1.5, 3.0),
        (0.01, 3.0),
        (0.0149, 3.0),
        (0.0151, 6.0),
        (1.0, 6.0),
    ] {
        assert_eq!(adapt_kl_coef(3.0, kl, 0.01), expected, "KL {kl}");
    }
    // It neither vanishes nor overflows.
    let (mut low, mut high) = (1.0, 1.0);
    for _ in 0..2000 {
        low = adapt_kl_coef(low, 0.0, 0.01);
        high = adapt_kl_coef(high, 1.0, 0.01);
    }
    assert_eq!((low, high), (1e-10, 1e10));
}

#[test]
fn value_losses_by_hand() {
    let (values, returns) = (vector(&[1.0, 2.0]), vector(&[2.0, 0.0]));
    assert_close(
        value_loss(values.clone(), returns.clone()),
        &[0.5 * (1.0 + 4.0) / 2.0],
        1e-6,
    );
    // Old values 0.5 and 2.5, ε = 0.1: clipped values 0.6 and 2.4, errors 1.96 and 5.76.
    let clipped = clipped_value_loss(values, vector(&[0.5, 2.5]), returns, 0.1);
    assert_close(clipped, &[0.5 * (1.96 + 5.76) / 2.0], 1e-5);
}

#[test]
fn approx_kl_is_k3() {
    let kl = approx_kl(vector(&[0.1, -0.2]));
    let k3 = |x: f64| x.exp() - 1.0 - x;
    assert_close(kl, &[(k3(0.1) + k3(-0.2)) / 2.0], 1e-6);
}

#[test]
fn clip_fraction_counts_ratios_outside() {
    let log_ratios = vector(&[0.0, 0.1, 0.3, -0.3]);
    assert_close(clip_fraction(log_ratios, 0.2), &[0.5], 1e-6);
}

#[test]
fn explained_variance_of_perfect_constant_and_wrong_critics() {
    let returns = vector(&[1.0, 2.0, 3.0, 4.0]);
    assert_close(
        explained_variance(returns.clone(), returns.clone()),
        &[1.0],
        1e-6,
    );
    assert_close(
        explained_variance(vector(&[7.0; 4]), returns.clone()),
        &[0.0],
        1e-6,
    );
    assert_close(
        explained_variance(returns.clone().neg(), returns),
        &[-3.0],
        1e-5,
    );
}

#[test]
fn returns_that_do_not_vary_have_no_variance_to_explain() {
    let values: Vec<f32> = (0..20_000).map(|i| (i as f32 * 0.7).sin()).collect();
    for constant in [0.0f32, 0.3, -1e4] {
        // As a trainer has them, advantages plus values: the sum is rounded.
        let advantages: Vec<f32> = values.iter().map(|value| constant - value).collect();
        let returns = vector(&advantages) + vector(&values);
        let found = numbers(explained_variance(vector(&values), returns))[0];
        assert!(!found.is_finite(), "{constant}: {found}");
    }
    // A thousandth around a thousand is spread.
    let returns: Vec<f32> = values.iter().map(|value| 1000.0 + value).collect();
    let close: Vec<f32> = values.iter().map(|value| 1000.0 + 0.5 * value).collect();
    assert_close(
        explained_variance(vector(&close), vector(&returns)),
        &[0.75],
        1e-3,
    );
}
