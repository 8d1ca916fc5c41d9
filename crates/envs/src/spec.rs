//! Specification of an environment: name, observation and action space, limits.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Name, spaces and conventional limits of an environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnvSpec {
    /// Name and version, as passed to [`make`](crate::make): `CartPole-v1`.
    pub name: String,
    /// Observation space.
    pub obs: ObsSpace,
    /// Action space.
    pub action: ActionSpace,
    /// Number of steps after which an episode is truncated; `None`: never.
    pub time_limit: Option<u32>,
    /// Mean episode return at which the task counts as solved, if there is such a convention.
    pub reward_threshold: Option<f64>,
}

impl EnvSpec {
    /// Number of leading columns of the observation that normalisation applies to: all but a mask of allowed actions.
    #[must_use]
    pub fn normalized_width(&self) -> usize {
        match self.action {
            ActionSpace::MaskedDiscrete { n } => self.obs.dim() - n,
            _ => self.obs.dim(),
        }
    }
}

/// Bounds of an observation, one pair per component and infinite for unbounded ones, with its shape and element type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObsSpace {
    /// Lowest values `[O]`.
    pub low: Vec<f32>,
    /// Highest values `[O]`.
    pub high: Vec<f32>,
    /// `[O]`, or `[C, H, W]` for images with `O` = C · H · W: channels, rows and columns.
    pub shape: Vec<usize>,
    /// Element type in which a batch stores observations.
    pub element: Element,
}

/// Element type of an observation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Element {
    /// 32-bit floats.
    Float,
    /// Whole numbers from 0 to 255, which the policy sees multiplied by `unit`: 1/255 for shades of an image, 1 for
    /// indicators.
    Byte {
        /// Factor from a byte to a number.
        unit: f32,
    },
}

impl ObsSpace {
    /// Floats within `low` and `high`, `[O]`.
    #[must_use]
    pub fn new(low: Vec<f32>, high: Vec<f32>) -> Self {
        Self {
            shape: vec![low.len()],
            element: Element::Float,
            low,
            high,
        }
    }

    /// Bounds `-high..=high`, for `high` of shape `[O]`.
    #[must_use]
    pub fn symmetric(high: &[f32]) -> Self {
        Self::new(high.iter().map(|h| -h).collect(), high.to_vec())
    }

    /// The same bounds for each of `dim` components.
    #[must_use]
    pub fn between(low: f32, high: f32, dim: usize) -> Self {
        Self::new(vec![low; dim], vec![high; dim])
    }

    /// An image of bytes `[C, H, W]` from 0 to `largest`, which the policy sees multiplied by `unit`.
    #[must_use]
    pub fn image(shape: [usize; 3], largest: u8, unit: f32) -> Self {
        Self {
            shape: shape.to_vec(),
            element: Element::Byte { unit },
            ..Self::between(0.0, f32::from(largest) * unit, shape.iter().product())
        }
    }

    /// Number of components `O`.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.low.len()
    }
}

/// Actions that an environment accepts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ActionSpace {
    /// One of `n` choices, `0..n`.
    Discrete {
        /// Number of choices `K`.
        n: usize,
    },
    /// One of `n` choices, `0..n`, some of which the observation forbids: its last `n` columns are 1 where a choice is
    /// allowed and 0 where it is not. At least one is always allowed.
    MaskedDiscrete {
        /// Number of choices `K`.
        n: usize,
    },
    /// One choice per component, `0..choices[i]`, as an index in column i.
    MultiDiscrete {
        /// Number of choices `[A]` of each component.
        choices: Vec<usize>,
    },
    /// Real numbers within bounds. A batch clips values outside.
    Box {
        /// Lowest values `[A]`.
        low: Vec<f32>,
        /// Highest values `[A]`.
        high: Vec<f32>,
    },
}

impl fmt::Display for ObsSpace {
    /// Shape as text: `4`, `3 × 84 × 84 bytes`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        let element = match self.element {
            Element::Float => "",
            Element::Byte { .. } => " bytes",
        };
        write!(f, "{}{element}", shape.join(" × "))
    }
}

impl fmt::Display for ActionSpace {
    /// Short text: `2 choices`, `3 × 4 choices`, `1 real`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discrete { n } => write!(f, "{n} choices"),
            Self::MaskedDiscrete { n } => write!(f, "{n} choices, masked"),
            Self::MultiDiscrete { choices } => {
                let numbers: Vec<String> = choices.iter().map(usize::to_string).collect();
                write!(f, "{} choices", numbers.join(" × "))
            }
            Self::Box { low, .. } => write!(f, "{} real", low.len()),
        }
    }
}

impl ActionSpace {
    /// Number of columns `A` of the action tensor: 1 for a discrete action, which is given by its index.
    #[must_use]
    pub fn width(&self) -> usize {
        match self {
            Self::Discrete { .. } | Self::MaskedDiscrete { .. } => 1,
            Self::MultiDiscrete { choices } => choices.len(),
            Self::Box { low, .. } => low.len(),
        }
    }
}
