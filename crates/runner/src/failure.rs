//! Exit codes.

use uphill_algos::{ConfigError, StepError, TrainError};

/// A mistake in what was asked for, as opposed to something that went wrong while doing it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

/// Marks an error as the caller's to mend.
pub(crate) fn usage(error: anyhow::Error) -> anyhow::Error {
    UsageError(format!("{error:#}")).into()
}

/// Whether a loss or a parameter stopped being finite.
pub(crate) fn has_diverged(error: &anyhow::Error) -> bool {
    let diverged = |e: &StepError| matches!(e, StepError::Diverged(_));
    (error.chain()).any(|e| e.downcast_ref().is_some_and(diverged))
}

/// 2 usage or configuration, 3 diverged, 1 anything else.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    let is_usage = error.chain().any(|e| {
        e.is::<UsageError>()
            || e.is::<ConfigError>()
            || matches!(
                e.downcast_ref::<TrainError>(),
                Some(TrainError::Config(_) | TrainError::Env(_))
            )
    });
    match () {
        () if is_usage => 2,
        () if has_diverged(error) => 3,
        () => 1,
    }
}
