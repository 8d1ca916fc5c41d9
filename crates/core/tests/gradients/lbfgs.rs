//! L-BFGS on losses whose minimum is known, in f64.

use crate::{numbers, vector};
use burn::tensor::Tensor;
use std::cell::RefCell;
use uphill_core::lbfgs::lbfgs;

/// f and ∇f by autodiff, recording every value.
fn minimise(
    f: impl Fn(Tensor<1>) -> Tensor<1>,
    start: &[f64],
    iterations: usize,
) -> (Vec<f64>, f64, usize) {
    let evaluations = RefCell::new(0);
    let loss_and_grad = |x: Tensor<1>| {
        *evaluations.borrow_mut() += 1;
        let x = x.autodiff().require_grad();
        let loss = f(x.clone());
        let grad = x.grad(&loss.backward()).unwrap();
        (loss.without_autodiff(), grad)
    };
    let (x, loss) = lbfgs(loss_and_grad, vector(start), iterations);
    (numbers(x), numbers(loss)[0], evaluations.into_inner())
}

/// ½ Σ_i k_i (x_i − i)² with curvatures from 1 to 100.
fn bowl(x: Tensor<1>) -> Tensor<1> {
    let curvatures = vector(&[1.0, 3.0, 10.0, 30.0, 100.0]);
    let centre = vector(&[0.0, 1.0, 2.0, 3.0, 4.0]);
    ((x - centre).square() * curvatures).sum() * 0.5
}

/// Rosenbrock's valley: minimum 0 at (1, 1).
fn valley(x: Tensor<1>) -> Tensor<1> {
    let (a, b) = (x.clone().narrow(0, 0, 1), x.narrow(0, 1, 1));
    (b - a.clone().square()).square() * 100.0 + (a.neg() + 1.0).square()
}

#[test]
fn it_finds_minima() {
    let (x, loss, evaluations) = minimise(bowl, &[5.0; 5], 40);
    for (i, x) in x.iter().enumerate() {
        assert!((x - i as f64).abs() < 1e-4, "{i}: {x}");
    }
    assert!(loss < 1e-8, "{loss:e}");
    assert!(evaluations < 80, "{evaluations}");

    let (x, _, evaluations) = minimise(valley, &[-1.2, 1.0], 200);
    assert!(
        (x[0] - 1.0).abs() < 1e-3 && (x[1] - 1.0).abs() < 1e-3,
        "{x:?}"
    );
    assert!(
        evaluations < 200,
        "{evaluations}: gradient descent needs thousands"
    );
}

#[test]
fn the_loss_never_rises_and_the_best_point_comes_back() {
    let mut last = f64::INFINITY;
    for iterations in 0..30 {
        let (x, loss, _) = minimise(valley, &[-1.2, 1.0], iterations);
        assert!(loss <= last, "iteration {iterations}: {loss} after {last}");
        assert_eq!(loss, numbers(valley(vector(&x)))[0]);
        last = loss;
    }
}

#[test]
fn nothing_moves_at_a_minimum_or_where_nothing_is_finite() {
    let (x, _, _) = minimise(bowl, &[0.0, 1.0, 2.0, 3.0, 4.0], 5);
    assert_eq!(x, [0.0, 1.0, 2.0, 3.0, 4.0]);
    let broken = |x: Tensor<1>| (x * vector(&[f64::NAN])).sum();
    assert_eq!(minimise(broken, &[2.0], 5).0, [2.0]);
}

/// −x: without curvature every step has a length of at most 1, and there are as many as asked for.
#[test]
fn a_slope_without_curvature_is_followed() {
    let (x, loss, _) = minimise(|x| x.neg().sum(), &[0.0], 5);
    assert_eq!((x, loss), (vec![5.0], -5.0));
}

/// Progress is measured beside the size of the loss, whatever its sign, and iteration ends when there is none.
#[test]
fn a_loss_below_zero_is_minimised_in_as_many_steps() {
    let (x, _, evaluations) = minimise(|x| bowl(x) - 100.0, &[5.0; 5], 200);
    for (i, x) in x.iter().enumerate() {
        assert!((x - i as f64).abs() < 1e-2, "{i}: {x}");
    }
    assert!(evaluations < 80, "{evaluations}");
    let (_, _, above) = minimise(|x| bowl(x) + 100.0, &[5.0; 5], 200);
    assert!(above < 80, "{above}");
}

#[test]
fn a_step_has_to_lower_the_loss() {
    // ½ x² from −½: the first step leads to exactly ½, where the loss is the same.
    let steep = |x: Tensor<1>| x.square() * 0.5;
    let calls = RefCell::new(vec![]);
    let loss_and_grad = |x: Tensor<1>| {
        let at = numbers(x.clone())[0];
        calls.borrow_mut().push(at);
        // A gradient twice as long as it is, so that the step is twice too long.
        (steep(x.clone()), x * 2.0)
    };
    let (x, _) = lbfgs(loss_and_grad, vector(&[-0.5]), 1);
    assert_eq!(calls.into_inner(), [-0.5, 0.5, 0.0]);
    assert_eq!(numbers(x), [0.0]);
}
