//! Observations in rollouts: floats, or the bytes of images.

use crate::ops::{host_values, host_words, is_host};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
pub use uphill_cpu::rows::scaled;
use uphill_cpu::rows::{self, Rows, words_of};

/// Observations `[.., O]`: floats, or the bytes of images, which a network sees multiplied by `unit`.
///
/// Bytes remain bytes until a network reads them: [`floats`](Self::floats) is called by [`Actor`](crate::policy::Actor)
/// and [`Critic`](crate::policy::Critic), which accept both. Backends without a byte type can store them too, because
/// four bytes share a 32-bit word.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::obs::Obs;
///
/// let device = Device::flex();
/// let obs = Obs::from_bytes(&[0, 1, 255, 2, 0, 3], 3, 0.5, &device);
/// assert_eq!((obs.dims(), obs.bytes()), ([2, 3], 8)); // a row begins with a word
/// let seen: Vec<f32> = obs.floats().into_data().iter().collect();
/// assert_eq!(seen[..3], [0.0, 0.5, 127.5]);
///
/// let floats = Obs::from(Tensor::<2>::zeros([2, 3], &device));
/// assert_eq!(floats.bytes(), 24);
/// ```
#[derive(Clone, Debug)]
pub struct Obs<const D: usize>(Kept<D>);

#[derive(Clone, Debug)]
enum Kept<const D: usize> {
    Floats(Tensor<D>),
    /// Words as in [`Rows::Bytes`], `[.., ⌈O / 4⌉]`.
    Bytes {
        words: Tensor<D, Int>,
        width: usize,
        unit: f32,
    },
}

/// Bytes `[B, O]` of words `[B, ⌈O / 4⌉]`, the lowest first, on any device.
fn bytes_of(words: Tensor<2, Int>, width: usize) -> Tensor<2, Int> {
    let [rows, in_row] = words.dims();
    let byte = |k| words.clone().bitwise_right_shift_scalar(8 * k);
    let bytes = (0..4).map(|k: i32| byte(k).bitwise_and_scalar(255));
    let bytes: Tensor<3, Int> = Tensor::stack(bytes.collect(), 2);
    bytes.reshape([rows, 4 * in_row]).narrow(1, 0, width)
}

/// The inverse of [`bytes_of`].
fn words_from(bytes: Tensor<2, Int>) -> Tensor<2, Int> {
    let [rows, width] = bytes.dims();
    let rest = Tensor::zeros([rows, 4 * words_of(width) - width], &bytes.device());
    let bytes = Tensor::cat(vec![bytes, rest], 1);
    let bytes: Tensor<3, Int> = bytes.reshape([rows, words_of(width), 4]);
    let byte = |k| bytes.clone().narrow(2, k, 1).squeeze_dim::<2>(2);
    (1..4).fold(byte(0), |words, k| {
        words.bitwise_or(byte(k).bitwise_left_shift_scalar(8 * k as i32))
    })
}

/// Maximum number of elements converted to floats at a time if no gradient is needed: 16 MiB of them.
const PASS: usize = 1 << 22;

impl<const D: usize> From<Tensor<D>> for Obs<D> {
    fn from(floats: Tensor<D>) -> Self {
        Self(Kept::Floats(floats))
    }
}

impl<const D: usize> Obs<D> {
    /// Shape, with `O` last.
    pub fn dims(&self) -> [usize; D] {
        match &self.0 {
            Kept::Floats(floats) => floats.dims(),
            Kept::Bytes { words, width, .. } => {
                let mut dims = words.dims();
                dims[D - 1] = *width;
                dims
            }
        }
    }

    /// Device of the observations.
    pub fn device(&self) -> Device {
        match &self.0 {
            Kept::Floats(floats) => floats.device(),
            Kept::Bytes { words, .. } => words.device(),
        }
    }

    /// Size in memory, in bytes.
    pub fn bytes(&self) -> usize {
        match &self.0 {
            Kept::Floats(floats) => floats.shape().num_elements() * floats.dtype().size(),
            Kept::Bytes { words, .. } => words.shape().num_elements() * words.dtype().size(),
        }
    }

    /// Floats, as a network sees them.
    pub fn floats(self) -> Tensor<D> {
        let dims = self.dims();
        match self.0 {
            Kept::Floats(floats) => floats,
            Kept::Bytes { words, width, unit } if is_host(&words.device()) => {
                let device = words.device();
                let mut floats = vec![0.0; dims.iter().product()];
                rows::unpack(&host_words(words), unit, width, &mut floats);
                Tensor::from_data(TensorData::new(floats, dims), &device)
            }
            Kept::Bytes { words, width, unit } => {
                let bytes = bytes_of(words.reshape([-1, words_of(width) as i32]), width);
                bytes.float().mul_scalar(unit).reshape(dims)
            }
        }
    }

    /// Observations at `indices` along `dim`, which must not be the last dimension.
    pub fn select(self, dim: usize, indices: Tensor<1, Int>) -> Self {
        let of_floats = indices.clone();
        self.map(
            |floats| floats.select(dim, of_floats),
            |words| words.select(dim, indices),
        )
    }

    /// `len` observations starting at `start` along `dim`, which must not be the last dimension.
    pub fn narrow(self, dim: usize, start: usize, len: usize) -> Self {
        self.map(
            |floats| floats.narrow(dim, start, len),
            |words| words.narrow(dim, start, len),
        )
    }

    /// Concatenates observations of one kind along the first dimension.
    ///
    /// # Panics
    /// If some are floats and some bytes, or there are none.
    pub fn cat(all: Vec<Self>) -> Self {
        let (mut floats, mut words) = (vec![], vec![]);
        let mut kind = None;
        for obs in all {
            match obs.0 {
                Kept::Floats(tensor) => floats.push(tensor),
                Kept::Bytes {
                    words: tensor,
                    width,
                    unit,
                } => {
                    kind = Some((width, unit));
                    words.push(tensor);
                }
            }
        }
        match kind {
            None => Tensor::cat(floats, 0).into(),
            Some((width, unit)) => {
                assert!(floats.is_empty(), "floats and bytes");
                let words = Tensor::cat(words, 0);
                Self(Kept::Bytes { words, width, unit })
            }
        }
    }

    fn map<const E: usize>(
        self,
        floats: impl FnOnce(Tensor<D>) -> Tensor<E>,
        words: impl FnOnce(Tensor<D, Int>) -> Tensor<E, Int>,
    ) -> Obs<E> {
        Obs(match self.0 {
            Kept::Floats(tensor) => Kept::Floats(floats(tensor)),
            Kept::Bytes {
                words: tensor,
                width,
                unit,
            } => Kept::Bytes {
                words: words(tensor),
                width,
                unit,
            },
        })
    }
}

impl Obs<2> {
    /// Observations from rows of `width` bytes, `[B, O]`.
    ///
    /// # Panics
    /// If there are no rows of that width.
    pub fn from_bytes(bytes: &[u8], width: usize, unit: f32, device: &Device) -> Self {
        let rows = bytes.len() / width;
        assert_eq!(bytes.len(), rows * width, "number of bytes, B · O");
        let data = TensorData::new(rows::packed(bytes, width), [rows, words_of(width)]);
        let words = Tensor::from_data(data, (device, DType::I32));
        Self(Kept::Bytes { words, width, unit })
    }

    /// Bytes of observations `[B, O]` in the form that a network sees.
    pub fn packed(seen: Tensor<2>, unit: f32) -> Self {
        let (device, [_, width]) = (seen.device(), seen.dims());
        let bytes = (seen * (1.0 / f64::from(unit))).round();
        if is_host(&device) {
            let bytes = host_values(bytes).into_iter();
            let bytes: Vec<u8> = bytes.map(|byte| byte as u8).collect();
            return Self::from_bytes(&bytes, width, unit, &device);
        }
        let words = words_from(bytes.int());
        Self(Kept::Bytes { words, width, unit })
    }

    /// The same observations as `T` rows of `N`, `[T, N, O]`.
    pub fn in_steps(self, [steps, envs]: [usize; 2]) -> Obs<3> {
        let shape = |width| [steps, envs, width];
        self.map(
            |floats| {
                let [_, width] = floats.dims();
                floats.reshape(shape(width))
            },
            |words| {
                let [_, width] = words.dims();
                words.reshape(shape(width))
            },
        )
    }

    /// Parts to convert to floats one after the other, if no gradient is needed: bytes in passes of 4 million elements,
    /// floats all at once.
    pub(crate) fn passes(self) -> Vec<Self> {
        let [rows, width] = self.dims();
        let at_once = match self.0 {
            Kept::Floats(_) => rows,
            Kept::Bytes { .. } => (PASS / width.max(1)).max(1),
        };
        if rows <= at_once {
            return vec![self];
        }
        let starts = (0..rows).step_by(at_once);
        let part = |start| (self.clone()).narrow(0, start, at_once.min(rows - start));
        starts.map(part).collect()
    }

    /// Rows for loops on slices, which convert bytes to floats themselves; with `changed`, the floats that it returns.
    pub(crate) fn rows(self, changed: Option<impl FnOnce(Tensor<2>) -> Tensor<2>>) -> Rows {
        match (self.0, changed) {
            (Kept::Bytes { words, width, unit }, None) => {
                let words = host_words(words);
                Rows::Bytes { words, width, unit }
            }
            (kept, changed) => {
                let floats = Self(kept).floats();
                let floats = match changed {
                    Some(change) => change(floats),
                    None => floats,
                };
                Rows::Floats(host_values(floats))
            }
        }
    }
}

impl Obs<3> {
    /// Observations of all steps of all copies, `[T·N, O]`.
    pub fn flat(self) -> Obs<2> {
        self.map(
            |floats| {
                let [steps, envs, width] = floats.dims();
                floats.reshape([steps * envs, width])
            },
            |words| {
                let [steps, envs, width] = words.dims();
                words.reshape([steps * envs, width])
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What devices other than the host compute, on the host.
    #[test]
    fn words_hold_four_bytes_each() {
        for width in [1usize, 3, 4, 6] {
            let device = Device::default();
            let bytes: Vec<i32> = (0..2 * width as i32)
                .map(|i| (i * 97 + 130) % 256)
                .collect();
            let rows = Tensor::<1, Int>::from_ints(bytes.as_slice(), &device).reshape([2, width]);
            let words = words_from(rows.clone());
            assert_eq!(words.dims(), [2, width.div_ceil(4)]);
            let low = rows.clone().narrow(1, 0, 1);
            let lowest = words.clone().narrow(1, 0, 1).bitwise_and_scalar(255);
            assert_eq!(lowest.into_data(), low.into_data());
            assert_eq!(bytes_of(words, width).into_data(), rows.into_data());
        }
    }

    #[test]
    fn bytes_are_converted_a_few_million_at_a_time() {
        let device = Device::default();
        let rows_of = |obs: Obs<2>| -> Vec<usize> {
            obs.passes().iter().map(|part| part.dims()[0]).collect()
        };
        let bytes = vec![0; 5 * (PASS / 2)];
        assert_eq!(
            rows_of(Obs::from_bytes(&bytes, PASS / 2, 1.0, &device)),
            [2, 2, 1]
        );
        assert_eq!(
            rows_of(Obs::from_bytes(&bytes[..PASS], PASS / 2, 1.0, &device)),
            [2]
        );
        let floats = Tensor::<2>::zeros([5, PASS / 2], &device);
        assert_eq!(rows_of(floats.into()), [5]);
    }
}
