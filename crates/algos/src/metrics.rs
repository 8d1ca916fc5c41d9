//! Named numbers of one update.

/// What an update measured, in a fixed order. A value that does not exist (the explained variance of
/// returns that do not vary) is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics(pub Vec<(&'static str, Option<f64>)>);

impl Metrics {
    /// The value called `name`, if there is one.
    pub fn get(&self, name: &str) -> Option<f64> {
        let (_, value) = self.0.iter().find(|(n, _)| *n == name)?;
        *value
    }

    /// The first value that is not finite: the sign of a diverged run.
    pub fn first_non_finite(&self) -> Option<(&'static str, f64)> {
        let values = self
            .0
            .iter()
            .filter_map(|(name, value)| Some((*name, (*value)?)));
        values.into_iter().find(|(_, value)| !value.is_finite())
    }
}
