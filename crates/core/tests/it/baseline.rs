use crate::{assert_close, matrix, vector};
use uphill_core::baseline::{average, average_per_step, optimal, optimal_constant};

#[test]
fn the_average_of_the_others() {
    assert_close(average(vector(&[1.0, 2.0, 6.0])), &[4.0, 3.5, 1.5], 1e-6);
    assert_close(average(vector(&[5.0])), &[0.0], 0.0);
}

#[test]
fn the_average_at_each_step_is_that_of_the_others_still_running() {
    // Lengths 2, 1, 2. What padding holds (9) must not matter.
    let returns = matrix([[1.0, 2.0, 6.0], [3.0, 9.0, 5.0]]);
    let mask = matrix([[1.0, 1.0, 1.0], [1.0, 0.0, 1.0]]);
    // Step 1: trajectory 0 has only 2 to compare with and the reverse.
    let expected = [4.0, 3.5, 1.5, 5.0, 4.0, 3.0];
    assert_close(average_per_step(returns, mask), &expected, 1e-6);
}

#[test]
fn a_trajectory_that_outlasts_the_others_has_no_baseline() {
    let returns = matrix([[1.0, 2.0], [3.0, 9.0]]);
    let mask = matrix([[1.0, 1.0], [1.0, 0.0]]);
    let found = average_per_step(returns, mask);
    assert_close(found.narrow(1, 0, 1), &[2.0, 0.0], 1e-6);
}

#[test]
fn the_optimal_constant_weighs_returns_by_squared_score_norms() {
    // ‖S‖² = 1, 4, 25 and R = 2, −1, 3.
    let scores = matrix([[1.0, 0.0], [0.0, 2.0], [3.0, 4.0]]);
    let gradients = matrix([[2.0, 0.0], [0.0, -2.0], [9.0, 12.0]]);
    let found = optimal_constant(
        scores.clone(),
        gradients.clone(),
        vector(&[0.5, 0.25, 0.25]),
    );
    let expected = (0.5 * 2.0 - 0.25 * 4.0 + 0.25 * 75.0) / (0.5 + 1.0 + 6.25);
    assert_close(found, &[expected], 1e-6);
    // Left out one by one: (−4 + 75) / 29, (2 + 75) / 26, (2 − 4) / 5.
    let expected = [71.0 / 29.0, 77.0 / 26.0, -2.0 / 5.0];
    assert_close(optimal(scores, gradients), &expected, 1e-6);
}

#[test]
fn a_single_trajectory_has_no_optimal_baseline() {
    assert_close(
        optimal(matrix([[1.0, 2.0]]), matrix([[3.0, 6.0]])),
        &[0.0],
        0.0,
    );
}

#[test]
fn small_scores_are_not_lost_beside_large_ones() {
    let scores = matrix([[1e6], [1.0], [1.0]]);
    let gradients = matrix([[1e6], [2.0], [4.0]]);
    let found = optimal(scores, gradients);
    assert_close(found.narrow(0, 0, 1), &[3.0], 1e-6);
}
