//! Rows of observations, as floats or as bytes packed four to a word.

use crate::{
    dist::mask_rows,
    mlp::{BLOCK, Weights, infer},
};

/// Rows of `O` elements.
#[derive(Clone, Debug)]
pub enum Rows {
    /// Floats `[B, O]`.
    Floats(Vec<f32>),
    /// Bytes, which a network sees multiplied by `unit`.
    Bytes {
        /// Four bytes each, the first one lowest; every row begins with a new word, `[B, ⌈O / 4⌉]`.
        words: Vec<i32>,
        /// Number of elements in a row, `O`.
        width: usize,
        /// Factor from a byte to a number.
        unit: f32,
    },
}

/// Number of words of a row of `width` bytes.
pub fn words_of(width: usize) -> usize {
    width.div_ceil(4)
}

/// Packs rows of `width` bytes into words.
pub fn packed(bytes: &[u8], width: usize) -> Vec<i32> {
    let rows = bytes.chunks_exact(width.max(1));
    rows.flat_map(|row| row.chunks(4).map(word)).collect()
}

/// Packs up to four bytes, the first one lowest.
fn word(bytes: &[u8]) -> i32 {
    let mut all = [0; 4];
    all[..bytes.len()].copy_from_slice(bytes);
    i32::from_le_bytes(all)
}

/// Converts rows of words to floats as a network sees them; `to` is `[B, width]`.
pub fn unpack(words: &[i32], unit: f32, width: usize, to: &mut [f32]) {
    let rows = words.chunks_exact(words_of(width).max(1));
    for (to, words) in to.chunks_exact_mut(width.max(1)).zip(rows) {
        for (to, word) in to.chunks_mut(4).zip(words) {
            for (to, byte) in to.iter_mut().zip(word.to_le_bytes()) {
                *to = scaled(byte, unit);
            }
        }
    }
}

/// A byte as a network sees it.
#[inline]
pub fn scaled(byte: u8, unit: f32) -> f32 {
    f32::from(byte) * unit
}

/// Number of rows of bytes converted to floats at a time.
const PASS: usize = 16 * BLOCK;

impl Rows {
    /// Outputs of a policy for all rows; forbidden actions are masked.
    pub(crate) fn outputs(&self, weights: &Weights) -> Vec<f32> {
        let outputs = |obs: &[f32]| {
            let mut outputs = infer(weights, obs);
            mask_rows(&mut outputs, obs, weights.shape());
            outputs
        };
        match self {
            Self::Floats(obs) => outputs(obs),
            Self::Bytes { words, width, unit } => {
                let passes = words.chunks(PASS * words_of(*width));
                let pass = |words: &[i32]| {
                    let mut obs = vec![0.0; words.len() / words_of(*width) * width];
                    unpack(words, *unit, *width, &mut obs);
                    outputs(&obs)
                };
                passes.flat_map(pass).collect()
            }
        }
    }

    /// Writes row `row`, as a network sees it, to `to` `[O]`.
    #[inline]
    pub(crate) fn read(&self, row: usize, to: &mut [f32]) {
        match self {
            Self::Floats(floats) => copy_row(to, &floats[row * to.len()..][..to.len()]),
            Self::Bytes { words, width, unit } => {
                let len = words_of(*width);
                unpack(&words[row * len..][..len], *unit, *width, to);
            }
        }
    }
}

/// Rows are short: calling the system's copy routine would take longer.
fn copy_row(to: &mut [f32], from: &[f32]) {
    let ((to, last), (from, last_from)) = (to.as_chunks_mut::<4>(), from.as_chunks::<4>());
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    last.copy_from_slice(last_from);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_from_words_whatever_the_width() {
        for width in 1..10 {
            let bytes: Vec<u8> = (0..3 * width).map(|i| (i * 37 + 250) as u8).collect();
            let words = packed(&bytes, width);
            assert_eq!(words.len(), 3 * words_of(width));
            let rows = Rows::Bytes {
                words,
                width,
                unit: 0.5,
            };
            let mut row = vec![-1.0; width];
            for (i, bytes) in bytes.chunks(width).enumerate() {
                rows.read(i, &mut row);
                let expected: Vec<f32> = bytes.iter().map(|b| f32::from(*b) * 0.5).collect();
                assert_eq!(row, expected, "row {i} of {width}");
            }
        }
    }
}
