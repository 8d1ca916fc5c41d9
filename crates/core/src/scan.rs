//! First-order linear recurrences along time.
//!
//! Every trace of reinforcement learning (returns, GAE, discounted sums of rewards) is such a recurrence. It is one
//! loop in host memory and one launch on a GPU. Otherwise (if gradients are recorded, or for other float types) it is
//! evaluated by recursive doubling (Hillis & Steele 1986): ⌈log₂ T⌉ whole-tensor operations instead of T small ones,
//! without leaving the device.

use crate::ops;
use burn::tensor::Tensor;
use uphill_gpu::{device::on_device, experience};

/// y_t = x_t + d_t · y_{t+1}, with y_T = 0. All `[T, N]`.
pub(crate) fn reverse(x: Tensor<2>, decay: Tensor<2>) -> Tensor<2> {
    assert_eq!(decay.dims(), x.dims(), "shape of decay");
    if ops::on_host(&x) && !x.device().is_autodiff() {
        return ops::scan_reverse(x, decay);
    }
    if on_device(&x) {
        return experience::scan_reverse(x, decay);
    }
    doubling(x, decay)
}

fn doubling(mut x: Tensor<2>, mut decay: Tensor<2>) -> Tensor<2> {
    let [steps, _] = x.dims();
    let mut shift = 1;
    while shift < steps {
        x = x.clone() + decay.clone() * later(x, shift);
        decay = decay.clone() * later(decay, shift);
        shift *= 2;
    }
    x
}

/// y_t = x_t + d_t · y_{t−1}, with y_{−1} = 0. All `[T, N]`.
pub(crate) fn forward(x: Tensor<2>, decay: Tensor<2>) -> Tensor<2> {
    reverse(x.flip([0]), decay.flip([0])).flip([0])
}

/// Shifts rows down by one: the row before each row, zero before the first.
pub(crate) fn previous(x: Tensor<2>) -> Tensor<2> {
    later(x.flip([0]), 1).flip([0])
}

/// Shifts rows up: the row `shift` steps later, zero past the end.
fn later(x: Tensor<2>, shift: usize) -> Tensor<2> {
    let [steps, _] = x.dims();
    if shift >= steps {
        return x.zeros_like();
    }
    let past_the_end = x.clone().narrow(0, 0, shift).zeros_like();
    Tensor::cat(vec![x.narrow(0, shift, steps - shift), past_the_end], 0)
}
