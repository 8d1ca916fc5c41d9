//! Distributions of one's own against the built-in ones that they are another form of.

use crate::{assert_close, device::device, matrix, numbers, vector};
use burn::tensor::{
    Tensor,
    activation::{log_sigmoid, sigmoid},
};
use uphill_core::dist::{DistKind, Distribution, NoiseKind};

/// One of two actions from one number z: p(1) = 1/(1 + e⁻ᶻ).
#[derive(Debug)]
struct Coin;

impl Distribution for Coin {
    fn param_width(&self) -> usize {
        1
    }

    fn action_width(&self) -> usize {
        1
    }

    fn noise(&self) -> (usize, NoiseKind) {
        (1, NoiseKind::Uniform)
    }

    fn sample(&self, z: Tensor<2>, uniform: Tensor<2>) -> Tensor<2> {
        uniform.lower(sigmoid(z)).float()
    }

    fn log_prob(&self, z: Tensor<2>, actions: Tensor<2>) -> Tensor<1> {
        log_sigmoid(z * (actions * 2.0 - 1.0)).squeeze_dim(1)
    }

    fn entropy(&self, z: Tensor<2>) -> Tensor<1> {
        let share = sigmoid(z.clone());
        let other = share.clone().neg() + 1.0;
        (share * log_sigmoid(z.clone()) + other * log_sigmoid(z.neg()))
            .neg()
            .squeeze_dim(1)
    }

    fn mode(&self, z: Tensor<2>) -> Tensor<2> {
        z.greater_elem(0.0).float()
    }

    fn kl(&self, p: Tensor<2>, q: Tensor<2>) -> Option<Tensor<1>> {
        let share = sigmoid(p.clone());
        let other = share.clone().neg() + 1.0;
        let heads = share * (log_sigmoid(p.clone()) - log_sigmoid(q.clone()));
        let tails = other * (log_sigmoid(p.neg()) - log_sigmoid(q.neg()));
        Some((heads + tails).squeeze_dim(1))
    }

    fn fisher_mul(&self, z: Tensor<2>, tangent: Tensor<2>) -> Option<Tensor<2>> {
        let share = sigmoid(z);
        Some(share.clone() * (share.neg() + 1.0) * tangent)
    }
}

/// z as the logit of action 1 beside one of 0.
fn logits(z: Tensor<2>) -> Tensor<2> {
    Tensor::cat(vec![z.zeros_like(), z], 1)
}

#[test]
fn a_coin_is_a_categorical_distribution_over_two() {
    let (own, built_in) = (DistKind::custom(Coin), DistKind::Categorical { choices: 2 });
    let z = matrix([[-1.5], [0.2], [3.0]]);
    let w = matrix([[0.5], [-0.7], [2.0]]);
    let (p, q) = (own.with_params(z.clone()), own.with_params(w.clone()));
    let [a, b] = [z.clone(), w].map(|z| built_in.with_params(logits(z)));
    for action in [0.0, 1.0] {
        let actions = z.full_like(action);
        let expected = numbers(a.log_prob(actions.clone()));
        assert_close(p.log_prob(actions), &expected, 1e-6);
    }
    assert_close(p.entropy(), &numbers(a.entropy()), 1e-6);
    assert_close(p.mode(), &numbers(a.mode()), 0.0);
    assert_close(p.greedy(), &numbers(a.greedy()), 0.0);
    assert_close(p.kl(&q), &numbers(a.kl(&b)), 1e-6);
    // Along z the logits move by (0, 1), and only the second component of F u is asked for.
    let tangent = matrix([[1.0], [-2.0], [0.5]]);
    let expected = a.fisher_mul(logits(tangent.clone())).narrow(1, 1, 1);
    assert_close(p.fisher_mul(tangent), &numbers(expected), 1e-6);
    assert_close(own.env_actions(z.clone()), &numbers(z), 0.0);
}

#[test]
fn its_gradient_is_that_of_the_categorical_distribution() {
    let gradient = |kind: &DistKind, params: fn(Tensor<2>) -> Tensor<2>| {
        let z = matrix([[-1.5], [0.2], [3.0]]).autodiff().require_grad();
        let dist = kind.with_params(params(z.clone()));
        let actions = matrix([[1.0], [0.0], [0.0]]).autodiff();
        let loss = dist.log_prob(actions).sum() + dist.entropy().sum() * 0.3;
        z.grad(&loss.backward()).unwrap()
    };
    let expected = gradient(&DistKind::Categorical { choices: 2 }, logits);
    let found = gradient(&DistKind::custom(Coin), |z| z);
    assert_close(found, &numbers(expected), 1e-6);
}

#[test]
fn samples_come_up_as_often_as_their_probability_says() {
    let own = DistKind::custom(Coin);
    let draws = 1000;
    let uniform: Vec<f32> = (0..draws)
        .map(|i| (i as f32 + 0.5) / draws as f32)
        .collect();
    let noise = vector(&uniform).reshape([draws, 1]);
    let z = Tensor::full([draws, 1], 0.4, &device());
    let heads: f64 = numbers(own.with_params(z).sample(noise)).iter().sum();
    let expected = draws as f64 / (1.0 + (-0.4f64).exp());
    assert!((heads - expected).abs() <= 1.0, "{heads}, not {expected}");
}

#[test]
fn a_kind_is_equal_to_its_clones_alone() {
    let kind = DistKind::custom(Coin);
    assert_eq!(kind, kind.clone());
    assert_ne!(kind, DistKind::custom(Coin));
    assert_eq!(format!("{kind:?}"), "Custom(Coin)");
}

/// Nothing but densities.
#[derive(Debug)]
struct Bare;

impl Distribution for Bare {
    fn param_width(&self) -> usize {
        1
    }
    fn action_width(&self) -> usize {
        1
    }
    fn noise(&self) -> (usize, NoiseKind) {
        Coin.noise()
    }
    fn sample(&self, z: Tensor<2>, uniform: Tensor<2>) -> Tensor<2> {
        Coin.sample(z, uniform)
    }
    fn log_prob(&self, z: Tensor<2>, actions: Tensor<2>) -> Tensor<1> {
        Coin.log_prob(z, actions)
    }
    fn entropy(&self, z: Tensor<2>) -> Tensor<1> {
        Coin.entropy(z)
    }
    fn mode(&self, z: Tensor<2>) -> Tensor<2> {
        Coin.mode(z)
    }
}

#[test]
fn what_there_is_no_formula_for_is_said() {
    let dist = DistKind::custom(Bare).with_params(matrix([[0.0]]));
    assert!(dist.try_kl(&dist).is_none());
    assert!(!dist.has_fisher());
    let coin = DistKind::custom(Coin).with_params(matrix([[0.0]]));
    assert!(coin.try_kl(&coin).is_some() && coin.has_fisher());
}

/// A choice that explores, but stands still where it does not.
#[derive(Debug)]
struct Shy;

impl Distribution for Shy {
    fn param_width(&self) -> usize {
        1
    }

    fn action_width(&self) -> usize {
        1
    }

    fn noise(&self) -> (usize, NoiseKind) {
        (1, NoiseKind::Normal)
    }

    fn sample(&self, mean: Tensor<2>, noise: Tensor<2>) -> Tensor<2> {
        mean + noise
    }

    fn log_prob(&self, mean: Tensor<2>, actions: Tensor<2>) -> Tensor<1> {
        ((actions - mean).square() * -0.5).squeeze_dim(1)
    }

    fn entropy(&self, mean: Tensor<2>) -> Tensor<1> {
        mean.zeros_like().squeeze_dim(1)
    }

    fn mode(&self, mean: Tensor<2>) -> Tensor<2> {
        mean
    }

    fn greedy(&self, mean: Tensor<2>) -> Tensor<2> {
        mean.zeros_like()
    }
}

#[test]
fn what_does_not_explore_need_not_be_the_mode() {
    let dist = DistKind::custom(Shy).with_params(matrix([[2.0], [-3.0]]));
    assert_close(dist.mode(), &[2.0, -3.0], 0.0);
    assert_close(dist.greedy(), &[0.0, 0.0], 0.0);
    // Formulas that it does not have.
    assert!(dist.try_kl(&dist).is_none() && !dist.has_fisher());
}
