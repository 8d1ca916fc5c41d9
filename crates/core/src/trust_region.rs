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
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::trust_region::{NaturalGradient, natural_step_by};
///
/// // F = 1: a step d with ½ d² = 0.02.
/// let size = NaturalGradient { max_kl: 0.02, cg_steps: 1, damping: 0.0 };
/// let gradient = Tensor::<1>::from_floats([5.0], &Device::flex());
/// let d = natural_step_by(|v| v, gradient, size).step.into_scalar::<f32>();
/// assert!((d - 0.2).abs() < 1e-6);
/// ```
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
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::trust_region::{NaturalGradient, natural_step_by};
///
/// // F = 4, δ = 0.02: d = 0.1, so gᵀd = 0.5 and ½ dᵀFd = δ.
/// let size = NaturalGradient { max_kl: 0.02, cg_steps: 1, damping: 0.0 };
/// let gradient = Tensor::<1>::from_floats([5.0], &Device::flex());
/// let step = natural_step_by(|v| v * 4.0, gradient, size);
/// assert!((step.predicted_improvement.into_scalar::<f32>() - 0.5).abs() < 1e-6);
/// assert!((step.predicted_kl.into_scalar::<f32>() - 0.02).abs() < 1e-7);
/// ```
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
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use rand::{SeedableRng, rngs::SmallRng};
/// use uphill_core::{dist::DistKind, fisher::Fisher, nn::MlpConfig, policy::Actor};
/// use uphill_core::trust_region::{NaturalGradient, natural_step};
///
/// let (device, mut rng) = (Device::flex(), SmallRng::seed_from_u64(1));
/// let network = MlpConfig::default().build(4, 2, 1.0, &mut rng, &device);
/// let actor = Actor::new(network, DistKind::Categorical { choices: 2 });
/// let fisher = Fisher::new(&actor, Tensor::ones([8, 4], &device));
/// let size = NaturalGradient { max_kl: 0.01, cg_steps: 10, damping: 0.1 };
/// let step = natural_step(&fisher, actor.net.flat(), size);
/// // ½ dᵀ(F + λI)d = δ.
/// let kl = (step.predicted_kl + step.step.square().sum() * 0.05).into_scalar::<f32>();
/// assert!((kl - 0.01).abs() < 1e-5);
/// ```
pub fn natural_step(fisher: &Fisher, gradient: Tensor<1>, size: NaturalGradient) -> NaturalStep {
    natural_step_by(|v| fisher.product(v), gradient, size)
}

/// [`natural_step`] for a Fisher matrix given by its products `[P]` → `[P]`.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use uphill_core::trust_region::{NaturalGradient, natural_step_by};
///
/// // F = diag(1, 4) turns the gradient (1, 4) into the direction (1, 1).
/// let device = Device::flex();
/// let fisher = Tensor::<1>::from_floats([1.0, 4.0], &device);
/// let size = NaturalGradient { max_kl: 0.01, cg_steps: 2, damping: 0.0 };
/// let step = natural_step_by(|v| v * fisher.clone(), fisher.clone(), size).step;
/// let d: Vec<f32> = step.into_data().iter().collect();
/// assert!((d[0] - d[1]).abs() < 1e-6);
/// ```
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
