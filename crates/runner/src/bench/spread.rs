//! Summary of repeated measurements: median, minimum, maximum.

use serde::Serialize;

/// Median, minimum and maximum.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Spread {
    /// Spread of at least one number; all NaN without numbers.
    pub(super) fn of(numbers: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |i: usize| sorted.get(i).copied().unwrap_or(f64::NAN);
        let (count, last) = (sorted.len(), sorted.len().saturating_sub(1));
        Self {
            median: (at(last / 2) + at(count / 2)) / 2.0,
            min: at(0),
            max: at(last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let spread = |median, min, max| Spread { median, min, max };
        assert_eq!(Spread::of([3.0, 1.0, 9.0]), spread(3.0, 1.0, 9.0));
        // (2 + 5) / 2
        assert_eq!(Spread::of([8.0, 2.0, 5.0, 1.0]), spread(3.5, 1.0, 8.0));
        assert_eq!(Spread::of([4.0]), spread(4.0, 4.0, 4.0));
    }
}
