use crate::{assert_close, device::device, matrix, numbers, vector};
use burn::tensor::Tensor;
use rand::{SeedableRng, rngs::SmallRng};
use uphill_core::{
    baseline::{average, average_per_step, optimal, optimal_constant, trajectory_gradients},
    dist::DistKind,
    nn::MlpConfig,
    policy::Actor,
    rollout::{Memory, Rollout},
};

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

#[test]
fn a_trajectory_s_gradient_is_of_its_own_steps_alone() {
    let config = MlpConfig {
        hidden: vec![4],
        ..Default::default()
    };
    let mlp = config.build(2, 3, 1.0, &mut SmallRng::seed_from_u64(1), &device());
    let actor = Actor::new(mlp, DistKind::Categorical { choices: 3 });
    // Three steps of two trajectories, of which the second has two: its padding must not matter.
    let obs: Tensor<3> = vector(&[
        0.3, -1.2, 1.0, 0.4, -0.6, 0.1, 2.0, -0.7, 0.9, 0.2, 5.0, 5.0,
    ])
    .reshape([3, 2, 2]);
    let actions = matrix([[0.0, 1.0], [2.0, 2.0], [1.0, 0.0]]);
    let weights = matrix([[1.0, -2.0], [0.5, 3.0], [-1.5, 9.0]]);
    let unused = actions.clone();
    let none = unused.clone().greater_elem(9.0);
    let rollout = Rollout {
        obs: obs.clone().into(),
        actions: actions.clone().unsqueeze_dim(2),
        log_probs: unused.clone(),
        values: unused.clone(),
        next_values: unused.clone(),
        rewards: unused,
        terminated: none.clone(),
        truncated: none,
        lengths: Some(vec![3, 2]),
        agents: 1,
        memory: Memory::default(),
    };
    let found = trajectory_gradients(&actor, &rollout, weights.clone());
    for (i, len) in [(0, 3), (1, 2)] {
        let net = actor.net.tracked();
        let column = |x: &Tensor<2>| x.clone().narrow(1, i, 1).narrow(0, 0, len);
        let seen = obs
            .clone()
            .narrow(1, i, 1)
            .narrow(0, 0, len)
            .reshape([len, 2]);
        let dist = actor.with_net(net.clone()).dist(seen);
        let log_probs = dist.log_prob(column(&actions));
        let sum = (log_probs * column(&weights).squeeze_dim::<1>(1)).sum();
        let expected = numbers(net.flat_grad(&sum.backward()));
        assert_close(found.clone().narrow(0, i, 1), &expected, 1e-5);
    }
}
