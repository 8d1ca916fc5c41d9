//! What can go wrong when an environment is made or restored.

/// Errors of this crate.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EnvError {
    /// There is no environment of this name.
    #[error("unknown environment `{name}`{}; there are: {}", did_you_mean(.suggestion), .known.join(", "))]
    Unknown {
        /// The name asked for.
        name: String,
        /// The most similar name there is, if any is similar.
        suggestion: Option<String>,
        /// All names.
        known: &'static [&'static str],
    },

    /// A batch of zero copies was asked for.
    #[error("a batch needs at least one environment")]
    NoEnvs,

    /// A saved state does not fit the batch that it was given to.
    #[error("saved environment state: `{key}` should be {expected}, but is {found}")]
    BadState {
        /// Entry of the [`EnvState`](crate::EnvState).
        key: String,
        /// What the batch needs.
        expected: String,
        /// What the state holds.
        found: String,
    },
}

fn did_you_mean(suggestion: &Option<String>) -> String {
    suggestion
        .as_ref()
        .map(|name| format!(", did you mean `{name}`?"))
        .unwrap_or_default()
}
