//! Single layers against sums in double precision, and their gradients against finite differences of those.

#![allow(clippy::unwrap_used)]

use rand::{Rng, SeedableRng, rngs::SmallRng};
use uphill_cpu::layers::{affine, affine_gradient, layer_norm, layer_norm_gradient};

fn values(len: usize, rng: &mut SmallRng) -> Vec<f32> {
    (0..len)
        .map(|_| rng.next_u32() as f32 / u32::MAX as f32 * 2.0 - 1.0)
        .collect()
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().copied().map(f64::from).collect()
}

fn close(found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(*found) - expected).abs();
        assert!(
            error < tolerance * expected.abs().max(1.0),
            "{i}: {found} instead of {expected}"
        );
    }
}

/// Sizes on both sides of whole vectors, of whole panels, and of what several threads share.
const SIZES: [[usize; 3]; 6] = [
    [1, 1, 1],
    [5, 3, 2],
    [64, 4, 64],
    [100, 17, 33],
    [256, 64, 1],
    [1500, 20, 19],
];

#[test]
fn affine_maps_and_their_gradients_are_the_sums() {
    for (seed, [rows, inputs, outputs]) in SIZES.into_iter().enumerate() {
        let mut rng = SmallRng::seed_from_u64(seed as u64);
        let mut draw = |len| values(len, &mut rng);
        let (x, weight, bias) = (draw(rows * inputs), draw(inputs * outputs), draw(outputs));
        let grad = draw(rows * outputs);
        let (wide_x, wide_w, wide_g) = (wide(&x), wide(&weight), wide(&grad));
        let (mut y, mut of_x) = (vec![], vec![0.0; rows * inputs]);
        let (mut of_weight, mut of_bias) = (vec![0.0; inputs * outputs], vec![0.0; outputs]);
        for b in 0..rows {
            for o in 0..outputs {
                let g = wide_g[b * outputs + o];
                let mut sum = f64::from(bias[o]);
                for i in 0..inputs {
                    sum += wide_x[b * inputs + i] * wide_w[i * outputs + o];
                    of_x[b * inputs + i] += g * wide_w[i * outputs + o];
                    of_weight[i * outputs + o] += g * wide_x[b * inputs + i];
                }
                of_bias[o] += g;
                y.push(sum);
            }
        }
        close(&affine(&x, &weight, &bias), &y, 1e-5);
        let found = affine_gradient([&x, &weight, &grad], outputs, true);
        close(&found.x.unwrap(), &of_x, 1e-5);
        close(&found.weight, &of_weight, 1e-4);
        close(&found.bias, &of_bias, 1e-4);
        let found = affine_gradient([&x, &weight, &grad], outputs, false);
        assert!(found.x.is_none());
        close(&found.weight, &of_weight, 1e-4);
    }
}

const EPSILON: f64 = 1e-5;

/// γ, β and rows x `[B, W]`, one after the other.
fn normalized(operands: &[f64], width: usize) -> Vec<f64> {
    let (gamma, rest) = operands.split_at(width);
    let (beta, x) = rest.split_at(width);
    let row = |x: &[f64]| {
        let mean = x.iter().sum::<f64>() / width as f64;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
        let std = (variance + EPSILON).sqrt();
        let affine = gamma.iter().zip(beta);
        let row = x
            .iter()
            .zip(affine)
            .map(|(x, (g, b))| (x - mean) / std * g + b);
        row.collect::<Vec<_>>()
    };
    x.chunks_exact(width).flat_map(row).collect()
}

#[test]
fn normalised_rows_and_their_gradients_are_those_of_double_precision() {
    for (seed, [rows, width]) in [[1, 2], [3, 5], [7, 16], [4, 33], [9, 64]]
        .into_iter()
        .enumerate()
    {
        let mut rng = SmallRng::seed_from_u64(seed as u64);
        let [gamma, beta] = [0, 1].map(|_| values(width, &mut rng));
        let (x, grad) = (
            values(rows * width, &mut rng),
            values(rows * width, &mut rng),
        );
        let operands = wide(&[&gamma[..], &beta, &x].concat());
        let expected = normalized(&operands, width);
        close(
            &layer_norm(&x, [&gamma, &beta], EPSILON as f32),
            &expected,
            1e-4,
        );

        let objective = |operands: &[f64]| {
            let y = normalized(operands, width);
            y.iter()
                .zip(&grad)
                .map(|(y, g)| y * f64::from(*g))
                .sum::<f64>()
        };
        let slope = |i: usize| {
            let at = |step: f64| {
                let mut moved = operands.clone();
                moved[i] += step;
                objective(&moved)
            };
            (at(1e-5) - at(-1e-5)) / 2e-5
        };
        let expected: Vec<f64> = (0..operands.len()).map(slope).collect();
        let found = layer_norm_gradient(&x, &gamma, &grad, EPSILON as f32);
        let found = [found.gamma, found.beta, found.x].concat();
        close(&found, &expected, 2e-3);
    }
}

/// Far from zero, where a difference of squares would have lost everything.
#[test]
fn the_place_of_a_row_does_not_matter() {
    let (width, rows) = (33, 4);
    let mut rng = SmallRng::seed_from_u64(2);
    // Multiples of 1/1024 stay exact.
    let x: Vec<f32> = values(rows * width, &mut rng);
    let x: Vec<f32> = x.iter().map(|x| (x * 1024.0).round() / 1024.0).collect();
    let far: Vec<f32> = x.iter().map(|x| x + 4000.0).collect();
    let [gamma, beta] = [0, 1].map(|_| values(width, &mut rng));
    let near = layer_norm(&x, [&gamma, &beta], EPSILON as f32);
    close(
        &layer_norm(&far, [&gamma, &beta], EPSILON as f32),
        &wide(&near),
        2e-3,
    );
}
