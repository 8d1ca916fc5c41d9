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
        known: Vec<String>,
    },

    /// Nobody makes environments of this scheme.
    #[error("environment `{name}`: there is no scheme `{scheme}:`{}", schemes(.known))]
    UnknownScheme {
        /// What stands before the colon.
        scheme: String,
        /// The name asked for.
        name: String,
        /// All schemes.
        known: Vec<String>,
    },

    /// An option that the environment does not have, or not with such a value.
    #[error("environment `{name}`: {problem}")]
    Options {
        /// The environment.
        name: String,
        /// What is wrong, and what there is.
        problem: String,
    },

    /// An environment or a scheme cannot be registered.
    #[error("`{name}` cannot be registered: it is taken, empty, or has a colon where none may be")]
    Taken {
        /// The name.
        name: String,
    },

    /// A batch of zero copies was asked for.
    #[error("a batch needs at least one environment")]
    NoEnvs,

    /// Copies that are stepped by somebody else stopped: a process ended, a library refused.
    #[error("environment `{name}` failed: {reason}")]
    Failed {
        /// The environment.
        name: String,
        /// Which copy, what happened, and what helps.
        reason: String,
    },

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

fn schemes(known: &[String]) -> String {
    match known {
        [] => "; this program has none, and built-in names have no colon".to_owned(),
        known => format!("; there are: {}:", known.join(":, ")),
    }
}

fn did_you_mean(suggestion: &Option<String>) -> String {
    suggestion
        .as_ref()
        .map(|name| format!(", did you mean `{name}`?"))
        .unwrap_or_default()
}
