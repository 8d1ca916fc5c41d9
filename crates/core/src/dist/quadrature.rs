//! Expectations of tensor functions under a normal distribution.

use burn::tensor::{Tensor, TensorData};
use uphill_cpu::quadrature::HALF;

/// E[f(μ + σ z)] for standard normal z, by Gauss–Hermite quadrature with 24 nodes. μ and σ are `[B, A]`; `f` acts
/// elementwise on `[B, A, 24]`.
///
/// Exact for polynomials up to degree 47.
pub(super) fn normal_expectation(
    mean: Tensor<2>,
    std: Tensor<2>,
    f: impl Fn(Tensor<3>) -> Tensor<3>,
) -> Tensor<2> {
    let row = |numbers: Vec<f64>| {
        let data = TensorData::new(numbers, [2 * HALF.len()]);
        Tensor::<1>::from_data(data, &mean.device()).unsqueeze::<3>()
    };
    let nodes = row(HALF.iter().flat_map(|(z, _)| [*z, -z]).collect());
    let weights = row(HALF.iter().flat_map(|(_, w)| [*w, *w]).collect());
    let at = mean.unsqueeze_dim::<3>(2) + std.unsqueeze_dim::<3>(2) * nodes;
    (f(at) * weights).sum_dim(2).squeeze_dim(2)
}
