//! What runs on tensors where there are no loops and no kernels for it, as in f64, against arithmetic written out here.

use crate::{device, numbers, random, vector};
use burn::tensor::{Bool, Tensor, TensorData};
use uphill_core::{
    advantage::{Trace, discounted_returns, gae},
    nn::layer_norm,
    optim::{Adam, clip_grad_norm},
};

#[track_caller]
fn close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() < 1e-9,
            "{found} and not {expected}"
        );
    }
}

#[test]
fn adam_follows_its_equations() {
    let (rate, epsilon, [b1, b2]) = (0.1, 0.05, [0.9, 0.999]);
    let grads = [[1.0, -2.0], [0.5, 4.0], [-1.0, 0.0]];
    let (mut expected, mut m, mut v) = ([0.5, -0.5], [0.0; 2], [0.0; 2]);
    let mut adam = Adam::new(2, epsilon, &device());
    let mut params = vector(&expected);
    for (t, g) in (1..).zip(grads) {
        params = adam.step(params, vector(&g), rate);
        for i in 0..2 {
            m[i] = b1 * m[i] + (1.0 - b1) * g[i];
            v[i] = b2 * v[i] + (1.0 - b2) * g[i] * g[i];
            let unbiased = [m[i] / (1.0 - b1.powi(t)), v[i] / (1.0 - b2.powi(t))];
            expected[i] -= rate * unbiased[0] / (unbiased[1].sqrt() + epsilon);
        }
        close(&numbers(params.clone()), &expected);
        assert_eq!(adam.steps, t as u64);
    }
    close(&numbers(adam.first), &m);
    close(&numbers(adam.second), &v);
}

#[test]
fn only_long_gradients_are_shortened() {
    let clipped = |grad: [f64; 2], limit| {
        let (grad, norm) = clip_grad_norm(vector(&grad), limit);
        (numbers(grad), numbers(norm))
    };
    // 1e-6 is added to the norm.
    let (grad, norm) = clipped([3.0, 4.0], 0.5);
    close(&grad, &[1.5 / 5.000_001, 2.0 / 5.000_001]);
    close(&norm, &[5.0]);
    for (grad, limit) in [([0.03, 0.04], 0.5), ([3.0, 4.0], 0.0)] {
        let (found, norm) = clipped(grad, limit);
        close(&found, &grad);
        close(&norm, &[grad[0].hypot(grad[1])]);
    }
}

/// Of every length up to beyond a power of two, so that every round of doubling is the last one somewhere.
#[test]
fn traces_are_their_recurrences() {
    let (gamma, lambda, envs) = (0.9, 0.7, 2);
    for steps in 1..=9 {
        let len = steps * envs;
        let [rewards, values, next_values] = [1, 2, 3].map(|seed| random(len, 1.0, seed));
        let ends = random(len, 1.0, 4);
        let flags =
            |ended: &dyn Fn(f64) -> bool| -> Vec<bool> { ends.iter().map(|x| ended(*x)).collect() };
        let (terminated, truncated) = (flags(&|x| x < -0.7), flags(&|x| x > 0.7));
        let table = |x: &[f64]| vector(x).reshape([steps, envs]);
        let marks = |x: &[bool]| {
            Tensor::<2, Bool>::from_data(TensorData::new(x.to_vec(), [steps, envs]), &device())
        };
        let trace = Trace {
            rewards: table(&rewards),
            values: table(&values),
            next_values: table(&next_values),
            terminated: marks(&terminated),
            truncated: marks(&truncated),
            agents: 1,
        };
        let (mut advantages, mut returns) = (vec![0.0; len], vec![0.0; len]);
        for i in (0..len).rev() {
            let bootstrap = if terminated[i] { 0.0 } else { next_values[i] };
            let goes_on = i + envs < len && !terminated[i] && !truncated[i];
            let later = |x: &[f64]| if goes_on { x[i + envs] } else { 0.0 };
            let delta = rewards[i] + gamma * bootstrap - values[i];
            advantages[i] = delta + gamma * lambda * later(&advantages);
            let rest = if goes_on { later(&returns) } else { bootstrap };
            returns[i] = rewards[i] + gamma * rest;
        }
        close(
            &numbers(gae(&trace, gamma, lambda).flatten(0, 1)),
            &advantages,
        );
        close(
            &numbers(discounted_returns(&trace, gamma).flatten(0, 1)),
            &returns,
        );
    }
}

#[test]
fn layer_norms_are_their_definition() {
    let (epsilon, [rows, width]) = (0.1, [3, 4]);
    let [x, gamma, beta] = [(12, 5), (4, 6), (4, 7)].map(|(len, seed)| random(len, 1.0, seed));
    let mut expected = vec![];
    for row in x.chunks(width) {
        let mean = row.iter().sum::<f64>() / width as f64;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
        let std = (variance + epsilon).sqrt();
        let of = |(i, x): (usize, &f64)| (x - mean) / std * gamma[i] + beta[i];
        expected.extend(row.iter().enumerate().map(of));
    }
    let x = vector(&x).reshape([rows, width]);
    let found = layer_norm(x, vector(&gamma), vector(&beta), epsilon);
    close(&numbers(found.flatten(0, 1)), &expected);
}
