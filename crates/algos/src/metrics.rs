//! Named numbers of one update.

use burn::tensor::Tensor;

/// What every algorithm reports first, in this order, whether it has it or not.
const COMMON: [&str; 8] = [
    "policy_loss",
    "value_loss",
    "entropy",
    "approx_kl",
    "clip_fraction",
    "explained_variance",
    "grad_norm",
    "lr",
];

/// What an update measured, in a fixed order. A value that does not exist (the explained variance of
/// returns that do not vary) is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics(pub Vec<(&'static str, Option<f64>)>);

impl Metrics {
    /// Reads scalars `[1]` back from the device, all at once, and adds what the host knows already.
    ///
    /// An explained variance is undefined where the returns do not vary; anything else that is not
    /// finite is a sign of divergence and stays.
    pub fn read(scalars: Vec<(&'static str, Tensor<1>)>, known: &[(&'static str, f64)]) -> Self {
        let (names, scalars): (Vec<_>, Vec<_>) = scalars.into_iter().unzip();
        let read = Tensor::cat(scalars, 0).into_data();
        let read = names.into_iter().zip(read.iter::<f64>());
        let mut values: Vec<(&'static str, f64)> = read.chain(known.iter().copied()).collect();
        values.retain(|(name, x)| x.is_finite() || *name != "explained_variance");

        let standard = COMMON.map(|name| {
            let at = values.iter().position(|(n, _)| *n == name);
            (name, at.map(|at| values.remove(at).1))
        });
        let rest = values.into_iter().map(|(name, x)| (name, Some(x)));
        Self(standard.into_iter().chain(rest).collect())
    }

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
