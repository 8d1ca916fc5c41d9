//! Bias, variance and direction of an estimator, from repeated estimates.

use crate::lab::estimator::GradientEstimator;
use burn::tensor::Tensor;
use uphill_core::{
    policy::Actor,
    rollout::{Rollout, Span},
};

/// What estimates are compared with.
#[derive(Clone, Debug)]
pub struct Reference {
    /// g, `[P]`.
    pub gradient: Tensor<1>,
    /// √E‖g − E\[g\]‖²: 0 where the gradient is exact.
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

/// How estimates ĝ_r, r = 1…R, lie around a reference g.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measurement {
    /// Number of estimates `R`.
    pub repeats: usize,
    /// Number of parameters `P`: divided by it, squared bias and variance are means over parameters.
    pub params: usize,
    /// ‖ḡ − g‖ with ḡ the mean estimate: bias and noise together.
    pub distance: f64,
    /// SE = √(variance / R + SE_g²), the distance to be expected without any bias.
    pub standard_error: f64,
    /// ‖E\[ĝ\] − g‖² estimated without bias: distance² − SE². Negative by chance where there is none.
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
    /// Distance in standard errors. About 1 for an unbiased estimator, and above 3 in fewer than 3 of
    /// 1000 cases, however many parameters share the noise, if `R` is large enough for the mean to be normal.
    /// Where nothing scatters: 0 without a distance, otherwise infinite.
    pub fn z(&self) -> f64 {
        if self.distance == 0.0 {
            return 0.0;
        }
        self.distance / self.standard_error
    }

    /// Whether the distance is more than chance.
    pub fn is_biased(&self) -> bool {
        self.z() > 3.0
    }
}

/// Bias, variance and direction of `estimates` `[R, P]`, `R` at least 2.
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

/// [`compare`] for an estimator that sees one of `groups` at a time.
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

/// `count` rollouts of `size` trajectories each, from the columns of one of whole episodes, none of them
/// twice.
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

/// As numbers on the host: the laboratory reports, it does not learn.
pub(crate) fn read_back(tensor: Tensor<1>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}
