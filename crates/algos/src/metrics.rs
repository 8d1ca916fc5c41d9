//! Named numbers of one update.

use crate::descent::{UPDATE, UpdateSteps};
use burn::tensor::Tensor;
use uphill_core::read_back;

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

/// What an update measured, still on the device: reading it back is left to whoever has more to read at the
/// same time.
#[derive(Clone, Debug)]
pub struct Measured {
    names: Vec<&'static str>,
    /// One after the other, as many as there are names.
    values: Vec<Tensor<1>>,
    known: Vec<(&'static str, f64)>,
    /// Where an update took several steps: what was measured of each.
    steps: Option<UpdateSteps>,
}

impl Measured {
    /// Scalars `[1]`, and what the host knows already.
    pub fn new(scalars: Vec<(&'static str, Tensor<1>)>, known: &[(&'static str, f64)]) -> Self {
        let (names, values) = scalars.into_iter().unzip();
        Self {
            names,
            values,
            known: known.to_vec(),
            steps: None,
        }
    }

    /// An update by minibatches, and what the host knows already.
    pub fn of_steps(steps: UpdateSteps, known: &[(&'static str, f64)]) -> Self {
        let mut measured = Self::new(vec![], known).with(&UPDATE, steps.summary.clone());
        measured.steps = Some(steps);
        measured
    }

    /// Adds values `[names]` that are one tensor already.
    pub fn with(mut self, names: &[&'static str], values: Tensor<1>) -> Self {
        assert_eq!(values.dims(), [names.len()], "number of values");
        self.names.extend(names);
        self.values.push(values);
        self
    }

    /// What was measured of each step, where an update took several.
    pub(crate) fn steps(&self) -> Option<UpdateSteps> {
        self.steps.clone()
    }

    /// Reads everything back from the device at once, with what else `[K]` there is to read.
    ///
    /// An explained variance is undefined where the returns do not vary; anything else that is not
    /// finite is a sign of divergence and stays.
    pub fn read(self, along: Option<Tensor<1>>) -> (Metrics, Vec<f32>) {
        let mut parts = self.values;
        parts.extend(along);
        let read = read_back::read_all(parts);
        let (measured, along) = read.split_at(self.names.len());
        let metrics = Metrics::of(&self.names, measured, self.known);
        (metrics, along.iter().map(|x| *x as f32).collect())
    }
}

impl Metrics {
    /// From what has been read and what was known.
    ///
    /// An explained variance is undefined where the returns do not vary; anything else that is not
    /// finite is a sign of divergence and stays.
    pub(crate) fn of(
        names: &[&'static str],
        measured: &[f64],
        known: Vec<(&'static str, f64)>,
    ) -> Self {
        let measured = names.iter().copied().zip(measured.iter().copied());
        let mut values: Vec<(&'static str, f64)> = measured.chain(known).collect();
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
