//! The estimators that are compared, as functions of a rollout of whole episodes.

use crate::{
    policy_gradient::estimate,
    reinforce::{self, Baseline, Credit, ReinforceConfig, step_scale},
};
use burn::tensor::Tensor;
use std::fmt;
use uphill_core::{advantage::Estimator, policy::Actor, rollout::Rollout};

/// One way to estimate the policy gradient: ĝ = (1/N) Σ_i Σ_t w_t ∇ log π(a_t|s_t), the weights w being
/// what they differ in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GradientEstimator {
    /// w = γᵗ (G_t − b) as [`reinforce::weights`] has it.
    Reinforce {
        /// What an action is credited with.
        credit: Credit,
        /// What is subtracted from it.
        baseline: Baseline,
    },
    /// The same with a given number as baseline: what the optimal one has to beat.
    Constant {
        /// What an action is credited with.
        credit: Credit,
        /// b.
        constant: f64,
    },
    /// w = γᵗ A_t, an advantage that leans on a value function.
    Advantage(Estimator),
}

impl GradientEstimator {
    /// The weights, `[T, N]`. What stands in padded entries means nothing.
    ///
    /// Every estimator here weighs step t by γᵗ, as the gradient of the discounted return demands
    /// (arXiv:1906.07073); training usually leaves that out of advantages.
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

    /// Whether the rollout's values of states have a part in it.
    pub fn uses_values(self) -> bool {
        match self {
            Self::Reinforce { baseline, .. } => baseline == Baseline::Value,
            Self::Constant { .. } => false,
            Self::Advantage(_) => true,
        }
    }
}

impl fmt::Display for GradientEstimator {
    /// `reward-to-go average`, `reward-to-go b=1.5`, `gae 0.95`, `n-step 6`: that many rewards before V
    /// takes over, as A2C's `n_step` counts.
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

/// As tables and pictures call it.
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
