//! First-order linear recurrences along time.
//!
//! Every trace of reinforcement learning (returns, GAE, discounted sums of rewards) is one of these.
//! In host memory that is one loop. Elsewhere they are evaluated by recursive doubling (Hillis & Steele
//! 1986): ⌈log₂ T⌉ whole-tensor steps instead of T small ones, without leaving the device.

use crate::ops;
use burn::tensor::Tensor;

/// y_t = x_t + d_t · y_{t+1}, with y_T = 0. All `[T, N]`.
pub(crate) fn reverse(x: Tensor<2>, decay: Tensor<2>) -> Tensor<2> {
    assert_eq!(decay.dims(), x.dims(), "shape of decay");
    if ops::on_host(&x) && !x.device().is_autodiff() {
        return ops::scan_reverse(x, decay);
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

/// The row before each row, zero before the first.
pub(crate) fn previous(x: Tensor<2>) -> Tensor<2> {
    later(x.flip([0]), 1).flip([0])
}

/// The rows `shift` steps later, zero past the end.
fn later(x: Tensor<2>, shift: usize) -> Tensor<2> {
    let [steps, _] = x.dims();
    if shift >= steps {
        return x.zeros_like();
    }
    let past_the_end = x.clone().narrow(0, 0, shift).zeros_like();
    Tensor::cat(vec![x.narrow(0, shift, steps - shift), past_the_end], 0)
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    #[test]
    fn the_loop_and_the_doubling_agree() {
        for (steps, width) in [(1, 1), (2, 3), (7, 2), (64, 1), (100, 5)] {
            let random = |seed: usize| {
                let value = |i: usize| ((i * 7919 + seed) % 1000) as f32 / 1000.0;
                let values: Vec<f32> = (0..steps * width).map(value).collect();
                Tensor::<2>::from_data(TensorData::new(values, [steps, width]), &Device::flex())
            };
            let (x, decay) = (random(1), random(2));
            let found = reverse(x.clone(), decay.clone()).into_data();
            let expected = doubling(x, decay).into_data();
            for (f, e) in found.iter::<f64>().zip(expected.iter::<f64>()) {
                assert!(
                    (f - e).abs() < 1e-5 * e.abs().max(1.0),
                    "{f} instead of {e}"
                );
            }
        }
    }
}
