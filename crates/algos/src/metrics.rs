//! Metrics of one update: named numbers.

use crate::descent::{UPDATE, UpdateSteps};
use burn::tensor::Tensor;
use serde::{Serialize, Serializer};
use uphill_core::read_back;

/// Metrics that every algorithm reports first, in this order, if it has them.
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

/// Measurements of an update, in a fixed order. An undefined value (such as the explained variance of returns that do
/// not vary) is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics(pub Vec<(&'static str, Option<f64>)>);

/// Measurements of an update, still on the device: they are read back by the caller, together with other values.
#[derive(Clone, Debug)]
pub struct Measured {
    names: Vec<&'static str>,
    /// Values, concatenated in the order of the names.
    values: Vec<Tensor<1>>,
    known: Vec<(&'static str, f64)>,
    /// Number of agents `S` updated at once, by which the values are concatenated.
    agents: usize,
    /// Diagnostics of each step, if an update took several.
    steps: Option<UpdateSteps>,
}

impl Measured {
    /// Measurements from scalars `[1]` and from numbers already on the host.
    pub fn new(scalars: Vec<(&'static str, Tensor<1>)>, known: &[(&'static str, f64)]) -> Self {
        let (names, values) = scalars.into_iter().unzip();
        Self {
            names,
            values,
            known: known.to_vec(),
            agents: 1,
            steps: None,
        }
    }

    /// Measurements of an update by minibatches, and numbers already on the host.
    pub fn of_steps(steps: UpdateSteps, known: &[(&'static str, f64)]) -> Self {
        let mut measured = Self::new(vec![], known);
        measured.agents = steps.agents;
        measured = measured.with(&UPDATE, steps.summary.clone());
        measured.steps = Some(steps);
        measured
    }

    /// Adds values `[names]` that are already in one tensor.
    pub fn with(mut self, names: &[&'static str], values: Tensor<1>) -> Self {
        let len = names.len() * self.agents;
        assert_eq!(values.dims(), [len], "number of values");
        self.names.extend(names);
        self.values.push(values);
        self
    }

    /// Diagnostics of each step, if an update of one agent took several.
    pub(crate) fn steps(&self) -> Option<UpdateSteps> {
        self.steps.clone().filter(|_| self.agents == 1)
    }

    /// Reads everything back from the device at once, together with other values `[K]`.
    ///
    /// An explained variance is undefined if the returns do not vary; any other value that is not finite indicates a
    /// divergence and is kept.
    pub fn read(self, along: Option<Tensor<1>>) -> (Metrics, Vec<f32>) {
        assert_eq!(self.agents, 1, "agents");
        let (metrics, along) = self.read_agents(along.into_iter().collect()).swap_remove(0);
        (metrics, along.concat())
    }

    /// [`read`](Self::read) for every agent, with one wait for all. `along` are `[S·K]` with any `K`.
    pub(crate) fn read_agents(self, along: Vec<Tensor<1>>) -> Vec<(Metrics, Vec<Vec<f32>>)> {
        let (agents, measured) = (self.agents, self.values.len());
        let all: Vec<_> = self.values.into_iter().chain(along).collect();
        let lens: Vec<usize> = all.iter().map(|x| x.dims()[0] / agents).collect();
        let read = read_back::read_all(all);
        let of_agent = |k| {
            let mut rest = read.as_slice();
            let part = |len: &usize| {
                let (all, others) = rest.split_at(len * agents);
                rest = others;
                &all[k * len..][..*len]
            };
            let parts: Vec<&[f64]> = lens.iter().map(part).collect();
            let (measured, along) = parts.split_at(measured);
            let numbers = |part: &&[f64]| part.iter().map(|x| *x as f32).collect();
            (
                Metrics::of(&self.names, &measured.concat(), self.known.clone()),
                along.iter().map(numbers).collect(),
            )
        };
        (0..agents).map(of_agent).collect()
    }
}

/// A map from names to numbers, in their order, with null for undefined values.
impl Serialize for Metrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl Metrics {
    /// Metrics from values read back and numbers already on the host.
    ///
    /// An explained variance is undefined if the returns do not vary; any other value that is not finite indicates a
    /// divergence and is kept.
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

    /// The first value that is not finite, which indicates a diverged run.
    pub fn first_non_finite(&self) -> Option<(&'static str, f64)> {
        let values = self
            .0
            .iter()
            .filter_map(|(name, value)| Some((*name, (*value)?)));
        values.into_iter().find(|(_, value)| !value.is_finite())
    }
}
