//! Tests of `uphill-core` on the device that `UPHILL_TEST_DEVICE` names (flex, ndarray, wgpu, cuda).

#![allow(clippy::unwrap_used)]

mod advantage;
mod autodiff;
mod baseline;
mod check_shape;
#[path = "../gradients/dense.rs"]
mod dense;
mod device;
#[cfg(all(feature = "gpu", feature = "flex"))]
mod device_ops;
mod dist;
mod dist_custom;
mod fisher;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod fused;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod host_loops;
mod line_search;
mod loss;
mod nn;
mod normalize;
mod obs;
#[cfg(any(feature = "flex", feature = "ndarray"))]
mod ops;
mod optim;
mod params;
mod peers;
mod recurrent;
mod rollout;
mod schedule;
mod threads;

use burn::tensor::{Tensor, TensorData};

/// `[rows, columns]` on the test device.
fn matrix<const R: usize, const C: usize>(values: [[f32; C]; R]) -> Tensor<2> {
    Tensor::from_data(TensorData::from(values), &device::device())
}

/// `[len]` on the test device.
fn vector(values: &[f32]) -> Tensor<1> {
    Tensor::from_data(
        TensorData::new(values.to_vec(), [values.len()]),
        &device::device(),
    )
}

/// The elements in row-major order.
fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter().collect()
}

/// Panics unless every element is within `tolerance · max(1, |expected|)`.
#[track_caller]
fn assert_close<const D: usize>(found: Tensor<D>, expected: &[f64], tolerance: f64) {
    let found = numbers(found);
    assert_eq!(found.len(), expected.len(), "number of elements");
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        let error = (f - e).abs() / e.abs().max(1.0);
        assert!(error <= tolerance, "element {i}: found {f}, expected {e}");
    }
}
