//! Counted reads from the device.
//!
//! Waiting for numbers costs a GPU more than computing them, so a training iteration that stays on the device reads
//! once, at its end. All reads go through this module, so that a test can count them.

use burn::tensor::{Tensor, TensorData, Transaction};
use std::cell::Cell;

thread_local! {
    static TIMES: Cell<u64> = const { Cell::new(0) };
}

/// The elements in row-major order. Waits until the device has computed them.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::read_back::{read, times};
///
/// let before = times();
/// assert_eq!(read(Tensor::<1>::from_floats([1.0, 2.0], &Device::flex())), [1.0, 2.0]);
/// assert_eq!(times(), before + 1);
/// ```
pub fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    TIMES.set(TIMES.get() + 1);
    tensor.into_data().iter().collect()
}

/// The elements of all tensors, one after the other, with a single wait. No kernel is launched to concatenate them.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::read_back::read_all;
///
/// let device = Device::flex();
/// let tensors = vec![Tensor::from_floats([1.0], &device), Tensor::from_floats([2.0, 3.0], &device)];
/// assert_eq!(read_all(tensors), [1.0, 2.0, 3.0]);
/// ```
pub fn read_all(tensors: Vec<Tensor<1>>) -> Vec<f64> {
    TIMES.set(TIMES.get() + 1);
    let all = tensors.into_iter();
    let all = all.fold(Transaction::default(), Transaction::register);
    all.execute().iter().flat_map(TensorData::iter).collect()
}

/// Number of reads by this thread.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::read_back::{read, times};
///
/// let before = times();
/// read(Tensor::<1>::zeros([1], &Device::flex()));
/// assert_eq!(times() - before, 1);
/// ```
pub fn times() -> u64 {
    TIMES.get()
}
