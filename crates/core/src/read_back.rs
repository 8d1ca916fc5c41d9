//! The way back from the device, and how often it was taken.
//!
//! Waiting for numbers costs a GPU more than computing them, so an iteration of training that stays on the device
//! reads once, at its end. Whoever has to read does it here, where a test can count.

use burn::tensor::{Tensor, TensorData, Transaction};
use std::cell::Cell;

thread_local! {
    static TIMES: Cell<u64> = const { Cell::new(0) };
}

/// The elements in row-major order. The device finishes everything that they depend on first.
pub fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    TIMES.set(TIMES.get() + 1);
    tensor.into_data().iter().collect()
}

/// The elements of all of them, one after the other, with one wait. Nothing is launched to join them first.
pub fn read_all(tensors: Vec<Tensor<1>>) -> Vec<f64> {
    TIMES.set(TIMES.get() + 1);
    let all = tensors.into_iter();
    let all = all.fold(Transaction::default(), Transaction::register);
    all.execute().iter().flat_map(TensorData::iter).collect()
}

/// How often this thread has read.
pub fn times() -> u64 {
    TIMES.get()
}
