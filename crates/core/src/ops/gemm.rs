//! Matrix products of the sizes that small networks need, with what surrounds them fused in.
//!
//! Rows are samples. A product runs through four rows and one panel of columns at a time, keeps the
//! sixteen-column result in registers, and applies bias, nonlinearity or its derivative before it
//! stores. Every result is a function of its operands alone: sums run in one fixed order.

use super::{simd::dispatch, tanh::tanh};
use crate::nn::Activation;
use pulp::{Simd, WithSimd};

/// Columns of the widest panel.
const PANEL: usize = 16;
/// Row lengths of buffers are multiples of this; the surplus columns hold zeros.
const PAD: usize = 8;
/// Rows that are carried through a panel together.
const ROWS: usize = 4;

/// `width` rounded up to a whole number of vectors.
pub(crate) fn padded(width: usize) -> usize {
    width.next_multiple_of(PAD)
}

/// The columns of a `[K, N]` matrix cut into panels of 16 (the last may have 8), each stored
/// contiguously as `[K, 16]` and filled up with zeros.
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
        let values = self.resize(inner, columns);
        for (first, panel) in values {
            let width = panel.len() / inner;
            let used = width.min(columns - first);
            for (k, row) in panel.chunks_exact_mut(width).enumerate() {
                row[..used].copy_from_slice(&matrix[k * columns + first..][..used]);
            }
        }
    }

    /// Takes the transpose of a row-major matrix `[columns, inner]`.
    pub(crate) fn pack_transposed(&mut self, matrix: &[f32], inner: usize, columns: usize) {
        let values = self.resize(inner, columns);
        for (first, panel) in values {
            let width = panel.len() / inner;
            let rows = matrix[first * inner..].chunks_exact(inner);
            for (c, from) in rows.take(width).enumerate() {
                for (to, x) in panel[c..].iter_mut().step_by(width).zip(from) {
                    *to = *x;
                }
            }
        }
    }

    /// The panels of an `[inner, columns]` matrix with their first columns. Surplus columns hold zeros.
    fn resize(
        &mut self,
        inner: usize,
        columns: usize,
    ) -> impl Iterator<Item = (usize, &mut [f32])> {
        if (self.inner, self.columns) != (inner, columns) {
            (self.inner, self.columns) = (inner, columns);
            self.values.clear();
        }
        self.values.resize(inner * padded(columns), 0.0);
        let of_panels = self.values.chunks_mut(inner * PANEL);
        panels(columns).map(|(first, _)| first).zip(of_panels)
    }
}

/// First column and width of each panel.
fn panels(columns: usize) -> impl Iterator<Item = (usize, usize)> {
    let end = padded(columns);
    (0..end)
        .step_by(PANEL)
        .map(move |first| (first, PANEL.min(end - first)))
}

/// What a product starts from and what happens to it before it is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Epilogue<'a> {
    /// act(A B + b) with a bias padded to whole vectors.
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
    let width = padded(b.columns);
    let rows = c.len() / width;
    assert_eq!(c.len(), rows * width, "rows of the result");
    assert!(a.len() >= rows * stride && stride >= b.inner, "rows of a");
    dispatch(Product {
        a,
        stride,
        b,
        epilogue,
        c,
        width,
    });
}

struct Product<'a> {
    a: &'a [f32],
    stride: usize,
    b: &'a Panels,
    epilogue: Epilogue<'a>,
    c: &'a mut [f32],
    width: usize,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let mut at = 0;
        for (first, width) in panels(self.b.columns) {
            let panel = &self.b.values[at..at + self.b.inner * width];
            at += panel.len();
            // Vectors in a panel are a constant of the instruction set.
            match (S::F32_LANES, width == PANEL) {
                (8, true) => self.panel::<S, 2>(simd, first, panel),
                (8, false) => self.panel::<S, 1>(simd, first, panel),
                (4, true) => self.panel::<S, 4>(simd, first, panel),
                (4, false) => self.panel::<S, 2>(simd, first, panel),
                (1, true) => self.panel::<S, 16>(simd, first, panel),
                (1, false) => self.panel::<S, 8>(simd, first, panel),
                (lanes, _) => unreachable!("vectors of {lanes}"),
            }
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    fn panel<S: Simd, const V: usize>(&mut self, simd: S, first: usize, panel: &[f32]) {
        let rows = self.c.len() / self.width;
        let whole = rows / ROWS * ROWS;
        for row in (0..whole).step_by(ROWS) {
            self.tile::<S, ROWS, V>(simd, row, first, panel);
        }
        for row in whole..rows {
            self.tile::<S, 1, V>(simd, row, first, panel);
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        row: usize,
        first: usize,
        panel: &[f32],
    ) {
        let inner = self.b.inner;
        let mut a: [&[f32]; R] = [&[]; R];
        for (r, slice) in a.iter_mut().enumerate() {
            *slice = &self.a[(row + r) * self.stride..][..inner];
        }
        let mut sum = [[simd.splat_f32s(0.0); V]; R];
        match self.epilogue {
            Epilogue::Layer { bias, .. } => sum = [load::<S, V>(&bias[first..]); R],
            Epilogue::Derivative { .. } => {}
        }
        let (panel, _) = S::as_simd_f32s(panel);
        for (k, b) in (0..inner).zip(panel.chunks_exact(V)) {
            for r in 0..R {
                let x = simd.splat_f32s(a[r][k]);
                for v in 0..V {
                    sum[r][v] = simd.mul_add_e_f32s(x, b[v], sum[r][v]);
                }
            }
        }
        for (r, sum) in sum.iter_mut().enumerate() {
            let at = (row + r) * self.width + first;
            match self.epilogue {
                Epilogue::Layer {
                    activation: Some(activation),
                    ..
                } => {
                    for x in sum.iter_mut() {
                        *x = activate(simd, activation, *x);
                    }
                }
                Epilogue::Derivative {
                    outputs,
                    activation,
                } => {
                    let outputs = load::<S, V>(&outputs[at..]);
                    for (x, h) in sum.iter_mut().zip(outputs) {
                        *x = times_derivative(simd, activation, *x, h);
                    }
                }
                Epilogue::Layer { .. } => {}
            }
            let (c, _) = S::as_mut_simd_f32s(&mut self.c[at..at + V * S::F32_LANES]);
            c.copy_from_slice(sum);
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

#[inline(always)]
fn activate<S: Simd>(simd: S, activation: Activation, x: S::f32s) -> S::f32s {
    match activation {
        Activation::Tanh => tanh(simd, x),
        Activation::Relu => simd.max_f32s(x, simd.splat_f32s(0.0)),
    }
}

/// x · act′ where `h` is the activation's output.
#[inline(always)]
fn times_derivative<S: Simd>(simd: S, activation: Activation, x: S::f32s, h: S::f32s) -> S::f32s {
    match activation {
        // x (1 − h²)
        Activation::Tanh => {
            let square = simd.mul_f32s(h, h);
            simd.mul_f32s(x, simd.sub_f32s(simd.splat_f32s(1.0), square))
        }
        Activation::Relu => {
            let zero = simd.splat_f32s(0.0);
            let positive = simd.greater_than_f32s(h, zero);
            simd.select_f32s(positive, x, zero)
        }
    }
}

/// Adds Aᵀ D to `weights` `[K, N]` and the column sums of D to `bias` `[N]`: the gradient of a layer
/// with inputs A `[M, K]`, rows `stride` apart, by the gradient D `[M, padded(N)]` of its outputs.
pub(crate) fn add_gradient(
    a: &[f32],
    stride: usize,
    d: &[f32],
    weights: &mut [f32],
    bias: &mut [f32],
) {
    dispatch(AddGradient {
        a,
        stride,
        d,
        weights,
        bias,
    });
}

struct AddGradient<'a> {
    a: &'a [f32],
    stride: usize,
    d: &'a [f32],
    weights: &'a mut [f32],
    bias: &'a mut [f32],
}

impl WithSimd for AddGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        for (first, width) in panels(self.bias.len()) {
            match (S::F32_LANES, width == PANEL) {
                (8, true) => self.panel::<S, 2>(simd, first),
                (8, false) => self.panel::<S, 1>(simd, first),
                (4, true) => self.panel::<S, 4>(simd, first),
                (4, false) => self.panel::<S, 2>(simd, first),
                (1, true) => self.panel::<S, 16>(simd, first),
                (1, false) => self.panel::<S, 8>(simd, first),
                (lanes, _) => unreachable!("vectors of {lanes}"),
            }
        }
    }
}

impl AddGradient<'_> {
    #[inline(always)]
    fn panel<S: Simd, const V: usize>(&mut self, simd: S, first: usize) {
        let columns = self.bias.len();
        let inner = self.weights.len() / columns;
        let whole = inner / ROWS * ROWS;
        for k in (0..whole).step_by(ROWS) {
            self.tile::<S, ROWS, V>(simd, k, first);
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
        add_to::<S, V>(sum, &mut self.bias[first..]);
    }

    #[inline(always)]
    fn tile<S: Simd, const R: usize, const V: usize>(&mut self, simd: S, k: usize, first: usize) {
        let columns = self.bias.len();
        let width = padded(columns);
        let mut sum = [[simd.splat_f32s(0.0); V]; R];
        for (a, d) in self
            .a
            .chunks_exact(self.stride)
            .zip(self.d.chunks_exact(width))
        {
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
            let row = &mut self.weights[(k + r) * columns..][..columns];
            add_to::<S, V>(sum, &mut row[first..]);
        }
    }
}

/// Adds to as many elements as there are; the surplus of the last panel is dropped.
#[inline(always)]
fn add_to<S: Simd, const V: usize>(sum: [S::f32s; V], to: &mut [f32]) {
    let mut lanes = [0.0; PANEL];
    let (vectors, _) = S::as_mut_simd_f32s(&mut lanes[..V * S::F32_LANES]);
    vectors.copy_from_slice(&sum);
    for (to, x) in to.iter_mut().zip(&lanes[..V * S::F32_LANES]) {
        *to += x;
    }
}
