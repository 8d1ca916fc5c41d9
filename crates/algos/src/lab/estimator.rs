//! Estimators to compare, as functions of a rollout of whole episodes.

use crate::{
    policy_gradient::estimate,
    reinforce::{self, Baseline, Credit, ReinforceConfig, step_scale},
};
use burn::tensor::Tensor;
use std::fmt;
use uphill_core::{advantage::Estimator, policy::Actor, rollout::Rollout};

/// Estimators of the policy gradient: ĝ = (1/N) Σ_i Σ_t w_t ∇ log π(a_t|s_t), which differ in their weights w.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GradientEstimator {
    /// w = γᵗ (G_t − b), as in [`reinforce::weights`].
    Reinforce {
        /// Return credited to an action.
        credit: Credit,
        /// Baseline subtracted from it.
        baseline: Baseline,
    },
    /// The same with a given number as the baseline, to compare the optimal one with.
    Constant {
        /// Return credited to an action.
        credit: Credit,
        /// b.
        constant: f64,
    },
    /// w = γᵗ A_t, with an advantage that depends on a value function.
    Advantage(Estimator),
}

impl GradientEstimator {
    /// Weights `[T, N]`. Padded entries are arbitrary.
    ///
    /// Every estimator here weights step t by γᵗ, as the gradient of the discounted return requires (arXiv:1906.07073);
    /// training usually omits this factor from advantages.
    pub fn weights(self, actor: &Actor, rollout: &Rollout, gamma: f64) -> Tensor<2> {
        match self {
            Self::Reinforce { credit, baseline } => {
                reinforce::weights(&settings(credit, baseline, gamma), actor, rollout)
            }
            Self::Constant { credit, constant } => {
                let none = settings(credit, Baseline::None, gamma);
                let scale = step_scale(credit, rollout, gamma);
                reinforce::weights(&none, actor, rollout) - scale * constant
            }
            Self::Advantage(estimator) => {
                let scale = step_scale(Credit::RewardToGo, rollout, gamma);
                estimator.advantages(&rollout.trace(), gamma) * scale
            }
        }
    }

    /// ĝ, `[P]`.
    pub fn estimate(self, actor: &Actor, rollout: &Rollout, gamma: f64) -> Tensor<1> {
        estimate(actor, rollout, self.weights(actor, rollout, gamma))
    }

    /// Whether the estimator uses the rollout's values of states.
    pub fn uses_values(self) -> bool {
        match self {
            Self::Reinforce { baseline, .. } => baseline == Baseline::Value,
            Self::Constant { .. } => false,
            Self::Advantage(_) => true,
        }
    }
}

impl fmt::Display for GradientEstimator {
    /// For example `reward-to-go average`, `reward-to-go b=1.5`, `gae 0.95`, `n-step 6`: this many rewards before the
    /// bootstrap, counted as A2C's `n_step`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reinforce { credit, baseline } => {
                let baseline = match baseline {
                    Baseline::None => "none",
                    Baseline::Average => "average",
                    Baseline::Optimal => "optimal",
                    Baseline::Value => "value",
                };
                write!(f, "{} {baseline}", credit_name(*credit))
            }
            Self::Constant { credit, constant } => {
                write!(f, "{} b={constant:.3}", credit_name(*credit))
            }
            Self::Advantage(Estimator::Td) => write!(f, "td"),
            Self::Advantage(Estimator::NStep { n }) => write!(f, "n-step {}", n + 1),
            Self::Advantage(Estimator::Gae { lambda }) => write!(f, "gae {lambda}"),
            Self::Advantage(Estimator::MonteCarlo) => write!(f, "monte-carlo"),
        }
    }
}

/// Name in tables and figures.
pub fn credit_name(credit: Credit) -> &'static str {
    match credit {
        Credit::Trajectory => "trajectory",
        Credit::RewardToGo => "reward-to-go",
    }
}

fn settings(credit: Credit, baseline: Baseline, gamma: f64) -> ReinforceConfig {
    ReinforceConfig {
        credit,
        baseline,
        gamma,
        ..Default::default()
    }
}
