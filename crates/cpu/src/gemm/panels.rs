//! Memory layout of matrices for products: panels of sixteen columns, padded rows of layers.

use pulp::Simd;

/// Columns of a panel; one row of it fills a cache line.
pub(super) const PANEL: usize = 16;

/// Row length in the buffers of a layer of width `width`: whole panels, and an odd number of them. Rows an even number
/// of cache lines apart would compete for the same cache sets.
pub fn padded(width: usize) -> usize {
    (width.div_ceil(PANEL) | 1) * PANEL
}

/// The columns of a `[K, N]` matrix cut into panels, each stored contiguously as `[K, 16]` and padded with zeros.
#[derive(Clone, Debug, Default)]
pub struct Panels {
    pub(super) values: Vec<f32>,
    pub(super) inner: usize,
    pub(super) columns: usize,
}

impl Panels {
    /// Panels of a row-major matrix `[inner, columns]`.
    pub fn packed(matrix: &[f32], inner: usize, columns: usize) -> Self {
        let mut panels = Self::default();
        panels.pack(matrix, inner, columns);
        panels
    }

    /// Copies in a row-major matrix `[inner, columns]`.
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

    /// Copies in the transpose of a row-major matrix `[columns, inner]`.
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

    /// Panels of an `[inner, columns]` matrix, each with the index of its first column. Surplus columns hold zeros.
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

/// Loads the first vectors of `from`.
#[inline(always)]
pub(super) fn load<S: Simd, const V: usize>(from: &[f32]) -> [S::f32s; V] {
    let (vectors, _) = S::as_simd_f32s(&from[..V * S::F32_LANES]);
    let mut loaded = [vectors[0]; V];
    loaded.copy_from_slice(vectors);
    loaded
}
