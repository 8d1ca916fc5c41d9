//! Gradient of a layer's parameters: inputs, transposed, times the gradient of the outputs.

use super::panels::{PANEL, load, padded};
use crate::simd::dispatch;
use pulp::{Simd, WithSimd};

/// Destination of a gradient: the weights `[K, N]` and the bias `[N]` of a layer.
pub(crate) struct Gradient<'a> {
    pub(crate) weights: &'a mut [f32],
    pub(crate) bias: &'a mut [f32],
    /// Overwrites the destination instead of adding to it.
    pub(crate) fresh: bool,
}

#[cfg(test)]
impl<'a> Gradient<'a> {
    /// Weights `[K, N]` and bias `[N]`, stored one after the other.
    pub(crate) fn over(layer: &'a mut [f32], columns: usize, fresh: bool) -> Self {
        let (weights, bias) = layer.split_at_mut(layer.len() - columns);
        Self {
            weights,
            bias,
            fresh,
        }
    }
}

/// Computes Aᵀ D for the weights and the column sums of D for the bias: the gradient of a layer with inputs A `[M, K]`,
/// rows `stride` apart, from the gradient D `[M, padded(N)]` with respect to its outputs.
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

/// Adds to the existing elements, or overwrites them; the surplus of the last panel is dropped.
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
