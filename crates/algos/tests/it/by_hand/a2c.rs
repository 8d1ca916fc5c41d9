//! A2C: one step of both networks down c_V · ½ mean((V − R)²) − mean(A log π) − c_H H.

use super::{
    Case, ENVS, EPSILON, GAMMA, STEPS, agree, difference, norm, scaled, standard, sum, tensor,
};
use uphill_algos::{
    a2c::{A2cConfig, AdvantageEstimator},
    optimizer::OptimizerKind,
};
use uphill_core::{optim::RuleKind, schedule::Schedule};

const RATE: f64 = 0.05;
const CRITIC_RATE: f64 = 0.03;
const VALUE_COEF: f64 = 0.3;
const ENTROPY_COEF: f64 = 0.02;

/// Schedules that have these values half way through a run.
fn config() -> A2cConfig {
    let falling = |half: f64| Schedule::Linear {
        from: 2.0 * half,
        to: 0.0,
    };
    A2cConfig {
        steps: STEPS,
        gamma: GAMMA,
        gae_lambda: 0.7,
        n_step: 3,
        learning_rate: falling(RATE),
        critic_learning_rate: falling(CRITIC_RATE),
        rule: RuleKind::Sgd,
        epsilon: EPSILON,
        value_coef: VALUE_COEF,
        entropy_coef: falling(ENTROPY_COEF),
        max_grad_norm: 0.0,
        ..Default::default()
    }
}

/// Of the loss, by the parameters of actor and critic.
fn gradients(case: &Case, c: &A2cConfig) -> [Vec<f64>; 2] {
    let values = &case.numbers.values;
    let less_values = |returns: Vec<f64>| difference(&returns, values);
    let mut advantages = match c.estimator {
        AdvantageEstimator::Td => less_values(case.numbers.n_step_returns(GAMMA, 1)),
        AdvantageEstimator::NStep => less_values(case.numbers.n_step_returns(GAMMA, 3)),
        AdvantageEstimator::Gae => case.numbers.gae(GAMMA, 0.7),
        AdvantageEstimator::MonteCarlo => less_values(case.numbers.returns(GAMMA)),
    };
    let returns = sum(&advantages, values);
    if c.normalize_advantages {
        advantages = standard(&advantages);
    }
    let of_actor = case.policy_slope(&case.actor_params(), &case.all(), |dist, actions| {
        let surrogate = (dist.log_prob(actions) * tensor(&advantages)).mean();
        (surrogate + dist.entropy().mean() * ENTROPY_COEF).neg()
    });
    let of_critic = case.value_slope(&case.critic_params(), &case.all(), |values| {
        (values - tensor(&returns)).square().mean() * (0.5 * VALUE_COEF)
    });
    [of_actor, of_critic]
}

#[test]
fn every_estimator_steps_along_its_own_gradient() {
    use AdvantageEstimator::*;
    for env in ENVS {
        for fused in [true, false] {
            for estimator in [Td, NStep, Gae, MonteCarlo] {
                for normalize_advantages in [true, false] {
                    let c = A2cConfig {
                        estimator,
                        normalize_advantages,
                        ..config()
                    };
                    let case = Case::new(env, fused, c.clone());
                    let [of_actor, of_critic] = gradients(&case, &c);
                    let moved = case.update(0.5);
                    let what = format!("{env} {estimator:?} {normalize_advantages}");
                    agree(&moved.actor_step, &scaled(&of_actor, -RATE), &what);
                    agree(&moved.critic_step, &scaled(&of_critic, -RATE), &what);
                }
            }
        }
    }
}

#[test]
fn separate_optimisers_have_rates_and_norms_of_their_own() {
    let c = A2cConfig {
        optimizer: OptimizerKind::Separate,
        max_grad_norm: 0.05,
        ..config()
    };
    let case = Case::new("CartPole-v1", true, c.clone());
    let [of_actor, of_critic] = gradients(&case, &c);
    let moved = case.update(0.5);
    let short = |grad: &[f64], rate: f64| scaled(grad, -rate * 0.05 / norm(grad));
    agree(&moved.actor_step, &short(&of_actor, RATE), "actor");
    agree(
        &moved.critic_step,
        &short(&of_critic, CRITIC_RATE),
        "critic",
    );
}

#[test]
fn a_shared_optimiser_shortens_by_the_norm_of_both() {
    let c = A2cConfig {
        max_grad_norm: 0.05,
        ..config()
    };
    let case = Case::new("CartPole-v1", true, c.clone());
    let [of_actor, of_critic] = gradients(&case, &c);
    let both = norm(&[of_actor.clone(), of_critic.clone()].concat());
    let moved = case.update(0.5);
    let short = |grad: &[f64]| scaled(grad, -RATE * 0.05 / both);
    agree(&moved.actor_step, &short(&of_actor), "actor");
    agree(&moved.critic_step, &short(&of_critic), "critic");
    let reported = moved.metrics.get("grad_norm").unwrap();
    assert!((reported / both - 1.0).abs() < 1e-4, "{reported}");
}

/// v = (1 − α) g² after the first gradient; ε stands outside the root.
#[test]
fn rms_prop_divides_by_the_root_of_its_mean_square() {
    let c = A2cConfig {
        rule: RuleKind::RmsProp,
        ..config()
    };
    let case = Case::new("Pendulum-v1", true, c.clone());
    let [of_actor, of_critic] = gradients(&case, &c);
    let moved = case.update(0.5);
    let step = |g: &f64| -RATE * g / ((0.01 * g * g).sqrt() + EPSILON);
    let steps = |grad: &[f64]| -> Vec<f64> { grad.iter().map(step).collect() };
    agree(&moved.actor_step, &steps(&of_actor), "actor");
    agree(&moved.critic_step, &steps(&of_critic), "critic");
}
