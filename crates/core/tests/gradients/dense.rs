//! Fisher matrices from their definition, and direct solves, as plain numbers on the host.

use burn::tensor::{Device, Tensor, TensorData};
use uphill_core::{dist::DistKind, policy::Actor};

/// (1/B) Σ_b E_{a~π(·|s_b)}[∇log π(a|s_b) ∇log π(a|s_b)ᵀ] at raw observations `[B, O]`.
pub(crate) fn fisher(actor: &Actor, obs: &Tensor<2>) -> Vec<Vec<f64>> {
    fisher_of(actor, &|actor| actor.dist_params(obs.clone()))
}

/// The same where `params` `[B, W]` are those of π(·|s_b), one backward pass for each sample and outcome.
///
/// For a Beta distribution, whose integrals take thousands of outcomes, (1/B) Σ_b J_bᵀ M_b J_b with one
/// backward pass for each output, and the same expectation of the scores by the distribution's own
/// parameters as M_b.
pub(crate) fn fisher_of(actor: &Actor, params: &dyn Fn(&Actor) -> Tensor<2>) -> Vec<Vec<f64>> {
    let [batch, width] = params(actor).dims();
    let size = actor.net.num_params();
    let mut fisher = vec![vec![0.0; size]; size];
    let mut add = |weight: f64, left: &[f64], right: &[f64]| {
        for (row, l) in fisher.iter_mut().zip(left) {
            for (entry, r) in row.iter_mut().zip(right) {
                *entry += weight / batch as f64 * l * r;
            }
        }
    };
    for b in 0..batch {
        // Gradient of a function of this sample's parameters `[1, W]`.
        let gradient = |f: &dyn Fn(Tensor<2>) -> Tensor<1>| {
            let net = actor.net.tracked();
            let own = params(&actor.with_net(net.clone())).narrow(0, b, 1);
            numbers(net.flat_grad(&f(own).backward()))
        };
        let own = params(actor).narrow(0, b, 1);
        if let DistKind::Beta { .. } = actor.kind {
            let output = |w: usize| gradient(&|own| own.narrow(1, w, 1).squeeze_dim(1));
            let jacobian: Vec<Vec<f64>> = (0..width).map(output).collect();
            for (row, left) in own_fisher(&actor.kind, own).iter().zip(&jacobian) {
                for (entry, right) in row.iter().zip(&jacobian) {
                    add(*entry, left, right);
                }
            }
            continue;
        }
        let device = own.device();
        for (weight, action) in outcomes(&actor.kind, &numbers(own)) {
            let action = row(&action, &device);
            let score = gradient(&|own| actor.kind.with_params(own).log_prob(action.clone()));
            add(weight, &score, &score);
        }
    }
    fisher
}

/// E_a[∇log π(a) ∇log π(a)ᵀ] by the distribution's own parameters `[1, W]`; one backward pass over all
/// outcomes.
fn own_fisher(kind: &DistKind, params: Tensor<2>) -> Vec<Vec<f64>> {
    let [_, width] = params.dims();
    let outcomes = outcomes(kind, &numbers(params.clone()));
    let (count, columns) = (outcomes.len(), kind.action_width());
    let actions: Vec<f64> = outcomes.iter().flat_map(|(_, a)| a.clone()).collect();
    let actions = row(&actions, &params.device()).reshape([count, columns]);
    let params = params.repeat(&[count, 1]).autodiff().require_grad();
    let log_probs = kind.with_params(params.clone()).log_prob(actions);
    let scores = params.grad(&log_probs.sum().backward()).unwrap();
    let scores = numbers(scores);
    let mut fisher = vec![vec![0.0; width]; width];
    for ((weight, _), score) in outcomes.iter().zip(scores.chunks_exact(width)) {
        for (row, left) in fisher.iter_mut().zip(score) {
            for (entry, right) in row.iter_mut().zip(score) {
                *entry += weight * left * right;
            }
        }
    }
    fisher
}

/// Actions with weights that make the expectation exact: all of a finite set; for a Gaussian, whose
/// scores are quadratic, three points of Gauss–Hermite quadrature per component, exact to degree 5
/// (squashing changes no score); for a Beta distribution the trapezoidal rule, see [`beta`].
fn outcomes(kind: &DistKind, params: &[f64]) -> Vec<(f64, Vec<f64>)> {
    match kind {
        DistKind::Categorical { choices } => product(&[softmax(&params[..*choices])]),
        DistKind::MultiDiscrete { choices } => {
            let mut rest = params;
            let components = choices.iter().map(|n| {
                let (own, after) = rest.split_at(*n);
                rest = after;
                softmax(own)
            });
            product(&components.collect::<Vec<_>>())
        }
        DistKind::Gaussian { .. } | DistKind::SquashedGaussian { .. } => {
            let (means, log_stds) = params.split_at(params.len() / 2);
            let components = means.iter().zip(log_stds).map(|(mean, log_std)| {
                [
                    (2.0 / 3.0, 0.0),
                    (1.0 / 6.0, 3f64.sqrt()),
                    (1.0 / 6.0, -(3f64.sqrt())),
                ]
                .map(|(weight, z)| (weight, mean + log_std.exp() * z))
                .to_vec()
            });
            product(&components.collect::<Vec<_>>())
        }
        DistKind::Beta { .. } => {
            let (alphas, betas) = params.split_at(params.len() / 2);
            let components = alphas.iter().zip(betas).map(|(a, b)| beta(*a, *b));
            product(&components.collect::<Vec<_>>())
        }
        DistKind::Custom(_) => unreachable!("no test has one"),
    }
}

/// Points y = ln(x / (1 − x)) with their probabilities, which fall off as x^α (1 − x)^β with
/// α = 1 + ln(1 + e^r_α), β likewise. The rule is exact to rounding for a function that is smooth out
/// to where nothing is left: its error falls as exp(−2π · π / STEP).
fn beta(raw_alpha: f64, raw_beta: f64) -> Vec<(f64, f64)> {
    const STEP: f64 = 0.6;
    const HALF: i32 = 70;
    let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
    let (alpha, beta) = (1.0 + softplus(raw_alpha), 1.0 + softplus(raw_beta));
    let points = (-HALF..=HALF).map(|i| f64::from(i) * STEP);
    let density = |y: f64| (-alpha * softplus(-y) - beta * softplus(y)).exp();
    let sum: f64 = points.clone().map(density).sum();
    points.map(|y| (density(y) / sum, y)).collect()
}

/// Choices with their probabilities.
fn softmax(logits: &[f64]) -> Vec<(f64, f64)> {
    let largest = logits.iter().copied().fold(f64::MIN, f64::max);
    let shares: Vec<f64> = logits.iter().map(|z| (z - largest).exp()).collect();
    let sum: f64 = shares.iter().sum();
    let choices = shares.iter().enumerate();
    choices.map(|(k, share)| (share / sum, k as f64)).collect()
}

/// All combinations of independent components.
fn product(components: &[Vec<(f64, f64)>]) -> Vec<(f64, Vec<f64>)> {
    let mut all = vec![(1.0, vec![])];
    for component in components {
        let extended = all.iter().flat_map(|(weight, action)| {
            let with = |(w, x): &(f64, f64)| (weight * w, [action.as_slice(), &[*x]].concat());
            component.iter().map(with).collect::<Vec<_>>()
        });
        all = extended.collect();
    }
    all
}

/// A v.
pub(crate) fn times(a: &[Vec<f64>], v: &[f64]) -> Vec<f64> {
    a.iter().map(|row| dot(row, v)).collect()
}

/// A⁻¹ b by elimination with partial pivoting.
pub(crate) fn solve(a: &[Vec<f64>], b: &[f64]) -> Vec<f64> {
    let size = b.len();
    let mut rows: Vec<Vec<f64>> = a
        .iter()
        .zip(b)
        .map(|(row, b)| [row.as_slice(), &[*b]].concat())
        .collect();
    for column in 0..size {
        let pivot = (column..size)
            .max_by(|&i, &j| rows[i][column].abs().total_cmp(&rows[j][column].abs()))
            .unwrap();
        rows.swap(column, pivot);
        let top = rows[column].clone();
        for row in &mut rows[column + 1..] {
            let factor = row[column] / top[column];
            for (x, t) in row.iter_mut().zip(&top) {
                *x -= factor * t;
            }
        }
    }
    let mut x = vec![0.0; size];
    for i in (0..size).rev() {
        let known = dot(&rows[i][i + 1..size], &x[i + 1..]);
        x[i] = (rows[i][size] - known) / rows[i][i];
    }
    x
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// ‖found − expected‖ / ‖expected‖.
pub(crate) fn relative_error(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len(), "number of elements");
    let norm = dot(expected, expected).sqrt();
    assert!(norm > 1e-6, "this test sees nothing: {expected:?}");
    let squared: f64 = found
        .iter()
        .zip(expected)
        .map(|(f, e)| (f - e).powi(2))
        .sum();
    squared.sqrt() / norm
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter().collect()
}

fn row(values: &[f64], device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [1, values.len()]), device)
}
