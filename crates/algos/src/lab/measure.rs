//! Measurement of an estimator's bias, variance and direction from repeated estimates.

use crate::lab::estimator::GradientEstimator;
use burn::tensor::Tensor;
use uphill_core::{
    policy::Actor,
    rollout::{Rollout, Span},
};

/// Reference gradient that estimates are compared with.
#[derive(Clone, Debug)]
pub struct Reference {
    /// g, `[P]`.
    pub gradient: Tensor<1>,
    /// √E‖g − E\[g\]‖²: 0 for an exact gradient.
    pub standard_error: f64,
}

impl Reference {
    /// The exact gradient `[P]`.
    pub fn exact(gradient: Tensor<1>) -> Self {
        Self {
            gradient,
            standard_error: 0.0,
        }
    }

    /// The mean of independent unbiased estimates `[R, P]`, with its standard error.
    pub fn mean_of(estimates: Tensor<2>) -> Self {
        let [repeats, _] = estimates.dims();
        let (mean, deviations) = center(estimates);
        let variance = read_back(deviations).iter().sum::<f64>() / (repeats - 1).max(1) as f64;
        Self {
            gradient: mean,
            standard_error: (variance / repeats as f64).sqrt(),
        }
    }

    /// ‖g‖.
    pub fn norm(&self) -> f64 {
        norm(&self.gradient)
    }
}

/// Distribution of estimates ĝ_r, r = 1…R, around a reference g.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measurement {
    /// Number of estimates `R`.
    pub repeats: usize,
    /// Number of parameters `P`; squared bias and variance divided by it are means over parameters.
    pub params: usize,
    /// ‖ḡ − g‖ with ḡ the mean estimate: bias and noise combined.
    pub distance: f64,
    /// SE = √(variance / R + SE_g²), the expected distance without bias.
    pub standard_error: f64,
    /// Unbiased estimate of ‖E\[ĝ\] − g‖²: distance² − SE². May be negative by chance if there is no bias.
    pub bias_squared: f64,
    /// E‖ĝ − E\[ĝ\]‖², the trace of the covariance: Σ_r ‖ĝ_r − ḡ‖² / (R − 1).
    pub variance: f64,
    /// Standard error of `variance`.
    pub variance_error: f64,
    /// Mean over estimates of cos∠(ĝ_r, g).
    pub cosine: f64,
    /// cos∠(ḡ, g).
    pub cosine_of_mean: f64,
}

impl Measurement {
    /// Distance in standard errors. About 1 for an unbiased estimator, and above 3 in fewer than 3 of 1000 cases,
    /// however many parameters share the noise, if `R` is large enough for the mean to be normal. Without any variance
    /// it is 0 for a zero distance and infinite otherwise.
    pub fn z(&self) -> f64 {
        if self.distance == 0.0 {
            return 0.0;
        }
        self.distance / self.standard_error
    }

    /// Whether the distance is larger than chance explains.
    pub fn is_biased(&self) -> bool {
        self.z() > 3.0
    }
}

/// Bias, variance and direction of `estimates` `[R, P]`, with `R` at least 2.
pub fn compare(estimates: Tensor<2>, reference: &Reference) -> Measurement {
    let [repeats, params] = estimates.dims();
    assert!(repeats >= 2, "a variance needs two estimates");
    let count = repeats as f64;
    let column: Tensor<2> = reference.gradient.clone().unsqueeze_dim(1);
    let products = read_back(estimates.clone().matmul(column).squeeze_dim(1));
    let sizes = read_back(estimates.clone().square().sum_dim(1).sqrt().squeeze_dim(1));
    let (mean, deviations) = center(estimates);
    let deviations = read_back(deviations);

    let reference_norm = reference.norm();
    let cosine = |product: f64, size: f64| product / (size * reference_norm).max(f64::MIN_POSITIVE);
    let cosines = products.iter().zip(&sizes).map(|(p, s)| cosine(*p, *s));
    let variance = deviations.iter().sum::<f64>() / (count - 1.0);
    let spread = deviations.iter().map(|d| (d - variance).powi(2));
    let standard_error = (variance / count + reference.standard_error.powi(2)).sqrt();
    let distance = norm(&(mean.clone() - reference.gradient.clone()));
    Measurement {
        repeats,
        params,
        distance,
        standard_error,
        bias_squared: distance.powi(2) - standard_error.powi(2),
        variance,
        variance_error: (spread.sum::<f64>() / (count - 1.0) / count).sqrt(),
        cosine: cosines.sum::<f64>() / count,
        cosine_of_mean: cosine(products.iter().sum::<f64>() / count, norm(&mean)),
    }
}

/// [`compare`] for the estimates from each of `groups`.
pub fn measure(
    estimator: GradientEstimator,
    actor: &Actor,
    groups: &[Rollout],
    gamma: f64,
    reference: &Reference,
) -> Measurement {
    let estimates = groups.iter().map(|g| estimator.estimate(actor, g, gamma));
    compare(Tensor::stack(estimates.collect(), 0), reference)
}

/// Splits the columns of a rollout of whole episodes into `count` disjoint rollouts of `size` trajectories each.
///
/// # Panics
/// If there are fewer than `count · size` columns.
pub fn groups(rollout: &Rollout, size: usize, count: usize) -> Vec<Rollout> {
    let [steps, columns] = rollout.dims();
    assert!(count * size <= columns, "{count} × {size} of {columns}");
    let len = |env: usize| rollout.lengths.as_ref().map_or(steps, |l| l[env]);
    let span = |env| Span {
        env,
        start: 0,
        len: len(env),
    };
    let group = |i: usize| {
        let spans: Vec<Span> = (i * size..(i + 1) * size).map(span).collect();
        rollout.columns(&spans)
    };
    (0..count).map(group).collect()
}

/// Mean `[P]` of estimates `[R, P]`, and ‖ĝ_r − ḡ‖² `[R]`.
fn center(estimates: Tensor<2>) -> (Tensor<1>, Tensor<1>) {
    let mean = estimates.clone().mean_dim(0);
    let deviations = (estimates - mean.clone()).square().sum_dim(1);
    (mean.squeeze_dim(0), deviations.squeeze_dim(1))
}

fn norm(vector: &Tensor<1>) -> f64 {
    read_back(vector.clone().square().sum())
        .iter()
        .sum::<f64>()
        .sqrt()
}

/// Numbers on the host: the laboratory reports and does not learn.
pub(crate) fn read_back(tensor: Tensor<1>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}
