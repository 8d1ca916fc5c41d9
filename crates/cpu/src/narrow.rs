//! Matrix products with few columns, as in the last layers of policies and value functions.
//!
//! Vectors run along the inputs, since panels of columns would be nearly empty.

use crate::gemm::{Gradient, padded};
use crate::simd::dispatch;
use pulp::{Simd, WithSimd};

/// Maximum number of columns.
pub(crate) const NARROW: usize = 4;
/// Inputs are padded to a multiple of this, which is a multiple of every vector length.
const UNIT: usize = 16;
/// Rows processed together.
const ROWS: usize = 4;

/// The transpose of a `[K, N]` matrix, with rows padded by zeros.
#[derive(Clone, Debug, Default)]
pub(crate) struct Narrow {
    values: Vec<f32>,
    columns: usize,
}

impl Narrow {
    /// Copies in a row-major matrix `[inner, columns]`.
    pub(crate) fn pack(&mut self, matrix: &[f32], inner: usize, columns: usize) {
        let len = inner.next_multiple_of(UNIT);
        self.columns = columns;
        self.values.resize(columns * len, 0.0);
        for (n, row) in self.values.chunks_exact_mut(len).enumerate() {
            let column = matrix[n..].iter().step_by(columns);
            row.iter_mut().zip(column).for_each(|(to, x)| *to = *x);
        }
    }
}

/// C = A B + b. Rows of A are `stride` apart, with zeros after its columns up to a whole number of vectors; C is `[M,
/// padded(N)]`.
pub(crate) fn product(a: &[f32], stride: usize, b: &Narrow, bias: &[f32], c: &mut [f32]) {
    dispatch(Product {
        a,
        stride,
        b,
        bias,
        c,
    });
}

pub(super) struct Product<'a> {
    pub(super) a: &'a [f32],
    pub(super) stride: usize,
    pub(super) b: &'a Narrow,
    pub(super) bias: &'a [f32],
    pub(super) c: &'a mut [f32],
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.b.columns {
            1 => self.run::<S, 1>(simd),
            2 => self.run::<S, 2>(simd),
            3 => self.run::<S, 3>(simd),
            NARROW => self.run::<S, NARROW>(simd),
            columns => unreachable!("{columns} columns"),
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    fn run<S: Simd, const N: usize>(mut self, simd: S) {
        let rows = self.c.len() / padded(N);
        let whole = rows / ROWS * ROWS;
        for row in (0..whole).step_by(ROWS) {
            self.tile::<S, N, ROWS>(simd, row);
        }
        for row in whole..rows {
            self.tile::<S, N, 1>(simd, row);
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const N: usize, const R: usize>(&mut self, simd: S, row: usize) {
        let inner = self.b.values.len() / N;
        let mut a: [&[S::f32s]; R] = [&[]; R];
        for (r, a) in a.iter_mut().enumerate() {
            *a = vectors::<S>(&self.a[(row + r) * self.stride..][..inner]);
        }
        let mut b: [&[S::f32s]; N] = [&[]; N];
        for (n, b) in b.iter_mut().enumerate() {
            *b = vectors::<S>(&self.b.values[n * inner..][..inner]);
        }
        let mut sum = [[simd.splat_f32s(0.0); N]; R];
        for k in 0..inner / S::F32_LANES {
            for (a, sum) in a.iter().zip(&mut sum) {
                for (b, sum) in b.iter().zip(sum) {
                    *sum = simd.mul_add_e_f32s(a[k], b[k], *sum);
                }
            }
        }
        for (r, sum) in sum.into_iter().enumerate() {
            let c = &mut self.c[(row + r) * padded(N)..][..N];
            for ((c, sum), bias) in c.iter_mut().zip(sum).zip(self.bias) {
                *c = bias + simd.reduce_sum_f32s(sum);
            }
        }
    }
}

/// [`gemm::gradient`](crate::gemm::gradient) for a layer with few outputs.
pub(crate) fn gradient(a: &[f32], stride: usize, d: &[f32], into: Gradient<'_>) {
    dispatch(OfLayer { a, stride, d, into });
}

pub(super) struct OfLayer<'a> {
    pub(super) a: &'a [f32],
    pub(super) stride: usize,
    pub(super) d: &'a [f32],
    pub(super) into: Gradient<'a>,
}

impl WithSimd for OfLayer<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.into.bias.len() {
            1 => self.run::<S, 1>(simd),
            2 => self.run::<S, 2>(simd),
            3 => self.run::<S, 3>(simd),
            NARROW => self.run::<S, NARROW>(simd),
            columns => unreachable!("{columns} columns"),
        }
    }
}

impl OfLayer<'_> {
    #[inline(always)]
    fn run<S: Simd, const N: usize>(mut self, simd: S) {
        let units = (self.into.weights.len() / N).div_ceil(UNIT);
        for unit in 0..units {
            match S::F32_LANES {
                16 => self.unit::<S, N, 1>(simd, unit * UNIT),
                8 => self.unit::<S, N, 2>(simd, unit * UNIT),
                4 => self.unit::<S, N, 4>(simd, unit * UNIT),
                _ => self.unit::<S, N, UNIT>(simd, unit * UNIT),
            }
        }
        let mut sum = [0.0; N];
        for d in self.d.chunks_exact(padded(N)) {
            sum.iter_mut().zip(d).for_each(|(sum, d)| *sum += d);
        }
        for (bias, x) in self.into.bias.iter_mut().zip(sum) {
            *bias = if self.into.fresh { x } else { *bias + x };
        }
    }

    /// Gradient with respect to the weights of sixteen inputs, the last of which may not exist.
    #[inline(always)]
    fn unit<S: Simd, const N: usize, const V: usize>(&mut self, simd: S, first: usize) {
        let mut sum = [[simd.splat_f32s(0.0); V]; N];
        let rows = self.a.chunks_exact(self.stride);
        for (a, d) in rows.zip(self.d.chunks_exact(padded(N))) {
            let a = vectors::<S>(&a[first..][..UNIT]);
            for (sum, d) in sum.iter_mut().zip(d) {
                let d = simd.splat_f32s(*d);
                for (sum, a) in sum.iter_mut().zip(a) {
                    *sum = simd.mul_add_e_f32s(*a, d, *sum);
                }
            }
        }
        let rows = self.into.weights[first * N..].chunks_exact_mut(N);
        let mut values = [[0.0; UNIT]; N];
        for (values, sum) in values.iter_mut().zip(sum) {
            let (to, _) = S::as_mut_simd_f32s(values);
            to.copy_from_slice(&sum);
        }
        for (k, row) in rows.take(UNIT).enumerate() {
            for (to, values) in row.iter_mut().zip(&values) {
                *to = if self.into.fresh {
                    values[k]
                } else {
                    *to + values[k]
                };
            }
        }
    }
}

#[inline(always)]
fn vectors<S: Simd>(from: &[f32]) -> &[S::f32s] {
    S::as_simd_f32s(from).0
}
