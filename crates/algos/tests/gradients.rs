//! Every estimator of the policy gradient against the exact gradient of a decision process whose
//! trajectories can be enumerated, in f64: where theory says unbiased, the expectation *is* the gradient.
//!
//! A binary of its own: the float type of a device is fixed once per process.

#![allow(clippy::unwrap_used)]

#[path = "gradients/checkpoint.rs"]
mod checkpoint;
#[path = "gradients/memory.rs"]
mod memory;

use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use rand::{SeedableRng, rngs::SmallRng};
use std::sync::OnceLock;
use uphill_algos::{
    lab::{
        Spread, enumerate,
        estimator::GradientEstimator,
        exact_gradient,
        mdp::TinyMdp,
        problem::Problem,
        study::{self, StudyConfig},
    },
    policy_gradient::estimate,
    reinforce::{Baseline, Credit, ReinforceConfig, weights},
};
use uphill_core::{
    advantage::{Estimator, discounts},
    baseline::{optimal_constant, trajectory_gradients},
    dist::DistKind,
    nn::{Init, MlpConfig},
    policy::Actor,
    rollout::Rollout,
};

const GAMMA: f64 = 0.8;
const BASELINES: [Baseline; 4] = [
    Baseline::None,
    Baseline::Average,
    Baseline::Optimal,
    Baseline::Value,
];
const CREDITS: [Credit; 2] = [Credit::Trajectory, Credit::RewardToGo];

fn device() -> Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    let make = || {
        let mut device = Device::flex();
        device.configure(FloatDType::F64).unwrap();
        device
    };
    DEVICE.get_or_init(make).clone()
}

fn vector(values: &[f64]) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), &device())
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter().collect()
}

/// A small network that prefers some actions, so that nothing cancels by symmetry.
fn actor(mdp: &TinyMdp) -> Actor {
    let config = MlpConfig {
        hidden: vec![3],
        init: Init::Uniform,
        ..Default::default()
    };
    let (states, choices) = (mdp.states(), mdp.actions());
    let mut rng = SmallRng::seed_from_u64(4);
    let net = config.build(states, choices, 1.0, &mut rng, &device());
    Actor::new(net, DistKind::Categorical { choices })
}

/// Values that are not those of the policy.
fn wrong_values(mdp: &TinyMdp) -> Tensor<2> {
    let values: Vec<f64> = (0..mdp.horizon * mdp.states())
        .map(|i| (i as f64 * 1.7).sin() * 2.0)
        .collect();
    vector(&values).reshape([mdp.horizon, mdp.states()])
}

fn exact_values(mdp: &TinyMdp, actor: &Actor) -> Tensor<2> {
    mdp.values(mdp.log_probs(actor), GAMMA)
}

/// ‖a − b‖ / ‖b‖.
fn distance(a: Tensor<1>, b: Tensor<1>) -> f64 {
    let norm = |x: Tensor<1>| numbers(x.square().sum())[0].sqrt();
    let size = norm(b.clone());
    assert!(size > 1e-2, "this test sees no slope: {size}");
    norm(a - b) / size
}

#[track_caller]
fn unbiased(spread: &Spread, exact: &Tensor<1>, what: &str) {
    let error = distance(spread.mean.clone(), exact.clone());
    assert!(error < 1e-10, "{what}: off by {error:e}");
}

#[track_caller]
fn biased(spread: &Spread, exact: &Tensor<1>, what: &str) {
    let error = distance(spread.mean.clone(), exact.clone());
    assert!(error > 1e-2, "{what}: off by only {error:e}");
}

fn variance(spread: &Spread) -> f64 {
    numbers(spread.variance.clone())[0]
}

fn settings(credit: Credit, baseline: Baseline) -> ReinforceConfig {
    ReinforceConfig {
        credit,
        baseline,
        gamma: GAMMA,
        ..Default::default()
    }
}

/// REINFORCE with `count` trajectories.
fn reinforce(config: &ReinforceConfig, count: usize) -> Spread {
    let mdp = TinyMdp::example();
    let actor = actor(&mdp);
    enumerate(&mdp, &actor, wrong_values(&mdp), count, |rollout| {
        estimate(&actor, rollout, weights(config, &actor, rollout))
    })
}

#[test]
fn trajectories_are_all_there_are() {
    let mdp = TinyMdp::example();
    let actor = actor(&mdp);
    let trajectories = mdp.trajectories();
    assert_eq!(trajectories.len(), 15);
    let log_probs = mdp.log_probs(&actor);
    let probabilities = numbers(mdp.probabilities(&trajectories, log_probs.clone()));
    assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    let returns = trajectories
        .iter()
        .map(|path| mdp.discounted_return(path, GAMMA));
    let mean: f64 = returns.zip(&probabilities).map(|(r, p)| r * p).sum();
    let objective = numbers(mdp.objective(log_probs, GAMMA))[0];
    assert!((mean - objective).abs() < 1e-12, "{mean} {objective}");
}

#[test]
fn the_exact_gradient_is_that_of_central_differences() {
    const STEP: f64 = 1e-5;
    let mdp = TinyMdp::example();
    let actor = actor(&mdp);
    let at = numbers(actor.net.flat());
    let objective = |params: &[f64]| {
        let moved = actor.with_net(actor.net.with_flat(vector(params)));
        numbers(mdp.objective(mdp.log_probs(&moved), GAMMA))[0]
    };
    let slope = |i: usize| {
        let (mut up, mut down) = (at.clone(), at.clone());
        up[i] += STEP;
        down[i] -= STEP;
        (objective(&up) - objective(&down)) / (2.0 * STEP)
    };
    let slopes: Vec<f64> = (0..at.len()).map(slope).collect();
    let error = distance(exact_gradient(&mdp, &actor, GAMMA), vector(&slopes));
    assert!(error < 1e-8, "{error:e}");
}

/// Two trajectories, so that the baselines that leave one out have another one.
#[test]
fn reinforce_is_unbiased_with_every_credit_and_every_baseline() {
    let mdp = TinyMdp::example();
    let exact = exact_gradient(&mdp, &actor(&mdp), GAMMA);
    for credit in CREDITS {
        for baseline in BASELINES {
            let spread = reinforce(&settings(credit, baseline), 2);
            unbiased(&spread, &exact, &format!("{credit:?} {baseline:?}"));
        }
    }
}

/// Leaving one of three out leaves a mean of two, and a constant that two trajectories agree on.
#[test]
fn baselines_of_the_other_trajectories_are_unbiased_with_three() {
    let mdp = TinyMdp::example();
    let exact = exact_gradient(&mdp, &actor(&mdp), GAMMA);
    for credit in CREDITS {
        for baseline in [Baseline::Average, Baseline::Optimal] {
            let spread = reinforce(&settings(credit, baseline), 3);
            unbiased(&spread, &exact, &format!("{credit:?} {baseline:?}"));
        }
    }
}

#[test]
fn a_baseline_that_includes_its_own_trajectory_is_biased() {
    let mdp = TinyMdp::example();
    let actor = actor(&mdp);
    let exact = exact_gradient(&mdp, &actor, GAMMA);
    let config = settings(Credit::Trajectory, Baseline::None);
    let spread = enumerate(&mdp, &actor, wrong_values(&mdp), 2, |rollout| {
        let weights = weights(&config, &actor, rollout);
        let mean = weights.clone().narrow(0, 0, 1).mean_dim(1);
        estimate(&actor, rollout, weights.sub(mean.expand([3, 2])))
    });
    biased(&spread, &exact, "mean of both");
    // Half of each return is subtracted from itself: half of the gradient is gone.
    unbiased(&spread, &(exact * 0.5), "half");
}

#[test]
fn leaving_out_the_discount_of_late_steps_follows_another_gradient() {
    let mdp = TinyMdp::example();
    let actor = actor(&mdp);
    let config = ReinforceConfig {
        discount_steps: false,
        ..settings(Credit::RewardToGo, Baseline::None)
    };
    let exact = exact_gradient(&mdp, &actor, GAMMA);
    biased(&reinforce(&config, 1), &exact, "γ < 1");
    let undiscounted = ReinforceConfig {
        gamma: 1.0,
        ..config
    };
    let exact = exact_gradient(&mdp, &actor, 1.0);
    unbiased(&reinforce(&undiscounted, 1), &exact, "γ = 1");
}

/// Σ_t γᵗ ∇ log π A_t with one trajectory.
fn with_estimator(estimator: Estimator, values: Tensor<2>) -> Spread {
    let mdp = TinyMdp::example();
    let actor = actor(&mdp);
    enumerate(&mdp, &actor, values, 1, |rollout: &Rollout| {
        let [steps, count] = rollout.dims();
        let scale = discounts(steps, GAMMA, &device()).expand([steps, count]);
        let advantages = estimator.advantages(&rollout.trace(), GAMMA);
        estimate(&actor, rollout, advantages * scale)
    })
}

#[test]
fn every_advantage_estimator_is_unbiased_with_the_exact_value_function() {
    let mdp = TinyMdp::example();
    let actor = actor(&mdp);
    let exact = exact_gradient(&mdp, &actor, GAMMA);
    let mut estimators = vec![Estimator::Td, Estimator::MonteCarlo];
    estimators.extend((0..3).map(|n| Estimator::NStep { n }));
    estimators.extend([0.0, 0.3, 0.95, 1.0].map(|lambda| Estimator::Gae { lambda }));
    for estimator in estimators {
        let spread = with_estimator(estimator, exact_values(&mdp, &actor));
        unbiased(&spread, &exact, &format!("{estimator:?}"));
    }
}

#[test]
fn with_a_wrong_value_function_only_whole_returns_stay_unbiased() {
    let mdp = TinyMdp::example();
    let exact = exact_gradient(&mdp, &actor(&mdp), GAMMA);
    let spread = |estimator| with_estimator(estimator, wrong_values(&mdp));
    for estimator in [
        Estimator::MonteCarlo,
        Estimator::Gae { lambda: 1.0 },
        Estimator::NStep { n: 2 },
    ] {
        unbiased(&spread(estimator), &exact, &format!("{estimator:?}"));
    }
    let error = |lambda| {
        let spread = spread(Estimator::Gae { lambda });
        distance(spread.mean, exact.clone())
    };
    // λ trades bias for variance.
    let errors = [0.0, 0.5, 0.9, 1.0].map(error);
    assert!(errors.is_sorted_by(|a, b| a > b), "{errors:?}");
    biased(&spread(Estimator::Td), &exact, "TD");
    biased(&spread(Estimator::NStep { n: 1 }), &exact, "two steps");
}

/// Σ_t ∇ log π A_t, in which late steps count like early ones, is the gradient where γ = 1.
#[test]
fn without_a_discount_estimators_need_no_weights_of_steps() {
    let mdp = TinyMdp::example();
    let actor = actor(&mdp);
    let spread = |estimator: Estimator, gamma, values| {
        enumerate(&mdp, &actor, values, 1, |rollout| {
            estimate(
                &actor,
                rollout,
                estimator.advantages(&rollout.trace(), gamma),
            )
        })
    };
    let exact = exact_gradient(&mdp, &actor, 1.0);
    let right = mdp.values(mdp.log_probs(&actor), 1.0);
    for estimator in [
        Estimator::Td,
        Estimator::NStep { n: 1 },
        Estimator::Gae { lambda: 0.5 },
        Estimator::MonteCarlo,
    ] {
        let what = format!("{estimator:?}");
        unbiased(&spread(estimator, 1.0, right.clone()), &exact, &what);
    }
    for estimator in [Estimator::MonteCarlo, Estimator::Gae { lambda: 1.0 }] {
        let what = format!("{estimator:?}, wrong values");
        unbiased(&spread(estimator, 1.0, wrong_values(&mdp)), &exact, &what);
    }
    biased(
        &spread(Estimator::Td, 1.0, wrong_values(&mdp)),
        &exact,
        "TD",
    );
    let discounted = spread(Estimator::MonteCarlo, GAMMA, exact_values(&mdp, &actor));
    biased(&discounted, &exact_gradient(&mdp, &actor, GAMMA), "γ < 1");
}

#[test]
fn with_the_exact_value_function_variance_grows_with_lambda() {
    let mdp = TinyMdp::example();
    let values = exact_values(&mdp, &actor(&mdp));
    let spread = |lambda| variance(&with_estimator(Estimator::Gae { lambda }, values.clone()));
    let variances = [0.0, 0.5, 1.0].map(spread);
    assert!(variances.is_sorted_by(|a, b| a < b), "{variances:?}");
    let none = variance(&reinforce(&settings(Credit::RewardToGo, Baseline::None), 1));
    assert!(variances[2] < none, "{variances:?} {none}");
}

#[test]
fn rewards_to_go_vary_less_than_whole_returns() {
    let spread = |credit| variance(&reinforce(&settings(credit, Baseline::None), 1));
    let (whole, to_go) = (spread(Credit::Trajectory), spread(Credit::RewardToGo));
    assert!(to_go < whole, "{to_go} {whole}");
}

#[test]
fn variance_falls_with_the_number_of_trajectories() {
    for credit in CREDITS {
        let config = settings(credit, Baseline::None);
        let (one, two) = (reinforce(&config, 1), reinforce(&config, 2));
        let ratio = variance(&one) / variance(&two);
        assert!((ratio - 2.0).abs() < 1e-9, "{ratio}");
    }
}

/// The variance of Σ_t γᵗ ∇ log π (G_t − b) as a function of the constant b is a parabola; its lowest point
/// is where `optimal_constant` says.
#[test]
fn no_constant_baseline_has_less_variance_than_the_optimal_one() {
    let mdp = TinyMdp::example();
    let actor = actor(&mdp);
    let trajectories = mdp.trajectories();
    let all: Vec<_> = trajectories.iter().collect();
    let rollout = mdp.rollout(&all, &actor, wrong_values(&mdp));
    let probabilities = mdp.probabilities(&trajectories, mdp.log_probs(&actor));
    let [steps, count] = rollout.dims();
    let studied = study::estimators(
        &mut Problem::Mdp(mdp.clone()),
        &actor,
        &StudyConfig {
            gamma: GAMMA,
            repeats: 2,
            reference: 2,
            fit: trajectories.len(),
            critic_steps: 0,
            critic_learning_rate: 1e-3,
            seed: 1,
        },
    );
    for credit in CREDITS {
        let scale = match credit {
            Credit::Trajectory => Tensor::ones([steps, count], &device()),
            Credit::RewardToGo => discounts(steps, GAMMA, &device()).expand([steps, count]),
        };
        let none = settings(credit, Baseline::None);
        let scores = trajectory_gradients(&actor, &rollout, scale.clone());
        let returns = weights(&none, &actor, &rollout);
        let gradients = trajectory_gradients(&actor, &rollout, returns);
        let best = numbers(optimal_constant(scores, gradients, probabilities.clone()))[0];
        // The laboratory's is this one, and no estimate.
        assert!(studied.iter().any(|estimator| matches!(
            estimator,
            GradientEstimator::Constant { credit: c, constant }
                if *c == credit && (constant / best - 1.0).abs() < 1e-12
        )));

        let with = |constant: f64| {
            let spread = enumerate(&mdp, &actor, wrong_values(&mdp), 1, |rollout| {
                let scale = scale.clone().narrow(1, 0, 1) * constant;
                estimate(&actor, rollout, weights(&none, &actor, rollout) - scale)
            });
            variance(&spread)
        };
        let least = with(best);
        let curvature = with(best + 1.0) - least;
        assert!(curvature > 0.0);
        for shift in [-3.0, -0.5, -0.01, 0.01, 0.7, 4.0, -best] {
            let expected = least + curvature * shift * shift;
            let found = with(best + shift);
            assert!(found > least, "{credit:?}: {shift}");
            assert!((found / expected - 1.0).abs() < 1e-9, "{credit:?}: {shift}");
        }
    }
}

#[test]
fn gradients_of_trajectories_add_up_to_that_of_the_rollout() {
    let mdp = TinyMdp::example();
    let actor = actor(&mdp);
    let trajectories = mdp.trajectories();
    let all: Vec<_> = trajectories.iter().collect();
    let rollout = mdp.rollout(&all, &actor, wrong_values(&mdp));
    let weights = rollout.rewards.clone() * 0.3 + 1.0;
    let each = trajectory_gradients(&actor, &rollout, weights.clone());
    let whole = estimate(&actor, &rollout, weights) * trajectories.len() as f64;
    let error = distance(each.sum_dim(0).squeeze_dim(0), whole);
    assert!(error < 1e-12, "{error:e}");
}
