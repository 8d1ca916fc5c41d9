use crate::{assert_close, device::device, matrix, numbers, vector};
use rand::{SeedableRng, rngs::SmallRng};
use uphill_core::{
    advantage::standardize,
    dist::DistKind,
    loss::*,
    nn::MlpConfig,
    ops::{Custom, actor_critic_gradient, kernel::select, sample},
    policy::{Actor, Critic},
    rollout::Batch,
};

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
    // On its bounds, 1.5 / 1.5 and 1.5 · 1.5, nothing changes.
    assert_eq!(adapt_kl_coef(3.0, 1.0, 1.5), 3.0);
    assert_eq!(adapt_kl_coef(3.0, 2.25, 1.5), 3.0);
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
    // A perfect critic beside large returns, and a bad one beside small returns.
    let large = vector(&[1000.0, 1000.0001]);
    let small = vector(&[1e-6, -1e-6]);
    for (values, returns) in [(large.clone(), large), (vector(&[100.0, -100.0]), small)] {
        let found = numbers(explained_variance(values, returns))[0];
        assert!(!found.is_finite(), "{found}");
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

#[test]
fn a_surrogate_knows_from_where_on_ratios_count_as_clipped() {
    assert_eq!(Surrogate::LogProb.clip(), 0.0);
    assert_eq!(Surrogate::Clipped { clip: 0.3 }.clip(), 0.3);
    let penalised = Surrogate::Penalised {
        kl_coef: 2.0,
        clip: 0.4,
    };
    assert_eq!(penalised.clip(), 0.4);
}

/// The loss of actor and critic, put together here from its parts.
#[test]
fn the_loss_of_actor_and_critic_is_the_sum_of_its_parts() {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut mlp = |outputs| MlpConfig::default().build(2, outputs, 1.0, &mut rng, &device());
    let kind = DistKind::Categorical { choices: 3 };
    let (actor, old) = (
        Actor::new(mlp(3), kind.clone()),
        Actor::new(mlp(3), kind.clone()),
    );
    let critic = Critic::new(mlp(1));
    let obs = matrix([[0.3, -1.0], [2.0, 0.1], [-0.5, 0.7]]);
    let actions = matrix([[0.0], [2.0], [1.0]]);
    let (dist, of_old) = (actor.dist(obs.clone()), old.dist(obs.clone()));
    let values = critic.values(obs.clone());
    let batch = Batch {
        obs: obs.into(),
        log_probs: of_old.log_prob(actions.clone()),
        values: values.clone() + 0.5,
        advantages: vector(&[1.0, -2.0, 0.5]),
        returns: vector(&[0.2, 1.0, -1.0]),
        actions: actions.clone(),
        sequences: None,
        agents: 1,
    };
    let log_probs = dist.log_prob(actions);
    let log_ratios = log_probs.clone() - batch.log_probs.clone();
    let clip = 0.05;
    for standardized in [false, true] {
        let advantages = match standardized {
            true => standardize(batch.advantages.clone()),
            false => batch.advantages.clone(),
        };
        let (log_ratios, a) = (log_ratios.clone(), advantages.clone());
        let penalised =
            ratio_surrogate(log_ratios.clone(), a.clone()) - of_old.kl(&dist).mean() * 3.0;
        for (surrogate, expected) in [
            (
                Surrogate::LogProb,
                policy_gradient_surrogate(log_probs.clone(), a.clone()),
            ),
            (
                Surrogate::Clipped { clip },
                clipped_surrogate(log_ratios.clone(), a.clone(), clip),
            ),
            (
                Surrogate::Custom(Custom::new(0.05, |log_ratio, advantage| {
                    sample::clipped_surrogate(log_ratio, advantage, 0.05)
                })),
                clipped_surrogate(log_ratios.clone(), a.clone(), clip),
            ),
            (Surrogate::Penalised { kl_coef: 3.0, clip }, penalised),
        ] {
            for value_clip in [0.0, 0.1] {
                let loss = ActorCriticLoss {
                    surrogate: surrogate.clone(),
                    value_clip,
                    value_coef: 0.7,
                    entropy_coef: 0.2,
                    standardize: standardized,
                };
                let parts = loss.on((&actor, &critic), &old, &batch);
                let of_values = if value_clip > 0.0 {
                    let (old, returns) = (batch.values.clone(), batch.returns.clone());
                    clipped_value_loss(values.clone(), old, returns, value_clip)
                } else {
                    value_loss(values.clone(), batch.returns.clone())
                };
                let (j, v, h) = (
                    numbers(expected.clone())[0],
                    numbers(of_values)[0],
                    numbers(dist.entropy().mean())[0],
                );
                assert_close(parts.total, &[0.7 * v - j - 0.2 * h], 1e-5);
                assert_close(parts.surrogate, &[j], 1e-6);
                assert_close(parts.value_loss, &[v], 1e-6);
                assert_close(parts.entropy, &[h], 1e-6);
                assert_close(parts.log_ratios, &numbers(log_ratios.clone()), 1e-6);
            }
        }
    }
}

/// Dual clipping (Ye et al., arXiv:1912.09729) with c = 1.5: on tensors its gradient is that of fused loops, and of its
/// formula in Burn's operations.
#[test]
fn the_gradient_of_a_surrogate_of_ones_own() {
    let mut rng = SmallRng::seed_from_u64(4);
    let mut mlp = |outputs| MlpConfig::default().build(2, outputs, 1.0, &mut rng, &device());
    let actor = Actor::new(mlp(3), DistKind::Categorical { choices: 3 });
    let critic = Critic::new(mlp(1));
    let obs = matrix([[0.3, -1.0], [2.0, 0.1], [-0.5, 0.7], [1.0, 1.0]]);
    let actions = matrix([[0.0], [2.0], [1.0], [1.0]]);
    let log_probs = actor.dist(obs.clone()).log_prob(actions.clone());
    let batch = Batch {
        // Ratios of 1.65, 1.65, 0.67 and 1.1.
        log_probs: log_probs - vector(&[0.5, 0.5, -0.4, 0.1]),
        values: vector(&[0.0; 4]),
        advantages: vector(&[-1.0, 2.0, -0.5, -1.5]),
        returns: vector(&[0.2, 1.0, -1.0, 0.4]),
        obs: obs.into(),
        actions,
        sequences: None,
        agents: 1,
    };
    let dual = |log_ratio: f32, advantage: f32| {
        let (value, slope) = sample::clipped_surrogate(log_ratio, advantage, 0.2);
        let lowest = 1.5 * advantage;
        let held = advantage < 0.0 && value < lowest;
        (select(held, lowest, value), select(held, 0.0, slope))
    };
    let loss = ActorCriticLoss {
        surrogate: Surrogate::Custom(Custom::new(0.2, dual)),
        value_clip: 0.0,
        value_coef: 0.5,
        entropy_coef: 0.0,
        standardize: false,
    };
    let tracked = actor.net.tracked();
    let recorded = actor.with_net(tracked.clone());
    let parts = loss.on((&recorded, &critic), &actor, &batch);
    let found = numbers(tracked.flat_grad(&parts.total.backward()));

    let tracked = actor.net.tracked();
    let dist = actor.with_net(tracked.clone()).dist_on(&batch);
    let ratios = (dist.log_prob(batch.actions.clone()) - batch.log_probs.clone()).exp();
    let a = batch.advantages.clone();
    let clipped = ratios.clone().clamp(0.8, 1.2) * a.clone();
    let clipped = (ratios * a.clone()).min_pair(clipped);
    // max(·, c A) where A < 0; where A > 0 nothing is below that.
    let lowest = a.clone() * 1.5;
    let exact = clipped
        .clone()
        .max_pair(lowest)
        .mask_where(a.greater_elem(0.0), clipped)
        .mean();
    assert_close(
        parts.surrogate,
        &numbers(exact.clone().without_autodiff()),
        1e-6,
    );
    let grads = exact.neg().backward();
    assert_close(vector32(&found), &numbers(tracked.flat_grad(&grads)), 1e-5);
    assert!(found.iter().any(|g| g.abs() > 1e-3));

    if let Some(([of_loops, _], _)) = actor_critic_gradient(&actor, &critic, &batch, &loss.in_f32())
    {
        assert_close(of_loops, &found, 1e-5);
    } else {
        assert!(!actor.net.fused(), "loops for a perceptron in host memory");
    }
}

fn vector32(numbers: &[f64]) -> burn::tensor::Tensor<1> {
    let narrow: Vec<f32> = numbers.iter().map(|x| *x as f32).collect();
    vector(&narrow)
}
