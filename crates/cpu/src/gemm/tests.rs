//! Tests of products and gradients against sums in double precision, on vectors of every width.

use super::gradient::OfLayer;
use super::*;
use crate::narrow::{self, NARROW, Narrow};
use crate::simd::on_every_width;

fn numbers(len: usize) -> Vec<f32> {
    (0..len)
        .map(|i| (i * 7919 % 1009) as f32 / 1009.0 - 0.5)
        .collect()
}

/// Rows, inputs and outputs on all sides of the sizes of tiles, panels and vectors.
fn sizes() -> impl Iterator<Item = [usize; 3]> {
    let rows = [1, 2, 5, 6, 8, 11, 12, 17, 128];
    let of_rows = |m| [1, 3, 8, 16, 20, 64].map(move |k| [m, k]);
    let rows_and_inputs = rows.into_iter().flat_map(of_rows);
    rows_and_inputs.flat_map(|[m, k]| [1, 2, 4, 7, 9, 16, 24, 64].map(|n| [m, k, n]))
}

fn close(found: f32, expected: f64, what: [usize; 3]) {
    let off = (f64::from(found) - expected).abs();
    assert!(off < 1e-5, "{found} instead of {expected} for {what:?}");
}

/// A B, row-major `[M, N]`.
fn sums_of_products(a: &[f32], b: &[f32], [m, k, n]: [usize; 3]) -> Vec<f64> {
    let sum = |at: usize| {
        let of = |i: usize| f64::from(a[at / n * k + i]) * f64::from(b[i * n + at % n]);
        (0..k).map(of).sum()
    };
    (0..m * n).map(sum).collect()
}

/// A row-major matrix with its rows as far apart as those of layers, and zeros in between.
fn spread_out(matrix: &[f32], columns: usize) -> Vec<f32> {
    let rows = matrix.chunks_exact(columns).flat_map(|row| {
        let gap = vec![0.0; padded(columns) - columns];
        [row, &gap].concat()
    });
    rows.collect()
}

#[test]
fn products_are_sums_of_products() {
    for size @ [m, k, n] in sizes() {
        let (a, b) = (numbers(m * k), numbers(k * n));
        let mut bias = numbers(n);
        bias.resize(padded(n), 0.0);
        let panels = Panels::packed(&b, k, n);
        let transposed: Vec<f32> = (0..n * k).map(|i| b[i % k * n + i / k]).collect();
        let mut from_transposed = Panels::default();
        from_transposed.pack_transposed(&transposed, k, n);
        assert_eq!(from_transposed.values, panels.values, "{size:?}");
        let sums = sums_of_products(&a, &b, size);
        let check = |c: &[f32]| {
            for (c, sums) in c.chunks_exact(padded(n)).zip(sums.chunks_exact(n)) {
                for ((c, sum), bias) in c.iter().zip(sums).zip(&bias) {
                    close(*c, sum + f64::from(*bias), size);
                }
            }
        };
        let epilogue = Epilogue::Layer {
            bias: &bias,
            activation: None,
        };
        on_every_width!(c in vec![0.0; m * padded(n)],
            Product::new((&a, k), &panels, epilogue, &mut c) => check(&c));
        if n <= NARROW {
            let mut columns = Narrow::default();
            columns.pack(&b, k, n);
            let a = spread_out(&a, k);
            on_every_width!(c in vec![0.0; m * padded(n)], narrow::Product {
                a: &a,
                stride: padded(k),
                b: &columns,
                bias: &bias,
                c: &mut c,
            } => check(&c));
        }
    }
}

#[test]
fn what_follows_a_product_is_what_follows_its_numbers() {
    for size @ [m, k, n] in sizes() {
        // Sums in the range where tanh is curved.
        let a: Vec<f32> = numbers(m * k).iter().map(|x| 4.0 * x).collect();
        let b = numbers(k * n);
        let panels = Panels::packed(&b, k, n);
        let sums = sums_of_products(&a, &b, size);
        let none = vec![0.0; padded(n)];
        let tanhs: Vec<f32> = numbers(m * padded(n)).iter().map(|h| 1.9 * h).collect();
        let relus: Vec<f32> = tanhs.iter().map(|h| h.max(0.0)).collect();
        let layer = |activation| Epilogue::Layer {
            bias: &none,
            activation: Some(activation),
        };
        // A function of a sum and of the output of the layer below at the same position.
        type Of = fn(f64, f64) -> f64;
        let cases: [(_, Of); 4] = [
            (layer(Activation::Tanh), |z, _| z.tanh()),
            (layer(Activation::Relu), |z, _| z.max(0.0)),
            (slope(&tanhs, Activation::Tanh), |z, h| z * (1.0 - h * h)),
            (slope(&relus, Activation::Relu), |z, h| {
                if h > 0.0 { z } else { 0.0 }
            }),
        ];
        for (epilogue, expected) in cases {
            let outputs = match epilogue {
                Epilogue::Derivative { outputs, .. } => outputs,
                Epilogue::Layer { .. } => &tanhs,
            };
            let check = |c: &[f32]| {
                for (at, sum) in sums.iter().enumerate() {
                    let at = at / n * padded(n) + at % n;
                    close(c[at], expected(*sum, outputs[at].into()), size);
                }
            };
            on_every_width!(c in vec![0.0; m * padded(n)],
                Product::new((&a, k), &panels, epilogue, &mut c) => check(&c));
        }
    }
}

fn slope(outputs: &[f32], activation: Activation) -> Epilogue<'_> {
    Epilogue::Derivative {
        outputs,
        activation,
    }
}

/// Emulated vectors of single numbers drop NaN; only tests use them.
#[test]
fn nan_passes_through_a_layer() {
    let panels = Panels::packed(&[1.0], 1, 1);
    for activation in [None, Some(Activation::Tanh), Some(Activation::Relu)] {
        let epilogue = Epilogue::Layer {
            bias: &[0.0; 16],
            activation,
        };
        let mut c = [[0.0; 16]; 2];
        let [one, vectors] = &mut c;
        Product::new((&[f32::NAN], 1), &panels, epilogue, one).with_simd(pulp::Scalar);
        dispatch(Product::new((&[f32::NAN], 1), &panels, epilogue, vectors));
        assert!(c.iter().all(|c| c[0].is_nan()), "{activation:?}: {c:?}");
    }
}

#[test]
fn gradients_are_sums_over_rows() {
    for size @ [m, k, n] in sizes() {
        let (a, d) = (numbers(m * k), numbers(m * n));
        let (spread, d_spread) = (spread_out(&a, k), spread_out(&d, n));
        for fresh in [true, false] {
            let old = if fresh { 0.0 } else { 0.25 };
            let check = |found: &[f32]| {
                for i in 0..k {
                    for j in 0..n {
                        let of = |row: usize| f64::from(a[row * k + i]) * f64::from(d[row * n + j]);
                        close(found[i * n + j], old + (0..m).map(of).sum::<f64>(), size);
                    }
                }
                for j in 0..n {
                    let sum: f64 = (0..m).map(|row| f64::from(d[row * n + j])).sum();
                    close(found[k * n + j], old + sum, size);
                }
            };
            on_every_width!(found in vec![0.25; (k + 1) * n], OfLayer {
                a: &spread,
                stride: padded(k),
                d: &d_spread,
                into: Gradient::over(&mut found, n, fresh),
            } => check(&found));
            if n <= NARROW {
                on_every_width!(found in vec![0.25; (k + 1) * n], narrow::OfLayer {
                    a: &spread,
                    stride: padded(k),
                    d: &d_spread,
                    into: Gradient::over(&mut found, n, fresh),
                } => check(&found));
            }
        }
    }
}
