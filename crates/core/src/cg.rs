//! Conjugate gradient for symmetric positive definite systems given by matrix-vector products.

use burn::tensor::Tensor;

/// Below every sum of squares that matters, in f32 too: it turns 0 / 0 into 0 and changes nothing else. A larger guard
/// (1e-10 is common) stops the iteration early when gradients are small.
const TINY: f64 = 1e-30;

/// Result of [`conjugate_gradient`] for A x = b.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::cg::conjugate_gradient;
///
/// // 4 x = 2 after a single iteration.
/// let b = Tensor::<1>::from_floats([2.0], &Device::flex());
/// let solution = conjugate_gradient(|v| v * 4.0, b, 1);
/// assert_eq!(solution.x.into_scalar::<f32>(), 0.5);
/// assert_eq!(solution.residual.into_scalar::<f32>(), 0.0);
/// ```
#[derive(Clone, Debug)]
pub struct Solution {
    /// x, `[P]`.
    pub x: Tensor<1>,
    /// ‖b − A x‖ from the residual that the iteration updates, `[1]`.
    pub residual: Tensor<1>,
}

/// x ≈ A⁻¹ b after `steps` iterations from zero, where `product` is v ↦ A v on `[P]`.
///
/// Hestenes & Stiefel (1952). Every scalar stays a tensor on the device and the number of iterations is fixed, so
/// nothing is read back; iterations beyond convergence change nothing but rounding.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::cg::conjugate_gradient;
///
/// let diagonal = Tensor::<1>::from_floats([1.0, 4.0], &Device::flex());
/// let b = Tensor::from_floats([3.0, 8.0], &Device::flex());
/// let solution = conjugate_gradient(|v| v * diagonal.clone(), b, 2);
/// let x: Vec<f32> = solution.x.into_data().iter().collect();
/// assert!((x[0] - 3.0).abs() < 1e-5 && (x[1] - 2.0).abs() < 1e-5);
/// ```
pub fn conjugate_gradient(
    product: impl Fn(Tensor<1>) -> Tensor<1>,
    b: Tensor<1>,
    steps: usize,
) -> Solution {
    let mut x = b.zeros_like();
    let mut residual = b.clone();
    let mut direction = b.clone();
    let mut squared = b.clone().dot(b);
    for _ in 0..steps {
        let image = product(direction.clone());
        let curvature = direction.clone().dot(image.clone());
        let alpha = squared.clone() / (curvature + TINY);
        x = x + direction.clone() * alpha.clone();
        residual = residual - image * alpha;
        let next = residual.clone().dot(residual.clone());
        let beta = next.clone() / (squared + TINY);
        direction = residual.clone() + direction * beta;
        squared = next;
    }
    Solution {
        x,
        residual: squared.sqrt(),
    }
}
