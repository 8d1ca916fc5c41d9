//! Steepest ascent, natural gradient and TRPO: one step of the policy, with a Fisher matrix that is written down.

use super::{Case, ENVS, GAMMA, STEPS, agree, norm, numbers, scaled, standard, sum, tensor};
use uphill_algos::{
    AlgoConfig,
    a2c::A2cConfig,
    critic_fit::CriticConfig,
    npg::NpgConfig,
    ppo::{Objective, PpoConfig},
    reinforce::ReinforceConfig,
    trpo::TrpoConfig,
    trust_region::TrustRegionConfig,
    vpg::VpgConfig,
};
use uphill_core::schedule::Schedule;

const ENTROPY_COEF: f64 = 0.05;
const DAMPING: f64 = 0.2;

/// Has this value half way through a run.
fn falling(half: f64) -> Schedule {
    Schedule::Linear {
        from: 2.0 * half,
        to: 0.0,
    }
}

fn npg(max_kl: f64) -> NpgConfig {
    NpgConfig {
        steps: STEPS,
        gamma: GAMMA,
        gae_lambda: 0.7,
        max_kl: falling(max_kl),
        // As many as it takes.
        cg_steps: 60,
        cg_damping: DAMPING,
        normalize_advantages: false,
        entropy_coef: falling(ENTROPY_COEF),
        critic: CriticConfig {
            minibatches: 1,
            ..Default::default()
        },
        ..Default::default()
    }
}

fn trpo(max_kl: f64) -> TrpoConfig {
    let c = npg(max_kl);
    TrpoConfig {
        steps: c.steps,
        gamma: c.gamma,
        gae_lambda: c.gae_lambda,
        max_kl: c.max_kl,
        cg_steps: c.cg_steps,
        cg_damping: c.cg_damping,
        normalize_advantages: c.normalize_advantages,
        entropy_coef: c.entropy_coef,
        critic: c.critic,
        ..Default::default()
    }
}

fn trust_region(normalize_advantages: bool) -> TrustRegionConfig {
    let c = npg(1.0);
    TrustRegionConfig {
        steps: c.steps,
        gamma: c.gamma,
        gae_lambda: c.gae_lambda,
        epsilon: falling(0.04),
        normalize_advantages,
        entropy_coef: c.entropy_coef,
        critic: c.critic,
    }
}

fn advantages(case: &Case, normalized: bool) -> Vec<f64> {
    let advantages = case.numbers.gae(GAMMA, 0.7);
    if normalized {
        standard(&advantages)
    } else {
        advantages
    }
}

/// E[A ∇ log π] + c_H ∇H.
fn gradient(case: &Case, advantages: &[f64]) -> Vec<f64> {
    case.policy_slope(&case.actor_params(), &case.all(), |dist, actions| {
        let surrogate = (dist.log_prob(actions) * tensor(advantages)).mean();
        surrogate + dist.entropy().mean() * ENTROPY_COEF
    })
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// F = mean over samples of Σ_a π(a) ∇ log π(a) ∇ log π(a)ᵀ, for two choices.
fn fisher(case: &Case, rows: &[usize]) -> Vec<Vec<f64>> {
    let params = case.actor_params();
    let mut matrix = vec![vec![0.0; params.len()]; params.len()];
    for row in rows {
        for action in [0.0, 1.0] {
            let mut probability = 0.0;
            let score = case.policy_slope(&params, &[*row], |dist, actions| {
                let log_prob = dist.log_prob(actions.zeros_like() + action);
                probability = numbers(log_prob.clone().without_autodiff())[0].exp();
                log_prob
            });
            for (line, s) in matrix.iter_mut().zip(&score) {
                let weight = s * probability / rows.len() as f64;
                *line = sum(line, &scaled(&score, weight));
            }
        }
    }
    matrix
}

/// The solution of a system of linear equations with a positive definite matrix, by elimination.
fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Vec<f64> {
    let len = right.len();
    for i in 0..len {
        for j in i + 1..len {
            let factor = matrix[j][i] / matrix[i][i];
            let line = scaled(&matrix[i], -factor);
            matrix[j] = sum(&matrix[j], &line);
            right[j] -= factor * right[i];
        }
    }
    for i in (0..len).rev() {
        let known: f64 = (i + 1..len).map(|j| matrix[i][j] * right[j]).sum();
        right[i] = (right[i] - known) / matrix[i][i];
    }
    right
}

/// √(2δ / gᵀx) x with x = (F + λI)⁻¹ g.
fn natural_step(fisher: &[Vec<f64>], gradient: &[f64], max_kl: f64) -> Vec<f64> {
    let mut damped = fisher.to_vec();
    for (i, line) in damped.iter_mut().enumerate() {
        line[i] += DAMPING;
    }
    let x = solve(damped, gradient.to_vec());
    scaled(&x, (2.0 * max_kl / dot(gradient, &x)).sqrt())
}

#[test]
fn steepest_ascent_goes_a_fixed_length_along_the_gradient() {
    for env in ENVS {
        for (fused, normalized) in [(true, true), (true, false), (false, true)] {
            let case = Case::new(env, fused, trust_region(normalized));
            let gradient = gradient(&case, &advantages(&case, normalized));
            let length = (0.04 / dot(&gradient, &gradient)).sqrt();
            let moved = case.update(0.5);
            agree(&moved.actor_step, &scaled(&gradient, length), env);
        }
    }
}

#[test]
fn the_natural_gradient_solves_with_the_damped_fisher_matrix() {
    for fused in [true, false] {
        for normalized in [true, false] {
            let mut c = npg(0.003);
            c.normalize_advantages = normalized;
            let case = Case::new("CartPole-v1", fused, c);
            let gradient = gradient(&case, &advantages(&case, normalized));
            let expected = natural_step(&fisher(&case, &case.all()), &gradient, 0.003);
            agree(&case.update(0.5).actor_step, &expected, "natural gradient");
        }
    }
}

/// One sample in 24: every step is that of some sample's matrix, and in time most of them are met.
#[test]
fn the_fisher_matrix_is_of_samples_drawn_anew_in_every_iteration() {
    let mut c = npg(0.003);
    c.fisher_subsample = 0.04;
    let case = Case::new("CartPole-v1", true, c);
    let gradient = gradient(&case, &advantages(&case, false));
    let step = |row: usize| natural_step(&fisher(&case, &[row]), &gradient, 0.003);
    let steps: Vec<Vec<f64>> = case.all().into_iter().map(step).collect();
    let mut met = vec![0; steps.len()];
    for iteration in 0..60 {
        let found = case.update_in(iteration, 0.5).actor_step;
        let distance = |step: &Vec<f64>| norm(&super::difference(step, &found));
        let distances: Vec<f64> = steps.iter().map(distance).collect();
        let nearest = (0..steps.len()).min_by(|a, b| distances[*a].total_cmp(&distances[*b]));
        let nearest = nearest.unwrap();
        agree(&found, &steps[nearest], "the step of a sample");
        met[nearest] += 1;
    }
    let kinds = met.iter().filter(|count| **count > 0).count();
    assert!(kinds > 15, "of 24 samples {kinds} were drawn: {met:?}");
}

/// The longest of the steps 1, s, s², … that improves the objective and keeps the mean KL below its limit.
#[test]
fn the_line_search_takes_the_longest_step_that_may_be_taken() {
    let (mut taken, mut shrunk) = (0, 0);
    for env in ENVS {
        for max_kl in [0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0] {
            let mut c = trpo(max_kl);
            c.cg_steps = 10;
            c.cg_damping = 1e-4;
            let (shrink, tries) = (c.line_search_shrink, c.line_search_tries);
            let case = Case::new(env, true, c);
            let advantages = advantages(&case, false);
            let (old, _) = case.stock();
            let (obs, actions) = (case.obs(&case.all()), case.actions(&case.all()));
            let before = old.dist(obs.clone());
            let allowed = |step: &[f64]| {
                let params = tensor(&sum(&case.actor_params(), step));
                let after = old.with_net(old.net.with_flat(params)).dist(obs.clone());
                let ratios = after.log_prob(actions.clone()) - before.log_prob(actions.clone());
                let surrogate = ((ratios.exp() - 1.0) * tensor(&advantages)).mean();
                let entropy = (after.entropy() - before.entropy()).mean();
                let improvement = numbers(surrogate + entropy * ENTROPY_COEF)[0];
                improvement > 0.0 && numbers(before.kl(&after).mean())[0] <= max_kl
            };
            let moved = case.update(0.5);
            if moved.metrics.get("accepted") == Some(0.0) {
                assert_eq!(norm(&moved.actor_step), 0.0);
                continue;
            }
            taken += 1;
            let shrinks = moved.metrics.get("backtracks").unwrap() as i32;
            assert!(allowed(&moved.actor_step) && (shrinks as usize) < tries);
            for longer in 1..=shrinks {
                let step = scaled(&moved.actor_step, shrink.powi(-longer));
                assert!(!allowed(&step), "{env} {max_kl}: {longer} less would do");
            }
            shrunk += usize::from(shrinks > 0);
        }
    }
    assert!(
        taken > 8 && shrunk > 2,
        "{taken} steps, {shrunk} of them shorter"
    );
}

/// The first step that is tried is the natural gradient's.
#[test]
fn trpo_begins_with_the_natural_step() {
    let case = Case::new("CartPole-v1", true, trpo(0.003));
    let gradient = gradient(&case, &advantages(&case, false));
    let expected = natural_step(&fisher(&case, &case.all()), &gradient, 0.003);
    let moved = case.update(0.5);
    assert_eq!(moved.metrics.get("backtracks"), Some(0.0));
    agree(&moved.actor_step, &expected, "natural step");
}

/// With nothing to gain, only the entropy bonus is left to climb.
#[test]
fn without_advantages_entropy_rises() {
    let coef = Schedule::Constant(0.1);
    let with_kl = PpoConfig {
        objective: Objective::Kl,
        steps: STEPS,
        minibatches: 2,
        entropy_coef: coef,
        ..Default::default()
    };
    let algos: [AlgoConfig; 8] = [
        ReinforceConfig {
            entropy_coef: coef,
            ..Default::default()
        }
        .into(),
        VpgConfig {
            steps: STEPS,
            entropy_coef: coef,
            ..Default::default()
        }
        .into(),
        A2cConfig {
            steps: STEPS,
            entropy_coef: coef,
            ..Default::default()
        }
        .into(),
        PpoConfig {
            objective: Objective::Clip,
            ..with_kl.clone()
        }
        .into(),
        with_kl.into(),
        npg(0.01).into(),
        trpo(0.01).into(),
        trust_region(true).into(),
    ];
    for algo in algos {
        for env in ENVS {
            for fused in [true, false] {
                let what = format!("{} on {env}", algo.name());
                let mut case = Case::new(env, fused, algo.clone());
                let rollout = &mut case.rollout;
                let nothing = rollout.rewards.zeros_like();
                rollout.rewards = nothing.clone();
                rollout.values = nothing.clone();
                rollout.next_values = nothing;
                // As this policy acted.
                let (obs, actions) = (case.obs(&case.all()), case.actions(&case.all()));
                let before = case.actor.dist(obs.clone());
                case.rollout.log_probs = before.log_prob(actions).reshape(case.rollout.dims());
                let after = case.update(0.5).actor.dist(obs);
                let gain = numbers((after.entropy() - before.entropy()).mean())[0];
                assert!(gain > 1e-6, "{what}: entropy changed by {gain:e}");
            }
        }
    }
}
