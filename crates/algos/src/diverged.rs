//! Diagnosis of a divergence: the first quantity that was not finite, and advice.

use crate::{
    Metrics,
    descent::{STEP, UpdateSteps},
};
use burn::tensor::Tensor;
use std::fmt;
use uphill_core::{dist::DistKind, obs::Obs, read_back};

/// Error that a loss or parameter is not finite. The trainer cannot continue; restore a checkpoint.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("diverged in iteration {iteration} (step {env_steps}): {metric} is {value}; {cause}")]
pub struct Diverged {
    /// Iteration in which it happened, counted from 1.
    pub iteration: u64,
    /// Number of environment steps taken.
    pub env_steps: u64,
    /// The first metric that is not finite.
    pub metric: &'static str,
    /// Its value.
    pub value: f64,
    /// Where the divergence began.
    pub cause: Box<Cause>,
}

/// Origin of a divergence.
#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    /// The first quantity that was not finite.
    pub first: First,
    /// The gradient step in which it was measured, if an update takes several.
    pub step: Option<StepOfUpdate>,
    /// The last finite measurements before it.
    pub last: Last,
}

/// Kinds of quantities that may not be finite, in the order in which an iteration computes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum First {
    /// Observations of the environment.
    Observations,
    /// Rewards of the environment.
    Rewards,
    /// log σ of a Gaussian policy, whose entropy depends on nothing else.
    LogStd,
    /// The term of the loss with this name.
    Loss(&'static str),
    /// The gradient of a finite loss.
    Gradient,
    /// The parameters after a step along a finite gradient.
    Parameters,
}

/// One gradient step of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepOfUpdate {
    /// Epoch, counted from 1.
    pub epoch: usize,
    /// Minibatch, counted from 1.
    pub minibatch: usize,
    /// Number of minibatches per epoch.
    pub minibatches: usize,
}

/// The last finite measurements; `None` where there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Last {
    /// Entropy, in nats.
    pub entropy: Option<f64>,
    /// k3 estimate of KL(old ‖ new), in nats.
    pub approx_kl: Option<f64>,
    /// Gradient norm before clipping.
    pub grad_norm: Option<f64>,
    /// Learning rate of the step.
    pub learning_rate: Option<f64>,
}

/// Data of an iteration from which a divergence can be diagnosed, kept on the device until then.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    /// Raw observations `[B, O]`.
    pub(crate) obs: Option<Obs<2>>,
    /// Rewards `[T, N]` before scaling and clipping.
    pub(crate) rewards: Option<Tensor<2>>,
    /// Diagnostics of the steps of an update, if it took several.
    pub(crate) steps: Option<UpdateSteps>,
}

impl Evidence {
    /// Finds the first quantity that was not finite in an iteration with metrics `now`, after one with metrics
    /// `before`.
    pub(crate) fn cause(self, kind: &DistKind, before: &Metrics, now: &Metrics) -> Cause {
        let finite = |x: Option<f64>| x.filter(|x| x.is_finite());
        let mut cause = Cause {
            first: First::Parameters,
            step: None,
            last: Last {
                entropy: finite(before.get("entropy")),
                approx_kl: finite(before.get("approx_kl")),
                grad_norm: finite(before.get("grad_norm")),
                learning_rate: finite(now.get("lr")),
            },
        };
        if any_not_finite(self.obs.map(Obs::floats)) {
            cause.first = First::Observations;
        } else if any_not_finite(self.rewards) {
            cause.first = First::Rewards;
        } else if let Some(steps) = self.steps {
            let minibatches = steps.minibatches;
            let rows = steps.rows.into_iter().flat_map(read_back::read);
            for (number, row) in rows
                .collect::<Vec<_>>()
                .chunks_exact(STEP.len())
                .enumerate()
            {
                let get = |name: &str| {
                    let mut named = STEP.iter().zip(row);
                    named.find(|(n, _)| **n == name).map(|(_, x)| *x)
                };
                if let Some(first) = first_of(get, kind) {
                    cause.first = first;
                    cause.step = Some(StepOfUpdate {
                        epoch: number / minibatches + 1,
                        minibatch: number % minibatches + 1,
                        minibatches,
                    });
                    break;
                }
                cause.last.entropy = get("entropy");
                cause.last.approx_kl = get("approx_kl");
                cause.last.grad_norm = get("grad_norm");
            }
        } else if let Some(first) = first_of(|name| now.get(name), kind) {
            cause.first = first;
        }
        cause
    }
}

fn any_not_finite<const D: usize>(tensor: Option<Tensor<D>>) -> bool {
    tensor.is_some_and(|tensor| read_back::read(tensor).iter().any(|x| !x.is_finite()))
}

/// The first quantity that is not finite in the measurements of a step or update, in order of computation.
fn first_of(get: impl Fn(&str) -> Option<f64>, kind: &DistKind) -> Option<First> {
    let bad = |name| get(name).is_some_and(|x: f64| !x.is_finite());
    let gaussian = matches!(
        kind,
        DistKind::Gaussian { .. } | DistKind::SquashedGaussian { .. }
    );
    if bad("entropy") && gaussian {
        return Some(First::LogStd);
    }
    let losses = ["policy_loss", "value_loss", "entropy"];
    let loss = losses.into_iter().find(|name| bad(name));
    loss.map(First::Loss)
        .or(bad("grad_norm").then_some(First::Gradient))
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.first {
            First::Observations => "observations of the environment",
            First::Rewards => "rewards of the environment",
            First::LogStd => "the policy's log standard deviation",
            First::Loss(name) => name,
            First::Gradient => "the gradient, of a loss that was finite",
            First::Parameters => "the parameters, after a finite gradient",
        };
        write!(f, "not finite first: {what}")?;
        if let Some(step) = self.step {
            let StepOfUpdate {
                epoch,
                minibatch,
                minibatches,
            } = step;
            write!(
                f,
                ", in minibatch {minibatch} of {minibatches} of epoch {epoch}"
            )?;
        }
        let Last {
            entropy,
            approx_kl,
            grad_norm,
            learning_rate,
        } = self.last;
        let last = [
            ("entropy", entropy),
            ("approx_kl", approx_kl),
            ("grad_norm", grad_norm),
            ("learning rate", learning_rate),
        ];
        let last = last
            .iter()
            .filter_map(|(name, x)| Some(format!("{name} {:.3e}", (*x)?)));
        let last: Vec<String> = last.collect();
        if !last.is_empty() {
            write!(f, "; before that {}", last.join(", "))?;
        }
        write!(f, "; {}", self.advice())
    }
}

impl Cause {
    fn advice(&self) -> &'static str {
        let Last {
            entropy, approx_kl, ..
        } = self.last;
        match self.first {
            First::Observations | First::Rewards => {
                "check what the environment computes: no setting of the algorithm helps"
            }
            First::LogStd if entropy.is_some_and(|h| h > 0.0) => {
                "a lower entropy_coef or learning rate keeps the deviation from growing"
            }
            First::LogStd => {
                "a higher entropy_coef or a lower learning rate keeps the deviation from vanishing"
            }
            First::Loss("value_loss") => {
                "scaled rewards (normalize.reward = true) or a lower learning rate of the critic usually help"
            }
            First::Gradient => "a gradient-norm limit or a lower learning rate usually helps",
            _ if approx_kl.is_some_and(|kl| kl > 0.1) => {
                "the policy moved far from the one that acted: fewer epochs, a target KL or a lower learning rate usually help"
            }
            First::Loss(_) | First::Parameters => {
                "a lower learning rate or a gradient-norm limit usually helps"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    const NAN: f32 = f32::NAN;

    fn steps(rows: &[[f32; 6]]) -> Evidence {
        let flat: Vec<f32> = rows.concat();
        let rows = Tensor::<1>::from_data(flat.as_slice(), &Device::default());
        Evidence {
            steps: Some(UpdateSteps {
                summary: rows.clone(),
                rows: vec![rows.reshape([-1, 6])],
                minibatches: 2,
                agents: 1,
            }),
            ..Evidence::default()
        }
    }

    fn cause(evidence: Evidence, kind: &DistKind) -> Cause {
        let before = Metrics(vec![("entropy", Some(0.5)), ("grad_norm", None)]);
        let now = Metrics(vec![("policy_loss", Some(f64::NAN)), ("lr", Some(1e-3))]);
        evidence.cause(kind, &before, &now)
    }

    const CHOICE: DistKind = DistKind::Categorical { choices: 2 };

    #[test]
    fn advice_follows_from_what_was_first() {
        let advice = |first, entropy, approx_kl| {
            let last = Last {
                entropy: Some(entropy),
                approx_kl: Some(approx_kl),
                grad_norm: None,
                learning_rate: None,
            };
            Cause {
                first,
                step: None,
                last,
            }
            .advice()
        };
        let has = |advice: &str, word: &str| assert!(advice.contains(word), "{advice}: {word}");
        has(advice(First::LogStd, 3.0, 0.0), "a lower entropy_coef");
        for entropy in [0.0, -3.0] {
            has(advice(First::LogStd, entropy, 0.0), "a higher entropy_coef");
        }
        has(
            advice(First::Parameters, 1.0, 0.2),
            "far from the one that acted",
        );
        for kl in [0.1, 0.0] {
            has(
                advice(First::Parameters, 1.0, kl),
                "a lower learning rate or",
            );
        }
        has(advice(First::Rewards, 1.0, 0.0), "the environment");
        has(
            advice(First::Loss("value_loss"), 1.0, 0.0),
            "normalize.reward",
        );
        has(advice(First::Gradient, 1.0, 0.2), "a gradient-norm limit");
    }

    #[test]
    fn the_first_step_that_is_not_finite_is_named_with_what_was_before_it() {
        let good = [0.1, 0.2, 0.3, 0.4, 0.5, 6.0];
        let no_norm = [0.1, 0.2, 0.3, 0.4, 0.5, f32::INFINITY];
        let found = cause(steps(&[good, good, good, no_norm, [NAN; 6]]), &CHOICE);
        assert_eq!(found.first, First::Gradient);
        let step = found.step.expect("a step");
        assert_eq!((step.epoch, step.minibatch, step.minibatches), (2, 2, 2));
        assert_eq!(found.last.grad_norm, Some(6.0));
        let said = found.to_string();
        assert!(
            said.contains("minibatch 2 of 2 of epoch 2") && said.contains("learning rate 1.000e-3"),
            "{said}"
        );
        assert!(said.ends_with("a gradient-norm limit or a lower learning rate usually helps"));
    }

    #[test]
    fn each_part_is_told_from_the_others() {
        let good = [0.1, 0.2, 0.3, 0.01, 0.5, 6.0];
        let gaussian = DistKind::Gaussian { dim: 1 };
        let of = |row: [f32; 6], kind: &DistKind| cause(steps(&[good, row]), kind).first;
        let value = [0.1, NAN, 0.3, 0.4, 0.5, NAN];
        assert_eq!(of(value, &CHOICE), First::Loss("value_loss"));
        let entropy = [NAN, 0.2, NAN, NAN, 0.5, NAN];
        assert_eq!(of(entropy, &CHOICE), First::Loss("policy_loss"));
        assert_eq!(of(entropy, &gaussian), First::LogStd);
        assert_eq!(of(good, &CHOICE), First::Parameters);
        let nan = Tensor::from_data([[1.0, NAN]], &Device::default());
        let rewards = Evidence {
            rewards: Some(nan.clone()),
            ..steps(&[value])
        };
        assert_eq!(cause(rewards.clone(), &CHOICE).first, First::Rewards);
        let obs = Evidence {
            obs: Some(nan.into()),
            ..rewards
        };
        assert_eq!(cause(obs, &CHOICE).first, First::Observations);
        // Without steps, the metrics of this iteration and the last one are the measurements.
        let found = cause(Evidence::default(), &CHOICE);
        assert_eq!(
            (found.first, found.last.entropy),
            (First::Loss("policy_loss"), Some(0.5))
        );
    }
}
