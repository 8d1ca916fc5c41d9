//! Warnings, once per run, about constant rewards, observations or returns.

use crate::metrics::Metrics;
use burn::tensor::Tensor;
use uphill_core::normalize::{ObsNorm, RewardScaler};

/// Flags for quantities that are scaled although they do not vary, `[K]`, read along with the metrics of an iteration:
/// in the first iteration the return that scales rewards, in the second the columns of observations, whose moments are
/// then those of a whole rollout. `None` in every other iteration.
pub(crate) fn flags(
    iteration: u64,
    scaler: Option<&RewardScaler>,
    norm: Option<&ObsNorm>,
) -> Option<Tensor<1>> {
    let moments = match iteration {
        0 => &scaler?.moments,
        1 => &norm?.moments,
        _ => return None,
    };
    Some(moments.flat().float())
}

/// Warns about the [`flags`], and after the first iteration if there was no variance to explain.
pub(crate) fn warn(iteration: u64, flags: &[f32], metrics: &Metrics) {
    if let Some(message) = message(iteration, flags) {
        tracing::warn!("{message}");
    }
    let [loss, explained] = ["value_loss", "explained_variance"].map(|name| metrics.get(name));
    if iteration == 0 && loss.is_some() && explained.is_none() {
        tracing::warn!(
            "explained_variance: the returns of the first rollout do not vary; it is left empty until they do"
        );
    }
}

fn message(iteration: u64, flags: &[f32]) -> Option<String> {
    let flat = (1..).zip(flags).filter(|(_, flag)| **flag > 0.5);
    let columns: Vec<String> = flat.map(|(column, _)| column.to_string()).collect();
    match (columns.len(), iteration) {
        (0, _) => None,
        (_, 0) => Some(
            "normalize.reward: the discounted return has not varied so far; rewards stay as they are until it does"
                .to_owned(),
        ),
        (count, _) => Some(format!(
            "normalize.obs: {} of {} columns of the observation ({}) have not varied so far; they are centred and not scaled until they do",
            count,
            flags.len(),
            columns.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::message;

    #[test]
    fn what_varies_is_not_mentioned() {
        for (iteration, flags, expected) in [
            (0, &[][..], None),
            (0, &[1.0], Some("normalize.reward: the discounted return")),
            (1, &[0.0, 0.0], None),
            (
                1,
                &[0.0, 1.0, 1.0],
                Some("normalize.obs: 2 of 3 columns of the observation (2, 3)"),
            ),
        ] {
            let found = message(iteration, flags).unwrap_or_default();
            assert_eq!(found.is_empty(), expected.is_none(), "{found}");
            assert!(found.starts_with(expected.unwrap_or_default()), "{found}");
        }
    }
}
