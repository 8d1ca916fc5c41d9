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

/// Warnings about the [`flags`], and after the first iteration one if there was no variance to explain.
pub(crate) fn warnings(iteration: u64, flags: &[f32], metrics: &Metrics) -> Vec<String> {
    let mut warnings: Vec<String> = message(iteration, flags).into_iter().collect();
    let [loss, explained] = ["value_loss", "explained_variance"].map(|name| metrics.get(name));
    if iteration == 0 && loss.is_some() && explained.is_none() {
        let message = "explained_variance: the returns of the first rollout do not vary; it is left empty until they do";
        warnings.push(message.to_owned());
    }
    warnings
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
    use super::*;
    use burn::tensor::Device;
    use uphill_core::normalize::Moments;

    #[test]
    fn rewards_are_looked_at_first_and_observations_next() {
        let device = Device::default();
        let scaler = RewardScaler::new(2, &device);
        let mut norm = ObsNorm::new(2, 0.0, &device);
        norm.moments =
            Moments::new(2, &device).merge(Tensor::from_floats([[1.0, 5.0], [2.0, 5.0]], &device));
        let found = |iteration| {
            let flags = flags(iteration, Some(&scaler), Some(&norm))?;
            Some(flags.into_data().iter::<f32>().collect::<Vec<_>>())
        };
        assert_eq!(found(0), Some(vec![0.0]));
        assert_eq!(found(1), Some(vec![0.0, 1.0]));
        assert_eq!(found(2), None);
        assert!(flags(0, None, Some(&norm)).is_none() && flags(1, Some(&scaler), None).is_none());
    }

    #[test]
    fn nothing_to_explain_is_said_once() {
        let metrics = |values: &[(&'static str, f64)]| {
            Metrics(values.iter().map(|(name, x)| (*name, Some(*x))).collect())
        };
        let critic = metrics(&[("value_loss", 0.5)]);
        let explained = metrics(&[("value_loss", 0.5), ("explained_variance", 0.1)]);
        let count =
            |iteration, flags: &[f32], metrics: &Metrics| warnings(iteration, flags, metrics).len();
        assert_eq!(count(0, &[], &critic), 1);
        assert_eq!(count(1, &[], &critic), 0);
        assert_eq!(count(0, &[], &explained), 0);
        assert_eq!(count(0, &[], &metrics(&[])), 0);
        assert_eq!(count(0, &[1.0], &critic), 2);
    }

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
