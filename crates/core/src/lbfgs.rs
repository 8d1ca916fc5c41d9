//! Limited-memory BFGS on one flat vector, for full-batch losses.

use crate::line_search::backtrack;
use burn::tensor::Tensor;
use std::collections::VecDeque;

/// Maximum number of pairs of steps and gradient changes that represent the inverse Hessian.
const HISTORY: usize = 10;
/// Fraction of the linearly predicted decrease that a step has to achieve (Armijo).
const SUFFICIENT: f64 = 1e-4;
const SHRINK: f64 = 0.5;
const TRIES: usize = 10;
/// Iteration stops once the relative decrease of the loss falls below this, which is close to rounding.
const STALLED: f64 = 1e-7;

/// Step s `[P]`, change of the gradient y `[P]` and sᵀy > 0.
struct Pair {
    step: Tensor<1>,
    change: Tensor<1>,
    curvature: f64,
}

/// Parameters `[P]` and their loss `[1]` after at most `iterations` iterations from `start`, where `loss_and_grad` maps
/// parameters `[P]` to a loss `[1]` and its gradient `[P]`. The loss never rises.
///
/// Liu & Nocedal (1989), with backtracking under the Armijo condition; pairs of negative curvature are skipped. Each
/// trial of the line search reads back once; usually the first trial succeeds.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::lbfgs::lbfgs;
///
/// // Σ (x − 3)²
/// let loss_and_grad = |x: Tensor<1>| ((x.clone() - 3.0).square().sum(), (x - 3.0) * 2.0);
/// let (x, loss) = lbfgs(loss_and_grad, Tensor::zeros([2], &Device::flex()), 20);
/// assert!(loss.into_scalar::<f32>() < 1e-6);
/// assert!((x.mean().into_scalar::<f32>() - 3.0).abs() < 1e-3);
/// ```
pub fn lbfgs(
    loss_and_grad: impl Fn(Tensor<1>) -> (Tensor<1>, Tensor<1>),
    start: Tensor<1>,
    iterations: usize,
) -> (Tensor<1>, Tensor<1>) {
    let mut params = start;
    let (mut loss, mut grad) = loss_and_grad(params.clone());
    let mut pairs = VecDeque::with_capacity(HISTORY);
    for _ in 0..iterations {
        let mut direction = inverse_hessian_product(&pairs, grad.clone()).neg();
        if pairs.is_empty() {
            // Without curvature information, take a step of length at most 1.
            let length = direction.clone().dot(direction.clone()).sqrt();
            direction = direction * length.clamp_min(1.0).recip();
        }
        let attempt = |scale: f64| {
            let step = direction.clone() * scale;
            let moved = params.clone() + step.clone();
            let (new_loss, new_grad) = loss_and_grad(moved.clone());
            let change = new_grad.clone() - grad.clone();
            let numbers = vec![
                loss.clone(),
                new_loss.clone(),
                grad.clone().dot(step.clone()),
                change.clone().dot(step.clone()),
            ];
            let read: Vec<f64> = Tensor::cat(numbers, 0).into_data().iter().collect();
            let (old, new, slope, curvature) = (read[0], read[1], read[2], read[3]);
            let decreased = slope < 0.0 && new <= old + SUFFICIENT * slope;
            decreased.then(|| {
                let pair = Pair {
                    step,
                    change,
                    curvature,
                };
                let stalled = old - new <= STALLED * old.abs();
                (moved, new_loss, new_grad, pair, stalled)
            })
        };
        let Some((_, (moved, new_loss, new_grad, pair, stalled))) =
            backtrack(SHRINK, TRIES, attempt)
        else {
            break;
        };
        (params, loss, grad) = (moved, new_loss, new_grad);
        if stalled {
            break;
        }
        if pair.curvature > 0.0 {
            if pairs.len() == HISTORY {
                pairs.pop_front();
            }
            pairs.push_back(pair);
        }
    }
    (params, loss)
}

/// H g `[P]` by the two-loop recursion, newest pair last.
fn inverse_hessian_product(pairs: &VecDeque<Pair>, grad: Tensor<1>) -> Tensor<1> {
    let mut q = grad;
    let mut weights = Vec::with_capacity(pairs.len());
    for pair in pairs.iter().rev() {
        let weight = pair.step.clone().dot(q.clone()) * (1.0 / pair.curvature);
        q = q - pair.change.clone() * weight.clone();
        weights.push(weight);
    }
    if let Some(newest) = pairs.back() {
        let squared = newest.change.clone().dot(newest.change.clone());
        q = q * (squared.recip() * newest.curvature);
    }
    for (pair, weight) in pairs.iter().zip(weights.into_iter().rev()) {
        let correction = pair.change.clone().dot(q.clone()) * (1.0 / pair.curvature);
        q = q + pair.step.clone() * (weight - correction);
    }
    q
}
