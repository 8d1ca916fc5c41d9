//! What an environment looks like from outside.

use serde::{Deserialize, Serialize};

/// Name, spaces and conventional limits of an environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnvSpec {
    /// Name and version, as given to [`make`](crate::make): `CartPole-v1`.
    pub name: String,
    /// What the agent sees.
    pub obs: ObsSpace,
    /// What the agent does.
    pub action: ActionSpace,
    /// Steps after which an episode is truncated; `None`: never.
    pub time_limit: Option<u32>,
    /// Mean episode return from which the task counts as solved, where there is such a convention.
    pub reward_threshold: Option<f64>,
}

/// Bounds of an observation, one pair per component; infinite where there is no bound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObsSpace {
    /// Smallest values, `[O]`.
    pub low: Vec<f32>,
    /// Largest values, `[O]`.
    pub high: Vec<f32>,
}

impl ObsSpace {
    /// Bounds `-high..=high`, for `high` of shape `[O]`.
    #[must_use]
    pub fn symmetric(high: &[f32]) -> Self {
        Self {
            low: high.iter().map(|h| -h).collect(),
            high: high.to_vec(),
        }
    }

    /// Number of components `O`.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.low.len()
    }
}

/// The actions an environment understands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ActionSpace {
    /// One of `n` choices, `0..n`.
    Discrete {
        /// Number of choices `K`.
        n: usize,
    },
    /// Real numbers within bounds. A batch clips what lies outside.
    Box {
        /// Smallest values, `[A]`.
        low: Vec<f32>,
        /// Largest values, `[A]`.
        high: Vec<f32>,
    },
}

impl ActionSpace {
    /// Columns `A` of the action tensor: 1 for a discrete action, which is given by its index.
    #[must_use]
    pub fn width(&self) -> usize {
        match self {
            Self::Discrete { .. } => 1,
            Self::Box { low, .. } => low.len(),
        }
    }
}
