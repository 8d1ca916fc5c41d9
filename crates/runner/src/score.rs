//! Formatting of returns, with enough digits to distinguish them from what they are compared with.

/// At least one decimal and, for small numbers, two significant digits: `480.0`, `0.25`, `-0.012`.
pub(crate) fn score(value: f64) -> String {
    with_decimals(value, decimals(value))
}

/// The same with more decimals, if otherwise the number would look equal to a `threshold` that it is not equal to.
pub(crate) fn score_beside(value: f64, threshold: f64) -> String {
    let shown = |decimals: &usize| with_decimals(value, *decimals);
    let apart = |text: &String| {
        let shown: f64 = text.parse().unwrap_or(value);
        value == threshold || (shown < threshold) == (value < threshold) && shown != threshold
    };
    let texts = (decimals(value)..=12).map(|decimals| shown(&decimals));
    texts
        .clone()
        .find(apart)
        .unwrap_or_else(|| format!("{value}"))
}

/// With an explicit sign.
pub(crate) fn signed_score(value: f64) -> String {
    format!("{value:+.*}", decimals(value))
}

fn with_decimals(value: f64, decimals: usize) -> String {
    format!("{value:.decimals$}")
}

fn decimals(value: f64) -> usize {
    match value.abs() {
        v if v == 0.0 || v >= 9.95 || !v.is_finite() => 1,
        v => (1.0 - v.log10().floor()).clamp(1.0, 9.0) as usize,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_numbers_have_more_decimals() {
        for (value, text) in [
            (0.0, "0.0"),
            (480.0, "480.0"),
            (-1234.56, "-1234.6"),
            (9.99, "10.0"),
            (9.5, "9.5"),
            (0.89, "0.89"),
            (0.25, "0.25"),
            (-0.0123, "-0.012"),
            (1.0, "1.0"),
            (1e-12, "0.000000000"),
        ] {
            assert_eq!(score(value), text);
        }
        assert_eq!(signed_score(0.5), "+0.50");
        assert_eq!(signed_score(-20.0), "-20.0");
    }

    #[test]
    fn a_number_does_not_look_like_the_threshold_that_it_misses() {
        for (value, threshold, text) in [
            (0.89, 0.9, "0.89"),
            (0.8996, 0.9, "0.8996"),
            (474.96, 475.0, "474.96"),
            (474.9996, 475.0, "474.9996"),
            (475.04, 475.0, "475.04"),
            (475.0, 475.0, "475.0"),
            (480.0, 475.0, "480.0"),
            (-200.4, -200.0, "-200.4"),
        ] {
            assert_eq!(score_beside(value, threshold), text);
        }
        // Closer than any number of displayed digits.
        let near = f64::from_bits(0.9_f64.to_bits() - 1);
        assert_eq!(score_beside(near, 0.9).parse::<f64>(), Ok(near));
    }
}
