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

    /// Externally stepped copies stopped: a process ended, or a library failed. Made by [`failed`](Self::failed).
    #[error("environment `{name}` failed{}: {reason}", place(*.step, *.copy))]
    Failed {
        /// Name of the environment.
        name: String,
        /// Step of every copy since the last reset, counted from 1; added by the batch.
        step: Option<u64>,
        /// The copy that failed, if it was a single one.
        copy: Option<usize>,
        /// What happened, and how to fix it.
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

impl EnvError {
    /// An error for the environment `name`, at one copy or, with `None`, at all of them.
    ///
    /// ```
    /// use uphill_envs::EnvError;
    ///
    /// let error = EnvError::failed("Maze-v0", 3, "the worker process ended");
    /// assert_eq!(error.to_string(), "environment `Maze-v0` failed, at copy 3: the worker process ended");
    /// ```
    #[must_use]
    pub fn failed(name: &str, copy: impl Into<Option<usize>>, reason: &str) -> Self {
        Self::Failed {
            name: name.to_owned(),
            step: None,
            copy: copy.into(),
            reason: reason.to_owned(),
        }
    }

    /// The same error with its step, if it is a failure without one. A [`Batch`](crate::Batch) adds the step to its
    /// copies' errors.
    #[must_use]
    pub fn in_step(mut self, now: u64) -> Self {
        if let Self::Failed { step, .. } = &mut self {
            step.get_or_insert(now);
        }
        self
    }
}

/// For example ` in step 41, at copy 2`, as far as known.
fn place(step: Option<u64>, copy: Option<usize>) -> String {
    let step = step.map(|step| format!(" in step {step}"));
    let copy = copy.map(|copy| format!(", at copy {copy}"));
    [step, copy].into_iter().flatten().collect()
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
