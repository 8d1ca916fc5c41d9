//! Statistics of a few runs: means, confidence intervals, differences.

/// Results of the runs of one variant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample(Vec<f64>);

impl FromIterator<f64> for Sample {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl Sample {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn mean(&self) -> Option<f64> {
        let n = self.len();
        (n > 0).then(|| self.0.iter().sum::<f64>() / n as f64)
    }

    /// s² / n with s² = Σ (x − mean)² / (n − 1): variance of the mean. Needs two values.
    fn variance_of_mean(&self) -> Option<f64> {
        let (n, mean) = (self.len() as f64, self.mean()?);
        let squares: f64 = self.0.iter().map(|x| (x - mean).powi(2)).sum();
        (n > 1.0).then(|| squares / (n - 1.0) / n)
    }

    /// Half the width of the 95 % confidence interval of the mean (Student's t). Needs two values.
    pub(crate) fn interval(&self) -> Option<f64> {
        let spread = self.variance_of_mean()?.sqrt();
        Some(student_t(self.len() as f64 - 1.0) * spread)
    }
}

/// mean(a) − mean(b) and half the width of its 95 % confidence interval, for samples of unequal variance (Welch 1947).
/// Needs two values in each.
pub(crate) fn difference(a: &Sample, b: &Sample) -> Option<(f64, f64)> {
    let (va, vb) = (a.variance_of_mean()?, b.variance_of_mean()?);
    let difference = a.mean()? - b.mean()?;
    let variance = va + vb;
    if variance == 0.0 {
        return Some((difference, 0.0));
    }
    let freedom = |v: f64, n: usize| v * v / (n as f64 - 1.0);
    let df = variance * variance / (freedom(va, a.len()) + freedom(vb, b.len()));
    Some((difference, student_t(df) * variance.sqrt()))
}

/// 97.5 % quantile of Student's distribution with `df` degrees of freedom, rounded down to an integer and to at most
/// 30, which errs towards wider intervals (by at most 4 % beyond 30).
fn student_t(df: f64) -> f64 {
    const QUANTILES: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
        2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
        2.052, 2.048, 2.045, 2.042,
    ];
    // A small increment, for an integer that rounding has left just below itself.
    let row = (df + 1e-9) as usize;
    QUANTILES[row.clamp(1, QUANTILES.len()) - 1]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sample(values: &[f64]) -> Sample {
        values.iter().copied().collect()
    }

    fn assert_close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9 * b.abs().max(1.0), "{a} is not {b}");
    }

    #[test]
    fn interval_of_a_mean_by_hand() {
        // Mean 3, squares 4 + 1 + 0 + 1 + 4 = 10, s² = 10 / 4, s² / n = 0.5, t(4) = 2.776.
        let a = sample(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_close(a.mean().unwrap(), 3.0);
        assert_close(a.interval().unwrap(), 2.776 * 0.5f64.sqrt());
    }

    #[test]
    fn difference_by_hand() {
        // Equal spread and size: df = 2 (n − 1) = 8, variance 0.5 + 0.5, t(8) = 2.306.
        let (a, b) = (
            sample(&[1.0, 2.0, 3.0, 4.0, 5.0]),
            sample(&[11.0, 12.0, 13.0, 14.0, 15.0]),
        );
        let (d, half) = difference(&a, &b).unwrap();
        assert_close(d, -10.0);
        assert_close(half, 2.306);
        // Without variance on one side, the interval is that of the other side: df = n − 1.
        let (d, half) = difference(&a, &sample(&[2.0, 2.0])).unwrap();
        assert_close(d, 1.0);
        assert_close(half, a.interval().unwrap());
    }

    #[test]
    fn too_few_runs_have_no_interval() {
        assert_eq!(sample(&[]).mean(), None);
        assert_eq!(sample(&[1.0]).interval(), None);
        assert_eq!(difference(&sample(&[1.0]), &sample(&[1.0, 2.0])), None);
        let same = sample(&[1.0, 1.0]);
        assert_eq!(difference(&same, &same), Some((0.0, 0.0)));
    }

    /// A correct interval covers the true value in 95 of 100 cases.
    #[test]
    fn intervals_cover_the_truth() {
        let mut state = 1u64;
        let mut uniform = || {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        let mut normal =
            || (-2.0 * (1.0 - uniform()).ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos();
        let trials = 4000;
        let mut covered = [0, 0];
        for _ in 0..trials {
            let a: Sample = (0..5).map(|_| 1.0 + normal()).collect();
            let b: Sample = (0..5).map(|_| 3.0 * normal()).collect();
            covered[0] += usize::from((a.mean().unwrap() - 1.0).abs() <= a.interval().unwrap());
            let (d, half) = difference(&a, &b).unwrap();
            covered[1] += usize::from((d - 1.0).abs() <= half);
        }
        for count in covered {
            // Four standard deviations of the fraction, and a little for rounding df down.
            let share = f64::from(u32::try_from(count).unwrap()) / f64::from(trials);
            assert!((0.936..0.972).contains(&share), "{share}");
        }
    }
}
