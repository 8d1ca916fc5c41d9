//! Matrix products of the sizes that small networks need, with what surrounds them fused in.
//!
//! Rows are samples. A product runs through some rows and one panel of sixteen columns at a time, keeps the
//! result in registers, and applies bias, nonlinearity or its derivative before it stores. Every result is a
//! function of its operands alone: sums run in one fixed order.

use super::{simd::dispatch, tanh::tanh};
use crate::nn::Activation;
use pulp::{Simd, WithSimd};

/// Columns of a panel, which is also what fits into a line of the cache.
const PANEL: usize = 16;

/// Length of a row in the buffers of layers that are `width` wide: whole panels, and an odd number of them.
/// Rows an even number of cache lines apart would compete for the same places in the cache.
pub(crate) fn padded(width: usize) -> usize {
    (width.div_ceil(PANEL) | 1) * PANEL
}

/// The columns of a `[K, N]` matrix cut into panels, each stored contiguously as `[K, 16]` and filled up with
/// zeros.
#[derive(Clone, Debug, Default)]
pub(crate) struct Panels {
    values: Vec<f32>,
    inner: usize,
    columns: usize,
}

impl Panels {
    /// From a row-major matrix `[inner, columns]`.
    pub(crate) fn packed(matrix: &[f32], inner: usize, columns: usize) -> Self {
        let mut panels = Self::default();
        panels.pack(matrix, inner, columns);
        panels
    }

    /// Takes a row-major matrix `[inner, columns]`.
    pub(crate) fn pack(&mut self, matrix: &[f32], inner: usize, columns: usize) {
        for (first, panel) in self.resize(inner, columns) {
            for (from, to) in matrix.chunks_exact(columns).zip(panel) {
                let from = &from[first..];
                match from.first_chunk() {
                    Some(whole) => *to = *whole,
                    None => to[..from.len()].copy_from_slice(from),
                }
            }
        }
    }

    /// Takes the transpose of a row-major matrix `[columns, inner]`.
    pub(crate) fn pack_transposed(&mut self, matrix: &[f32], inner: usize, columns: usize) {
        for (first, panel) in self.resize(inner, columns) {
            let used = PANEL.min(columns - first);
            let rows = &matrix[first * inner..][..used * inner];
            let mut whole = 0;
            for (q, four) in rows.chunks_exact(4 * inner).enumerate() {
                let (a, four) = four.split_at(inner);
                let (b, four) = four.split_at(inner);
                let (c, d) = four.split_at(inner);
                let [a, b, c, d] = [a, b, c, d].map(|row| row.as_chunks::<4>().0);
                let squares = panel.chunks_exact_mut(4);
                for ((((a, b), c), d), to) in a.iter().zip(b).zip(c).zip(d).zip(squares) {
                    let from = [a, b, c, d];
                    for (k, to) in to.iter_mut().enumerate() {
                        to[4 * q..][..4].copy_from_slice(&from.map(|row| row[k]));
                    }
                }
                whole = inner / 4 * 4;
            }
            let of_squares = used / 4 * 4;
            for (c, row) in rows.chunks_exact(inner).enumerate() {
                let skip = if c < of_squares { whole } else { 0 };
                let to = panel[skip..].iter_mut().map(|to| &mut to[c]);
                to.zip(&row[skip..]).for_each(|(to, x)| *to = *x);
            }
        }
    }

    /// The panels of an `[inner, columns]` matrix with their first columns. Surplus columns hold zeros.
    fn resize(
        &mut self,
        inner: usize,
        columns: usize,
    ) -> impl Iterator<Item = (usize, &mut [[f32; PANEL]])> {
        if (self.inner, self.columns) != (inner, columns) {
            (self.inner, self.columns) = (inner, columns);
            self.values.clear();
            self.values
                .resize(inner * columns.next_multiple_of(PANEL), 0.0);
        }
        let (rows, _) = self.values.as_chunks_mut();
        (0..columns)
            .step_by(PANEL)
            .zip(rows.chunks_exact_mut(inner))
    }
}

/// What a product starts from and what happens to it before it is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Epilogue<'a> {
    /// act(A B + b) with a bias padded to whole panels.
    Layer {
        bias: &'a [f32],
        activation: Option<Activation>,
    },
    /// (A B) ∘ act′, with the derivative taken from the layer's outputs (same rows as the result).
    Derivative {
        outputs: &'a [f32],
        activation: Activation,
    },
}

/// C = epilogue(A B): A `[M, K]` with rows `stride` apart, B packed, C `[M, padded(N)]`.
pub(crate) fn product(a: &[f32], stride: usize, b: &Panels, epilogue: Epilogue<'_>, c: &mut [f32]) {
    dispatch(Product::new((a, stride), b, epilogue, c));
}

struct Product<'a> {
    a: &'a [f32],
    stride: usize,
    b: &'a Panels,
    epilogue: Epilogue<'a>,
    c: &'a mut [f32],
    width: usize,
}

impl<'a> Product<'a> {
    fn new(
        (a, stride): (&'a [f32], usize),
        b: &'a Panels,
        epilogue: Epilogue<'a>,
        c: &'a mut [f32],
    ) -> Self {
        let width = padded(b.columns);
        let rows = c.len() / width;
        assert_eq!(c.len(), rows * width, "rows of the result");
        assert!(a.len() >= rows * stride && stride >= b.inner, "rows of a");
        Self {
            a,
            stride,
            b,
            epilogue,
            c,
            width,
        }
    }
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        use Activation::{Relu, Tanh};
        match self.epilogue {
            Epilogue::Layer { bias, activation } => match activation {
                None => self.run(simd, bias, Identity),
                Some(Tanh) => self.run(simd, bias, OfTanh),
                Some(Relu) => self.run(simd, bias, OfRelu),
            },
            Epilogue::Derivative {
                outputs,
                activation,
            } => match activation {
                Tanh => self.run(simd, &[], TimesTanhDerivative(outputs)),
                Relu => self.run(simd, &[], TimesReluDerivative(outputs)),
            },
        }
    }
}

/// What happens to a vector of results, whose first stands at `at`, before it is stored.
trait Finish: Copy {
    fn finish<S: Simd>(self, simd: S, x: S::f32s, at: usize) -> S::f32s;
}

#[derive(Clone, Copy)]
struct Identity;
#[derive(Clone, Copy)]
struct OfTanh;
#[derive(Clone, Copy)]
struct OfRelu;
/// By the outputs of the layer.
#[derive(Clone, Copy)]
struct TimesTanhDerivative<'a>(&'a [f32]);
#[derive(Clone, Copy)]
struct TimesReluDerivative<'a>(&'a [f32]);

impl Finish for Identity {
    #[inline(always)]
    fn finish<S: Simd>(self, _: S, x: S::f32s, _: usize) -> S::f32s {
        x
    }
}

impl Finish for OfTanh {
    #[inline(always)]
    fn finish<S: Simd>(self, simd: S, x: S::f32s, _: usize) -> S::f32s {
        tanh(simd, x)
    }
}

impl Finish for OfRelu {
    /// NaN passes through, as in [`tanh`].
    #[inline(always)]
    fn finish<S: Simd>(self, simd: S, x: S::f32s, _: usize) -> S::f32s {
        let zero = simd.splat_f32s(0.0);
        if S::F32_LANES == 1 {
            return simd.select_f32s(simd.less_than_f32s(x, zero), zero, x);
        }
        simd.max_f32s(zero, x)
    }
}

impl Finish for TimesTanhDerivative<'_> {
    /// x (1 − h²)
    #[inline(always)]
    fn finish<S: Simd>(self, simd: S, x: S::f32s, at: usize) -> S::f32s {
        let [h] = load::<S, 1>(&self.0[at..]);
        let slope = simd.negate_mul_add_e_f32s(h, h, simd.splat_f32s(1.0));
        simd.mul_f32s(x, slope)
    }
}

impl Finish for TimesReluDerivative<'_> {
    #[inline(always)]
    fn finish<S: Simd>(self, simd: S, x: S::f32s, at: usize) -> S::f32s {
        let zero = simd.splat_f32s(0.0);
        let [h] = load::<S, 1>(&self.0[at..]);
        simd.select_f32s(simd.greater_than_f32s(h, zero), x, zero)
    }
}

impl Product<'_> {
    #[inline(always)]
    fn run<S: Simd, F: Finish>(mut self, simd: S, bias: &[f32], finish: F) {
        for first in (0..self.b.columns).step_by(PANEL) {
            // Columns beyond the last are not worth a vector of their own. How many vectors there are and how
            // many rows keep all registers busy are constants of the instruction set.
            let half = self.b.columns - first <= PANEL / 2;
            match (S::F32_LANES, half) {
                (16, _) => self.panel::<S, F, 12, 1>(simd, first, bias, finish),
                (8, false) => self.panel::<S, F, 6, 2>(simd, first, bias, finish),
                (8, true) => self.panel::<S, F, 12, 1>(simd, first, bias, finish),
                (4, false) => self.panel::<S, F, 4, 4>(simd, first, bias, finish),
                (4, true) => self.panel::<S, F, 6, 2>(simd, first, bias, finish),
                (1, false) => self.panel::<S, F, 2, 16>(simd, first, bias, finish),
                (1, true) => self.panel::<S, F, 2, 8>(simd, first, bias, finish),
                (lanes, _) => unreachable!("vectors of {lanes}"),
            }
        }
    }

    #[inline(always)]
    fn panel<S: Simd, F: Finish, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        first: usize,
        bias: &[f32],
        finish: F,
    ) {
        let rows = self.c.len() / self.width;
        let mut row = 0;
        // Tiles of four, which are nearly as fast, take what large ones would leave over.
        while rows - row >= 4 && !(rows - row).is_multiple_of(R) {
            self.tile::<S, F, 4, V>(simd, row, first, bias, finish);
            row += 4;
        }
        while rows - row >= R {
            self.tile::<S, F, R, V>(simd, row, first, bias, finish);
            row += R;
        }
        while row < rows {
            self.tile::<S, F, 1, V>(simd, row, first, bias, finish);
            row += 1;
        }
    }

    #[inline(always)]
    fn tile<S: Simd, F: Finish, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        row: usize,
        first: usize,
        bias: &[f32],
        finish: F,
    ) {
        let inner = self.b.inner;
        let mut a: [&[f32]; R] = [&[]; R];
        for (r, slice) in a.iter_mut().enumerate() {
            *slice = &self.a[(row + r) * self.stride..][..inner];
        }
        let start = if bias.is_empty() {
            [simd.splat_f32s(0.0); V]
        } else {
            load::<S, V>(&bias[first..])
        };
        let mut sum = [start; R];
        let panel = &self.b.values[first * inner..][..PANEL * inner];
        let (panel, _) = panel.as_chunks::<PANEL>();
        for (k, b) in (0..inner).zip(panel) {
            let b = load::<S, V>(b);
            for r in 0..R {
                let x = simd.splat_f32s(a[r][k]);
                for v in 0..V {
                    sum[r][v] = simd.mul_add_e_f32s(x, b[v], sum[r][v]);
                }
            }
        }
        for (r, sum) in sum.into_iter().enumerate() {
            let at = (row + r) * self.width + first;
            let (c, _) = S::as_mut_simd_f32s(&mut self.c[at..at + V * S::F32_LANES]);
            for (v, (c, x)) in c.iter_mut().zip(sum).enumerate() {
                *c = finish.finish(simd, x, at + v * S::F32_LANES);
            }
        }
    }
}

#[inline(always)]
fn load<S: Simd, const V: usize>(from: &[f32]) -> [S::f32s; V] {
    let (vectors, _) = S::as_simd_f32s(&from[..V * S::F32_LANES]);
    let mut loaded = [vectors[0]; V];
    loaded.copy_from_slice(vectors);
    loaded
}

/// Where a gradient goes: the weights `[K, N]` and the bias `[N]` of a layer.
pub(crate) struct Gradient<'a> {
    pub(crate) weights: &'a mut [f32],
    pub(crate) bias: &'a mut [f32],
    /// Replaces what is there instead of adding to it.
    pub(crate) fresh: bool,
}

#[cfg(test)]
impl<'a> Gradient<'a> {
    /// Weights `[K, N]` and bias `[N]` one after the other.
    pub(crate) fn over(layer: &'a mut [f32], columns: usize, fresh: bool) -> Self {
        let (weights, bias) = layer.split_at_mut(layer.len() - columns);
        Self {
            weights,
            bias,
            fresh,
        }
    }
}

/// Aᵀ D for the weights and the column sums of D for the bias: the gradient of a layer with inputs A
/// `[M, K]`, rows `stride` apart, by the gradient D `[M, padded(N)]` of its outputs.
pub(crate) fn gradient(a: &[f32], stride: usize, d: &[f32], into: Gradient<'_>) {
    dispatch(OfLayer { a, stride, d, into });
}

struct OfLayer<'a> {
    a: &'a [f32],
    stride: usize,
    d: &'a [f32],
    into: Gradient<'a>,
}

impl WithSimd for OfLayer<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        for first in (0..self.into.bias.len()).step_by(PANEL) {
            let half = self.into.bias.len() - first <= PANEL / 2;
            match (S::F32_LANES, half) {
                (16, _) => self.panel::<S, 8, 1>(simd, first),
                (8, false) => self.panel::<S, 4, 2>(simd, first),
                (8, true) => self.panel::<S, 8, 1>(simd, first),
                (4, false) => self.panel::<S, 4, 4>(simd, first),
                (4, true) => self.panel::<S, 8, 2>(simd, first),
                (1, false) => self.panel::<S, 2, 16>(simd, first),
                (1, true) => self.panel::<S, 2, 8>(simd, first),
                (lanes, _) => unreachable!("vectors of {lanes}"),
            }
        }
    }
}

impl OfLayer<'_> {
    #[inline(always)]
    fn panel<S: Simd, const R: usize, const V: usize>(&mut self, simd: S, first: usize) {
        let columns = self.into.bias.len();
        let inner = self.into.weights.len() / columns;
        let whole = inner / R * R;
        for k in (0..whole).step_by(R) {
            self.tile::<S, R, V>(simd, k, first);
        }
        for k in whole..inner {
            self.tile::<S, 1, V>(simd, k, first);
        }

        let mut sum = [simd.splat_f32s(0.0); V];
        for d in self.d.chunks_exact(padded(columns)) {
            let d = load::<S, V>(&d[first..]);
            for v in 0..V {
                sum[v] = simd.add_f32s(sum[v], d[v]);
            }
        }
        put::<S, V>(simd, sum, &mut self.into.bias[first..], self.into.fresh);
    }

    #[inline(always)]
    fn tile<S: Simd, const R: usize, const V: usize>(&mut self, simd: S, k: usize, first: usize) {
        let columns = self.into.bias.len();
        let width = padded(columns);
        let mut sum = [[simd.splat_f32s(0.0); V]; R];
        let rows = self.a.chunks_exact(self.stride);
        for (a, d) in rows.zip(self.d.chunks_exact(width)) {
            let a = &a[k..k + R];
            let d = load::<S, V>(&d[first..]);
            for r in 0..R {
                let x = simd.splat_f32s(a[r]);
                for v in 0..V {
                    sum[r][v] = simd.mul_add_e_f32s(x, d[v], sum[r][v]);
                }
            }
        }
        for (r, sum) in sum.into_iter().enumerate() {
            let row = &mut self.into.weights[(k + r) * columns..][..columns];
            put::<S, V>(simd, sum, &mut row[first..], self.into.fresh);
        }
    }
}

/// Adds to as many elements as there are, or replaces them; the surplus of the last panel is dropped.
#[inline(always)]
fn put<S: Simd, const V: usize>(simd: S, sum: [S::f32s; V], to: &mut [f32], fresh: bool) {
    let lanes = V * S::F32_LANES;
    if let Some(to) = to.get_mut(..lanes) {
        let (to, _) = S::as_mut_simd_f32s(to);
        for (to, x) in to.iter_mut().zip(sum) {
            *to = if fresh { x } else { simd.add_f32s(*to, x) };
        }
        return;
    }
    let mut values = [0.0; PANEL];
    let (vectors, _) = S::as_mut_simd_f32s(&mut values[..lanes]);
    vectors.copy_from_slice(&sum);
    for (to, x) in to.iter_mut().zip(values) {
        *to = if fresh { x } else { *to + x };
    }
}

#[cfg(test)]
mod tests {
    use super::super::narrow::{self, NARROW, Narrow};
    use super::super::simd::on_every_width;
    use super::*;

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

    /// A row-major matrix with rows as long as those of layers, zeros in between.
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
            // Sums that tanh bends.
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
            // Of a sum, and of an output of the layer below in the same place.
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

    /// Vectors that are made of single numbers drop NaN, and only tests run on them.
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
                            let of =
                                |row: usize| f64::from(a[row * k + i]) * f64::from(d[row * n + j]);
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
}
