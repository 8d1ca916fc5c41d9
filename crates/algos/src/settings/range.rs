//! Ranges of numeric settings, one per kind of setting.
//!
//! A setting is read in double precision and used in single precision, so ranges are checked in single precision:
//! `1e-46` would be used as 0, and `1e300` as infinity.

use super::{LARGEST, ensure};
use crate::config::ConfigError;
use std::fmt::Display;
use uphill_core::schedule::Schedule;

/// Valid numbers for one kind of setting.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// Whether a number is in the range.
    pub holds: fn(f64) -> bool,
    /// Description of the range for messages, following "is 2, ".
    pub must: &'static str,
}

/// Whole numbers from 1 that are counted in 32 bits.
pub const COUNT: Range = Range {
    holds: |x| (1.0..=LARGEST as f64).contains(&x),
    must: "must be at least 1",
};
/// Whole numbers from 1.
pub const FROM_ONE: Range = Range {
    holds: |x| x >= 1.0,
    must: "must be at least 1",
};
/// Iterations of an inner loop that does not look at its results on the way, and far more of them than are ever of use.
pub const ITERATIONS: Range = Range {
    holds: |x| (1.0..=1000.0).contains(&x),
    must: "must be between 1 and 1000",
};
/// Probabilities, discounts, decay rates.
pub const SHARE: Range = Range {
    holds: |x| (0.0..=1.0).contains(&x),
    must: "must lie between 0 and 1",
};
/// Nonzero fractions.
pub const PART: Range = Range {
    holds: |x| 0.0 < x && x <= 1.0,
    must: "must be a share above 0 and at most 1",
};
/// Factors below 1.
pub const SHRINKING: Range = Range {
    holds: |x| 0.0 < x && x < 1.0,
    must: "must lie between 0 and 1, for example 0.8",
};
/// Rates and sizes. A schedule of these may have 0 at one end.
pub const POSITIVE: Range = Range {
    holds: |x| x > 0.0 && x.is_finite(),
    must: "must be a positive finite number",
};
/// Weights, and limits for which 0 means "never".
pub const NOT_NEGATIVE: Range = Range {
    holds: |x| x >= 0.0 && x.is_finite(),
    must: "must be a finite number from 0",
};
/// Half-widths of clipping intervals.
pub const CLIP: Range = Range {
    holds: |x| x >= 0.0 && x.is_finite(),
    must: "must be a positive number, or 0 for no clipping",
};
/// Logarithms of standard deviations; beyond, log-probabilities leave single precision after the first update.
pub const LOG_STD: Range = Range {
    holds: |x| (-10.0..=10.0).contains(&x),
    must: "must lie between -10 and 10",
};

/// Settings that can be checked against a [`Range`].
pub trait InRange {
    /// An error about `key` unless all values lie in `range`.
    fn check(&self, key: &str, range: Range) -> Result<(), ConfigError>;
}

impl InRange for f64 {
    fn check(&self, key: &str, range: Range) -> Result<(), ConfigError> {
        ensure((range.holds)(*self), key, || {
            format!("is {}, {}", shown(*self), range.must)
        })?;
        fits_single(&[*self], &shown(*self), (key, range))
    }
}

impl InRange for Schedule {
    fn check(&self, key: &str, range: Range) -> Result<(), ConfigError> {
        let ends = match *self {
            Self::Constant(value) => vec![value],
            Self::Linear { from, to } => vec![from, to],
        };
        let may_end_at_zero = |x: &f64| *x == 0.0 || (range.holds)(*x);
        let right = ends.iter().all(may_end_at_zero) && ends.iter().any(|x| (range.holds)(*x));
        ensure(right, key, || {
            let exception = if (range.holds)(0.0) {
                ""
            } else {
                " (a schedule may end at 0)"
            };
            format!("is {self}, {}{exception}", range.must)
        })?;
        fits_single(&ends, self, (key, range))
    }
}

impl InRange for usize {
    fn check(&self, key: &str, range: Range) -> Result<(), ConfigError> {
        (*self as u64).check(key, range)
    }
}

impl InRange for u64 {
    fn check(&self, key: &str, range: Range) -> Result<(), ConfigError> {
        ensure((range.holds)(*self as f64), key, || match *self {
            0 => range.must.to_owned(),
            more if more > LARGEST as u64 => format!("is {more}, must be at most {LARGEST}"),
            more => format!("is {more}, {}", range.must),
        })
    }
}

/// An error unless every value is 0 or a normal number in single precision. Smaller numbers count as 0 on some devices.
fn fits_single(
    values: &[f64],
    shown: &dyn Display,
    (key, range): (&str, Range),
) -> Result<(), ConfigError> {
    let fits = |x: &f64| *x == 0.0 || (*x as f32).is_normal();
    ensure(values.iter().all(fits), key, || {
        format!(
            "is {shown}, which single precision does not hold (1.2e-38 to 3.4e38); {}",
            range.must
        )
    })
}

/// A number as shown in messages, with an exponent instead of a long row of zeros.
fn shown(x: f64) -> String {
    if x != 0.0 && x.is_finite() && !(1e-6..1e16).contains(&x.abs()) {
        format!("{x:e}")
    } else {
        format!("{x}")
    }
}

/// Checks the fields of `Self` against their ranges; evaluates to a `Result<(), ConfigError>`.
///
/// Every field must be listed, with `_` if it is not a number: an unlisted field is a compile error. The string is the
/// configuration table of the struct.
///
/// ```
/// use uphill_algos::{ConfigError, check_settings, settings::{COUNT, POSITIVE, SHARE}};
///
/// struct Mine { steps: usize, gamma: f64, learning_rate: f64, nesterov: bool }
///
/// impl Mine {
///     fn validate(&self) -> Result<(), ConfigError> {
///         check_settings!(self, "algo.", {
///             steps: COUNT,
///             gamma: SHARE,
///             learning_rate: POSITIVE,
///             nesterov: _,
///         })
///     }
/// }
/// let mine = Mine { steps: 5, gamma: 0.9, learning_rate: 1e-46, nesterov: true };
/// assert!(mine.validate().unwrap_err().to_string().starts_with("algo.learning_rate: is 1e-46, "));
/// ```
#[macro_export]
macro_rules! check_settings {
    (@one $field:ident $table:literal, _) => {{
        let _ = $field;
        Ok(())
    }};
    (@one $field:ident $table:literal, $range:tt) => {
        $crate::settings::InRange::check($field, concat!($table, stringify!($field)), $range)
    };
    ($settings:expr, $table:literal, { $($field:ident: $range:tt),+ $(,)? }) => {{
        let Self { $($field),+ } = $settings;
        Ok::<(), $crate::ConfigError>(())
            $(.and_then(|()| $crate::check_settings!(@one $field $table, $range)))+
    }};
}
