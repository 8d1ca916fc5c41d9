//! Errors of making, stepping and restoring environments.

/// Errors of this crate.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EnvError {
    /// No environment has this name.
    #[error("unknown environment `{name}`{}; there are: {}", did_you_mean(.suggestion), .known.join(", "))]
    Unknown {
        /// The requested name.
        name: String,
        /// The most similar name, if any is similar.
        suggestion: Option<String>,
        /// All known names.
        known: Vec<String>,
    },

    /// No environments are registered for this scheme.
    #[error("environment `{name}`: there is no scheme `{scheme}:`{}", schemes(.known))]
    UnknownScheme {
        /// The part of the name before the colon.
        scheme: String,
        /// The requested name.
        name: String,
        /// All known schemes.
        known: Vec<String>,
    },

    /// An unknown option, or an invalid value for one.
    #[error("environment `{name}`: {problem}")]
    Options {
        /// Name of the environment.
        name: String,
        /// The problem, and the valid options or values.
        problem: String,
    },

    /// A name or a scheme that cannot be registered.
    #[error("`{name}` cannot be registered: it is taken, empty, or has a colon where none may be")]
    Taken {
        /// The name or scheme.
        name: String,
    },

    /// A batch of zero copies was requested.
    #[error("a batch needs at least one environment")]
    NoEnvs,

    /// Externally stepped copies stopped: a process ended, or a library failed.
    #[error("environment `{name}` failed: {reason}")]
    Failed {
        /// Name of the environment.
        name: String,
        /// Which copy failed, what happened, and how to fix it.
        reason: String,
    },

    /// A saved state does not fit the batch that should restore it.
    #[error("saved environment state: `{key}` should be {expected}, but is {found}")]
    BadState {
        /// Entry of the [`EnvState`](crate::EnvState).
        key: String,
        /// Contents that the batch needs.
        expected: String,
        /// Contents of the saved state.
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
