//! Shape of a perceptron and layout of its weights in a flat vector.

use serde::{Deserialize, Serialize};

/// Nonlinearity between layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// tanh(x), the usual choice for small policy networks.
    #[default]
    Tanh,
    /// max(x, 0).
    Relu,
}

/// Layout of a perceptron in its flat parameter vector: per layer the weights `[I, O]` and the bias `[O]`, then the log
/// standard deviations, if any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MlpShape {
    /// Inputs, hidden widths, outputs.
    pub widths: Vec<usize>,
    /// Nonlinearity between layers.
    pub activation: Activation,
    /// Number of log standard deviations that do not depend on the observation, appended to every row of outputs.
    pub log_stds: usize,
    /// Whether the outputs are logits, some of which the last columns of the observation forbid.
    pub masked: bool,
}

impl MlpShape {
    /// Whether nothing follows the last layer.
    pub fn is_bare(&self) -> bool {
        self.log_stds == 0 && !self.masked
    }

    /// Number of parameters `P`.
    pub fn num_params(&self) -> usize {
        let layers = self.layers().map(|[i, o]| (i + 1) * o).sum::<usize>();
        layers + self.log_stds
    }

    /// Number of output columns `W`.
    pub fn outputs(&self) -> usize {
        self.widths[self.widths.len() - 1] + self.log_stds
    }

    /// Number of observation columns `O`.
    pub fn inputs(&self) -> usize {
        self.widths[0]
    }

    pub(crate) fn layers(
        &self,
    ) -> impl DoubleEndedIterator<Item = [usize; 2]> + ExactSizeIterator + '_ {
        self.widths.windows(2).map(|w| [w[0], w[1]])
    }
}
