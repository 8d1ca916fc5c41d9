//! Random orthonormal sets, uniformly (Haar) distributed, for initial weights.

use crate::simd::dispatch;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::slice;

/// Number of vectors made one at a time. The rest are made in blocks, which takes seconds instead of minutes for
/// thousands of vectors.
const ONE_BY_ONE: usize = 256;
const BLOCK: usize = 64;
/// Vectors of a block that one thread handles at a time: they stay in its cache while the set streams past.
const GROUP: usize = 8;

/// Row-major `[inputs, outputs]` matrix whose shorter side is an orthonormal set, times `gain`, from draws of a
/// standard `normal` distribution.
pub fn orthogonal(
    inputs: usize,
    outputs: usize,
    gain: f64,
    mut normal: impl FnMut() -> f64,
) -> Vec<f64> {
    let set = orthonormal(inputs.min(outputs), inputs.max(outputs), &mut normal);
    let at = |i: usize, o: usize| {
        if inputs <= outputs {
            set[i][o]
        } else {
            set[o][i]
        }
    };
    (0..inputs * outputs)
        .map(|k| gain * at(k / outputs, k % outputs))
        .collect()
}

/// `count` orthonormal vectors of `length` ≥ `count`.
///
/// Gram–Schmidt on standard normal vectors; two passes keep the set orthogonal to rounding. Within a block, the
/// components along earlier vectors are removed in one pass, a few at a time (modified Gram–Schmidt), whose error grows
/// with the condition number of the vectors, about `count`.
fn orthonormal(count: usize, length: usize, normal: &mut impl FnMut() -> f64) -> Vec<Vec<f64>> {
    let mut set: Vec<Vec<f64>> = Vec::with_capacity(count);
    while set.len() < count.min(ONE_BY_ONE) {
        let mut v = normals(length, normal);
        for _ in 0..2 {
            for b in &set {
                let projection = dot(&v, b);
                v.iter_mut().zip(b).for_each(|(x, y)| *x -= projection * y);
            }
        }
        set.push(normalised(v));
    }
    while set.len() < count {
        let earlier = set.len();
        let size = BLOCK.min(count - earlier);
        let mut block: Vec<_> = (0..size).map(|_| normals(length, normal)).collect();
        let groups = block.par_chunks_mut(GROUP);
        groups.for_each(|vectors| dispatch(Without { vectors, set: &set }));
        for mut v in block {
            for _ in 0..2 {
                dispatch(Without {
                    vectors: slice::from_mut(&mut v),
                    set: &set[earlier..],
                });
            }
            set.push(normalised(v));
        }
    }
    set
}

fn normals(length: usize, normal: &mut impl FnMut() -> f64) -> Vec<f64> {
    (0..length).map(|_| normal()).collect()
}

fn normalised(mut v: Vec<f64>) -> Vec<f64> {
    let norm = dot(&v, &v).sqrt();
    v.iter_mut().for_each(|x| *x /= norm);
    v
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// v ← v − Σ b (b·v) for each of the vectors, over an orthonormal set.
struct Without<'a> {
    vectors: &'a mut [Vec<f64>],
    set: &'a [Vec<f64>],
}

impl WithSimd for Without<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for some in self.set.chunks(4) {
            for v in self.vectors.iter_mut() {
                match some {
                    [a, b, c, d] => without(simd, v, [a, b, c, d]),
                    fewer => fewer.iter().for_each(|b| without(simd, v, [b])),
                }
            }
        }
    }
}

#[inline(always)]
fn without<S: Simd, const N: usize>(simd: S, v: &mut [f64], set: [&[f64]; N]) {
    let (head, tail) = S::as_mut_simd_f64s(v);
    let parts = set.map(|b| {
        let (b, rest) = S::as_simd_f64s(b);
        (&b[..head.len()], &rest[..tail.len()])
    });
    let mut sums = [simd.splat_f64s(0.0); N];
    for (i, x) in head.iter().enumerate() {
        for (sum, (b, _)) in sums.iter_mut().zip(parts) {
            *sum = simd.mul_add_f64s(*x, b[i], *sum);
        }
    }
    let mut along = [0.0; N];
    for (along, (sum, (_, rest))) in along.iter_mut().zip(sums.into_iter().zip(parts)) {
        *along = simd.reduce_sum_f64s(sum) + dot(tail, rest);
    }
    let minus = along.map(|along| simd.splat_f64s(-along));
    for (i, x) in head.iter_mut().enumerate() {
        for (minus, (b, _)) in minus.iter().zip(parts) {
            *x = simd.mul_add_f64s(*minus, b[i], *x);
        }
    }
    for (i, x) in tail.iter_mut().enumerate() {
        for (along, (_, rest)) in along.iter().zip(parts) {
            *x -= along * rest[i];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng, rngs::SmallRng};

    /// More vectors than are made one at a time, and a last block that is not full.
    const COUNT: usize = ONE_BY_ONE + 2 * BLOCK + 3;

    /// Standard normal numbers (Box–Muller).
    fn draws() -> impl FnMut() -> f64 {
        let mut rng = SmallRng::seed_from_u64(1);
        move || {
            let [radius, angle] = [0; 2].map(|_| rng.random_range(1e-300..1.0));
            (-2.0 * f64::ln(radius)).sqrt() * (std::f64::consts::TAU * angle).cos()
        }
    }

    fn set(length: usize) -> Vec<Vec<f64>> {
        orthonormal(COUNT, length, &mut draws())
    }

    #[test]
    fn blocks_are_orthonormal() {
        // The second matrix is square, so that little is left of the last vector.
        for length in [COUNT + 14, COUNT] {
            let set = set(length);
            assert_eq!(set.len(), COUNT);
            for (i, a) in set.iter().enumerate() {
                for (j, b) in set[..=i].iter().enumerate() {
                    let expected = f64::from(u8::from(i == j));
                    assert!((dot(a, b) - expected).abs() < 1e-11, "{i}, {j}");
                }
            }
        }
    }

    /// Hence they are as uniformly distributed: blocks only round differently.
    #[test]
    fn blocks_are_what_one_vector_after_the_other_gives() {
        let length = COUNT + 7;
        let mut normal = draws();
        let mut one_by_one: Vec<Vec<f64>> = vec![];
        for _ in 0..COUNT {
            let mut v = normals(length, &mut normal);
            for _ in 0..2 {
                for b in &one_by_one {
                    let along = dot(&v, b);
                    v.iter_mut().zip(b).for_each(|(x, y)| *x -= along * y);
                }
            }
            one_by_one.push(normalised(v));
        }
        for (a, b) in set(length).iter().zip(&one_by_one) {
            assert!(a.iter().zip(b).all(|(x, y)| (x - y).abs() < 1e-11));
        }
    }

    #[test]
    fn on_every_width_of_vector_the_set_is_taken_out() {
        use crate::simd::on_every_width;
        let set = set(COUNT + 5);
        let (set, others) = set.split_at(7);
        // A vector of the set, one orthogonal to it, and their sum.
        let sum: Vec<f64> = set[3].iter().zip(&others[0]).map(|(x, y)| x + y).collect();
        on_every_width!(
            vectors in [set[3].clone(), others[0].clone(), sum.clone()],
            Without { vectors: &mut vectors, set } => {
                let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(x, y)| (x - y).abs() < 1e-12);
                assert!(close(&vectors[0], &vec![0.0; COUNT + 5]));
                assert!(close(&vectors[1], &others[0]));
                assert!(close(&vectors[2], &others[0]));
            }
        );
    }
}
