//! Matrix products at the sizes of small networks, fused with bias, nonlinearity and derivative.
//!
//! Rows are samples. A product takes a few rows and one panel of sixteen columns at a time, keeps the result in
//! registers, and applies bias, nonlinearity or its derivative before storing. Every result is a function of its
//! operands alone: sums run in one fixed order.

mod finish;
mod gradient;
mod panels;
#[cfg(test)]
mod tests;

pub(crate) use gradient::{Gradient, gradient};
pub use panels::{Panels, padded};

use crate::shape::Activation;
use crate::simd::dispatch;
use finish::{Finish, Identity, OfRelu, OfTanh, TimesReluDerivative, TimesTanhDerivative};
use panels::{PANEL, load};
use pulp::{Simd, WithSimd};

/// Initial value of a product, and the operation applied before it is stored.
#[derive(Clone, Copy, Debug)]
pub enum Epilogue<'a> {
    /// act(A B + b), with a bias padded to whole panels.
    Layer {
        /// b, padded to whole panels.
        bias: &'a [f32],
        /// act; `None` is the identity.
        activation: Option<Activation>,
    },
    /// (A B) ∘ act′, with the derivative taken from the layer's outputs (same rows as the result).
    Derivative {
        /// Outputs of the layer, laid out like the results.
        outputs: &'a [f32],
        /// act.
        activation: Activation,
    },
}

/// C = epilogue(A B): A `[M, K]` with rows `stride` apart, B packed, C `[M, padded(N)]`.
pub fn product(a: &[f32], stride: usize, b: &Panels, epilogue: Epilogue<'_>, c: &mut [f32]) {
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

impl Product<'_> {
    #[inline(always)]
    fn run<S: Simd, F: Finish>(mut self, simd: S, bias: &[f32], finish: F) {
        for first in (0..self.b.columns).step_by(PANEL) {
            // Columns beyond the last do not deserve a vector. The numbers of vectors and rows that keep all registers
            // busy are constants of the instruction set.
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
        // Tiles of four rows, which are nearly as fast, take the remainder that large tiles would leave.
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
