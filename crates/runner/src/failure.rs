//! Exit codes and the kinds of errors behind them.

use uphill_algos::{ConfigError, StepError, TrainError};

/// A mistake in the request, as opposed to a failure while carrying it out.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

/// Marks an error as a usage error.
pub(crate) fn usage(error: anyhow::Error) -> anyhow::Error {
    UsageError(format!("{error:#}")).into()
}

/// Whether the error is that a loss or a parameter was not finite.
pub(crate) fn has_diverged(error: &anyhow::Error) -> bool {
    let diverged = |e: &StepError| matches!(e, StepError::Diverged(_));
    (error.chain()).any(|e| e.downcast_ref().is_some_and(diverged))
}

/// Exit code of an error: 2 for usage or configuration, 3 for divergence, 1 for anything else.
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
