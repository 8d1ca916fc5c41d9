//! Intervals of bounded actions.

use burn::tensor::{Tensor, TensorData};
use std::f64::consts::LN_2;

/// Bounds of `A` action components, all finite.
///
/// ```
/// use uphill_core::dist::Bounds;
///
/// assert_eq!(Bounds::new(&[-1.0, 0.0], &[1.0, 2.0]).map(|bounds| bounds.dim()), Some(2));
/// assert!(Bounds::new(&[0.0], &[f32::INFINITY]).is_none());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Bounds {
    low: Vec<f32>,
    high: Vec<f32>,
}

impl Bounds {
    /// Bounds from the lowest and highest values, both `[A]`; `None` unless every component has finite `low < high`.
    pub fn new(low: &[f32], high: &[f32]) -> Option<Self> {
        let sound = |(l, h): (&f32, &f32)| l.is_finite() && h.is_finite() && l < h;
        (low.len() == high.len() && low.iter().zip(high).all(sound)).then(|| Self {
            low: low.to_vec(),
            high: high.to_vec(),
        })
    }

    /// Number of components `A`.
    pub fn dim(&self) -> usize {
        self.low.len()
    }

    /// low + (high − low) x for fractions `x` in [0, 1], `[B, A]` → `[B, A]`.
    pub(super) fn at(&self, shares: Tensor<2>) -> Tensor<2> {
        let device = shares.device();
        let row = |numbers: Vec<f32>| {
            Tensor::<1>::from_data(TensorData::new(numbers, [self.dim()]), &device)
        };
        let low = row(self.low.clone()).unsqueeze();
        shares * row(self.widths().collect()).unsqueeze() + low
    }

    /// The lowest and highest value of each component.
    pub(crate) fn pairs(&self) -> Vec<[f32; 2]> {
        let pairs = self.low.iter().zip(&self.high);
        pairs.map(|(low, high)| [*low, *high]).collect()
    }

    /// ln Π_i (high_i − low_i)/2.
    pub(crate) fn ln_scale(&self) -> f64 {
        self.ln_volume() - self.dim() as f64 * LN_2
    }

    /// ln Π_i (high_i − low_i), the logarithm of the volume.
    pub(super) fn ln_volume(&self) -> f64 {
        self.widths().map(|w| f64::from(w).ln()).sum()
    }

    fn widths(&self) -> impl Iterator<Item = f32> + '_ {
        self.low.iter().zip(&self.high).map(|(l, h)| h - l)
    }
}
