//! Steepest-ascent steps of a given size, in parameter space or in the space of policies.

use crate::{cg::conjugate_gradient, fisher::Fisher};
use burn::tensor::Tensor;

/// Below every squared length that matters, in f32 too: it turns 0 / 0 into 0.
const TINY: f64 = 1e-30;

/// d = √(ε / ‖g‖²) g, the steepest ascent `[P]` among all steps with ‖d‖² ≤ ε for a gradient g `[P]`. Zero for a zero
/// gradient.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::trust_region::euclidean_step;
///
/// let step = euclidean_step(Tensor::from_floats([3.0, 4.0], &Device::flex()), 0.01);
/// // dᵀd = ε
/// assert!((step.square().sum().into_scalar::<f32>() - 0.01).abs() < 1e-6);
/// ```
pub fn euclidean_step(gradient: Tensor<1>, epsilon: f64) -> Tensor<1> {
    let squared = gradient.clone().dot(gradient.clone());
    gradient * (squared.clamp_min(TINY).recip() * epsilon).sqrt()
}

/// Size and solver of a [`natural_step`].
#[derive(Clone, Copy, Debug)]
pub struct NaturalGradient {
    /// δ: upper bound on ½ dᵀ(F + λI)d, to second order the mean KL in nats.
    pub max_kl: f64,
    /// Number of conjugate-gradient iterations.
    pub cg_steps: usize,
    /// λ, added to the diagonal of F.
    pub damping: f64,
}

/// A step along the natural gradient, with its second-order predictions.
#[derive(Clone, Debug)]
pub struct NaturalStep {
    /// d, `[P]`.
    pub step: Tensor<1>,
    /// gᵀd, the predicted first-order improvement of the objective, `[1]`.
    pub predicted_improvement: Tensor<1>,
    /// ½ dᵀFd, the mean KL to second order in nats, `[1]`. At most δ; damping lowers it.
    pub predicted_kl: Tensor<1>,
    /// ‖g − (F + λI)x‖ / ‖g‖ of the solution x, of which d is a multiple, `[1]`.
    pub cg_residual: Tensor<1>,
}

/// d = √(2δ / xᵀ(F + λI)x) x with x = (F + λI)⁻¹g: the steepest ascent among all steps with ½ dᵀ(F + λI)d ≤ δ for a
/// gradient g `[P]`. Zero for a zero gradient.
///
/// Kakade (2001); step size of Schulman et al., arXiv:1502.05477 appendix C. Differs: the length uses xᵀ(F + λI)x
/// instead of gᵀx, so that the bound holds even if conjugate gradient has not converged.
pub fn natural_step(fisher: &Fisher, gradient: Tensor<1>, size: NaturalGradient) -> NaturalStep {
    natural_step_by(|v| fisher.product(v), gradient, size)
}

/// [`natural_step`] for a Fisher matrix given by its products `[P]` → `[P]`.
pub fn natural_step_by(
    product: impl Fn(Tensor<1>) -> Tensor<1>,
    gradient: Tensor<1>,
    size: NaturalGradient,
) -> NaturalStep {
    let damped = |v: Tensor<1>| product(v.clone()) + v * size.damping;
    let solution = conjugate_gradient(damped, gradient.clone(), size.cg_steps);
    let x = solution.x;
    let curvature = x.clone().dot(product(x.clone()));
    let damping = x.clone().dot(x.clone()) * size.damping;
    let scale =
        ((curvature.clone() + damping).clamp_min(TINY).recip() * (2.0 * size.max_kl)).sqrt();
    let norm = gradient.clone().dot(gradient.clone()).sqrt();
    let step = x * scale.clone();
    NaturalStep {
        predicted_improvement: gradient.dot(step.clone()),
        predicted_kl: curvature * scale.square() * 0.5,
        cg_residual: solution.residual / norm.clamp_min(TINY),
        step,
    }
}
