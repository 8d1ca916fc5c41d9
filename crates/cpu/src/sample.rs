//! Formulas of single samples, of distributions and losses, each with its slope.
//!
//! Loops over columns of samples call them, and so do GPU kernels, one thread per sample.

// The macro makes a module beside each function.
#![cfg_attr(feature = "gpu", allow(missing_docs))]

#[allow(clippy::wildcard_imports)] // the vocabulary of kernels
use crate::kernel::*;

/// ½ ln 2π.
pub const HALF_LN_TAU: f32 = 0.918_938_5;
const LARGEST: f32 = f32::MAX;

/// Variance up to which a feature is without spread, whatever its mean; also added to variances before taking the root.
pub const FLAT: f64 = 1e-8;
/// Variance up to which a feature is without spread, in squared means: rounding is proportional to the mean.
pub const FLAT_BY_MEAN: f64 = 1e-10;
/// [`FLAT`] and [`FLAT_BY_MEAN`] in single precision.
const LEAST: f32 = FLAT as f32;
const LEAST_BY_MEAN: f32 = FLAT_BY_MEAN as f32;

/// Divisor of a normalised feature with these moments: √(variance + [`FLAT`]), or 1 for a feature without spread, which
/// keeps its unit.
#[cfg_attr(feature = "gpu", cube)]
#[inline(always)]
pub fn deviation(mean: f32, variance: f32) -> f32 {
    // The comparison is false for NaN.
    let flat = variance <= mean * mean * LEAST_BY_MEAN + LEAST;
    select(flat, 1.0f32, (variance + LEAST).sqrt())
}

/// μ + σ ε: one component of a Gaussian sample from standard normal noise ε.
#[cfg_attr(feature = "gpu", cube)]
#[inline(always)]
pub fn gaussian_sample(mean: f32, log_std: f32, noise: f32) -> f32 {
    mean + exp(log_std) * noise
}

/// −log p of one component of a Gaussian, `z` standard deviations from the mean.
#[cfg_attr(feature = "gpu", cube)]
#[inline(always)]
pub fn gaussian_cost(z: f32, log_std: f32) -> f32 {
    0.5f32 * z * z + log_std + HALF_LN_TAU
}

/// Entropy of one component of a Gaussian.
#[cfg_attr(feature = "gpu", cube)]
#[inline(always)]
pub fn gaussian_entropy(log_std: f32) -> f32 {
    log_std + HALF_LN_TAU + 0.5f32
}

/// Gradient of a loss with respect to the mean and log σ of one component of a Gaussian with 1/σ = `inverse`, from the
/// loss's derivatives with respect to log p and the entropy: ∂log p/∂μ = z/σ, ∂log p/∂log σ = z² − 1, ∂H/∂log σ = 1.
#[cfg_attr(feature = "gpu", cube)]
#[inline(always)]
pub fn gaussian_gradient(z: f32, inverse: f32, by_log_prob: f32, by_entropy: f32) -> (f32, f32) {
    let by_mean = by_log_prob * z * inverse;
    let by_log_std = by_log_prob * (z * z - 1.0f32) + by_entropy;
    (by_mean, by_log_std)
}

/// Gradient of a loss with respect to the logit of one alternative of a categorical distribution, from the loss's
/// derivatives with respect to log p and the entropy H: ∂log p_a/∂z_k = 1[k = a] − p_k, ∂H/∂z_k = −p_k (log p_k + H).
#[cfg_attr(feature = "gpu", cube)]
#[inline(always)]
pub fn categorical_gradient(
    is_taken: bool,
    p: f32,
    log_p: f32,
    entropy: f32,
    by_log_prob: f32,
    by_entropy: f32,
) -> f32 {
    let taken = select(is_taken, 1.0f32, 0.0f32);
    by_log_prob * (taken - p) - by_entropy * p * (log_p + entropy)
}

/// min(ρ A, clip(ρ, 1 ± `clip`) A) with ρ = e^`log_ratio` (Schulman et al., arXiv:1707.06347, eq. 7), and its
/// derivative with respect to `log_ratio`.
#[cfg_attr(feature = "gpu", cube)]
#[inline(always)]
pub fn clipped_surrogate(log_ratio: f32, advantage: f32, clip: f32) -> (f32, f32) {
    let ratio = exp(log_ratio);
    let unclipped = ratio * advantage;
    let clipped = bounded(ratio, 1.0f32 - clip, 1.0f32 + clip) * advantage;
    // The comparison is false for NaN, which is thus propagated.
    let held = clipped < unclipped;
    let value = select(held, clipped, unclipped);
    let slope = select(held, 0.0f32, unclipped);
    (value, slope)
}

/// ρ A, and its derivative with respect to `log_ratio`, which is equal to it.
#[cfg_attr(feature = "gpu", cube)]
#[inline(always)]
pub fn ratio_surrogate(log_ratio: f32, advantage: f32) -> (f32, f32) {
    let value = exp(log_ratio) * advantage;
    (value, value)
}

/// ρ − 1 − ln ρ, whose mean over samples of the policy that acted estimates KL(old ‖ new) (Schulman 2020).
#[cfg_attr(feature = "gpu", cube)]
#[inline(always)]
pub fn approx_kl(ratio: f32, log_ratio: f32) -> f32 {
    ratio - 1.0f32 - log_ratio
}

/// 1 if ρ is further than `clip` from 1, else 0.
#[cfg_attr(feature = "gpu", cube)]
#[inline(always)]
pub fn outside(ratio: f32, clip: f32) -> f32 {
    select((ratio - 1.0f32).abs() > clip, 1.0f32, 0.0f32)
}

/// ½ (V − R)², or its maximum with the same loss of V_old + clip(V − V_old, ±`clip`), and the derivative with respect
/// to V. `clip` 0 disables clipping.
#[cfg_attr(feature = "gpu", cube)]
#[inline(always)]
pub fn value_loss(value: f32, old: f32, target: f32, clip: f32) -> (f32, f32) {
    // Nothing moves further than the largest number.
    let clip = select(clip > 0.0f32, clip, LARGEST);
    let error = value - target;
    let loss = 0.5f32 * error * error;
    let moved = value - old;
    let held = old + bounded(moved, -clip, clip) - target;
    let of_clipped = 0.5f32 * held * held;
    // A clipped value does not depend on V.
    let larger = moved.abs() > clip && of_clipped > loss;
    (
        select(larger, of_clipped, loss),
        select(larger, 0.0f32, error),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Derivative of `f` at `x`.
    fn slope(f: impl Fn(f64) -> f64, x: f64) -> f64 {
        (f(x + 1e-6) - f(x - 1e-6)) / 2e-6
    }

    fn close(found: f32, expected: f64, what: &str) {
        let off = (f64::from(found) - expected).abs();
        assert!(off < 1e-5, "{what}: {found} instead of {expected}");
    }

    /// log p of a Gaussian.
    fn log_p(x: f64, mean: f64, log_std: f64) -> f64 {
        let z = (x - mean) / log_std.exp();
        -0.5 * z * z - log_std - 0.5 * std::f64::consts::TAU.ln()
    }

    #[test]
    fn a_small_deviation_is_a_little_more_than_its_root() {
        // √(2e-8 + 1e-8)
        close(1e4 * deviation(0.0, 2e-8), 3f64.sqrt(), "deviation");
        assert_eq!(deviation(0.0, 1e-8), 1.0);
    }

    #[test]
    fn a_ratio_at_the_clipping_range_is_inside() {
        assert_eq!(
            [1.5, 0.5, 1.6, 0.3].map(|ratio| outside(ratio, 0.5)),
            [0.0, 0.0, 1.0, 1.0]
        );
    }

    #[test]
    fn where_clipped_and_unclipped_losses_meet_the_value_still_learns() {
        // V = 2 is held at 1, as far from the target 1.5.
        assert_eq!(value_loss(2.0, 0.0, 1.5, 1.0), (0.125, 0.5));
        assert_eq!(value_loss(2.0, 0.0, 2.0, 1.0), (0.5, 0.0));
    }

    #[test]
    fn a_gaussian_and_its_gradient() {
        for (x, mean, log_std) in [(0.3, -0.2, -0.5), (-1.0, 0.4, 0.2), (2.0, 2.0, 0.0)] {
            let (by_log_prob, by_entropy) = (-0.7, 0.3);
            let z = ((x - mean) / f64::exp(log_std)) as f32;
            let narrow = log_std as f32;
            close(-gaussian_cost(z, narrow), log_p(x, mean, log_std), "log p");
            let entropy = |log_std: f64| 0.5 + 0.5 * std::f64::consts::TAU.ln() + log_std;
            close(gaussian_entropy(narrow), entropy(log_std), "entropy");
            close(gaussian_sample(mean as f32, narrow, z), x, "sample");
            let inverse = exp(-narrow);
            let (by_mean, by_log_std) = gaussian_gradient(z, inverse, -0.7, 0.3);
            let expected = by_log_prob * slope(|mean| log_p(x, mean, log_std), mean);
            close(by_mean, expected, "by the mean");
            let of = |s: f64| by_log_prob * log_p(x, mean, s) + by_entropy * entropy(s);
            close(
                by_log_std,
                slope(of, log_std),
                "by the log standard deviation",
            );
        }
    }

    #[test]
    fn the_gradient_of_a_choice() {
        let logits = [0.3, -1.0, 0.8];
        let log_probs = |logits: [f64; 3]| {
            let sum: f64 = logits.iter().map(|z| z.exp()).sum();
            logits.map(|z| z - sum.ln())
        };
        let entropy = |logits| -> f64 {
            let terms = log_probs(logits).map(|log_p: f64| -log_p.exp() * log_p);
            terms.iter().sum()
        };
        let (taken, by_log_prob, by_entropy) = (2, 0.9, -0.4);
        for k in 0..3 {
            let log_p = log_probs(logits)[k];
            let found = categorical_gradient(
                k == taken,
                log_p.exp() as f32,
                log_p as f32,
                entropy(logits) as f32,
                0.9,
                -0.4,
            );
            let of = |z: f64| {
                let mut moved = logits;
                moved[k] = z;
                by_log_prob * log_probs(moved)[taken] + by_entropy * entropy(moved)
            };
            close(found, slope(of, logits[k]), "by a logit");
        }
    }

    #[test]
    fn losses_of_values() {
        for (value, old, target) in [(0.5, 0.4, 1.0), (1.0, 0.2, 0.9), (-0.6, 0.1, 0.3)] {
            for clip in [0.0, 0.15, 0.35] {
                let of = |value: f64| {
                    let loss = |v: f64| 0.5 * (v - target) * (v - target);
                    let held = old + (value - old).clamp(-clip, clip);
                    if clip > 0.0 {
                        loss(value).max(loss(held))
                    } else {
                        loss(value)
                    }
                };
                let (loss, by_value) =
                    value_loss(value as f32, old as f32, target as f32, clip as f32);
                close(loss, of(value), "loss");
                close(by_value, slope(of, value), "slope");
            }
        }
        assert!(value_loss(f32::NAN, 0.0, 0.0, 0.2).0.is_nan());
    }

    #[test]
    fn deviations() {
        close(deviation(3.0, 4.0), 2.0, "of what is spread");
        assert_eq!([deviation(0.0, 0.5e-8), deviation(1e3, 0.9e-4)], [1.0; 2]);
        close(deviation(1e3, 1.1e-4), 1.1e-4f64.sqrt(), "just spread");
        assert!(deviation(0.0, f32::NAN).is_nan());
    }

    #[test]
    fn ratios() {
        let log_ratio = 0.3f32;
        let ratio = exp(log_ratio);
        close(approx_kl(ratio, log_ratio), 0.3f64.exp() - 1.0 - 0.3, "KL");
        assert_eq!(
            [outside(1.21, 0.2), outside(1.19, 0.2), outside(0.79, 0.2)],
            [1.0, 0.0, 1.0]
        );
        assert!(clipped_surrogate(f32::NAN, 1.0, 0.2).0.is_nan());
        assert!(clipped_surrogate(0.0, f32::NAN, 0.2).1.is_nan());
    }
}
