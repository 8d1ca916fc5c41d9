//! Fit of the value function to returns, as a separate step after the policy's.

use crate::{
    SequenceUse, UpdateContext, check_settings,
    checkpoint::{Checkpoint, CheckpointError},
    config::ConfigError,
    descent::{ValueSteps, fit_values, value_gradient},
    optimizer::{load_rule, save_rule},
    settings::{COUNT, NOT_NEGATIVE, POSITIVE, ensure},
};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use uphill_core::{
    lbfgs::lbfgs,
    optim::{Rule, RuleKind},
    policy::Critic,
    rollout::Batch,
    schedule::Schedule,
};

/// Method that fits the value function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CriticMethod {
    /// Adam on minibatches.
    #[default]
    Adam,
    /// L-BFGS on the whole batch, restarted in every update.
    Lbfgs,
}

/// Settings of the value fit: the `[algo.critic]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CriticConfig {
    /// Adam or L-BFGS. The settings below, except `epochs`, apply to Adam.
    pub method: CriticMethod,
    /// Number of passes over each rollout, or of iterations of L-BFGS.
    pub epochs: usize,
    /// Number of minibatches per pass; `steps × num_envs` must be divisible by it.
    pub minibatches: usize,
    /// Learning rate of Adam.
    pub learning_rate: Schedule,
    /// ε of Adam.
    pub adam_epsilon: f64,
    /// Norm to which longer gradients are scaled down; 0: never.
    pub max_grad_norm: f64,
    /// Bound to which the change of the value function is clipped, ±this; 0: never.
    pub value_clip: f64,
}

impl Default for CriticConfig {
    fn default() -> Self {
        Self {
            method: CriticMethod::Adam,
            epochs: 10,
            minibatches: 16,
            learning_rate: Schedule::Constant(1e-3),
            adam_epsilon: 1e-8,
            max_grad_norm: 0.0,
            value_clip: 0.0,
        }
    }
}

impl CriticConfig {
    /// Checks each setting, and their fit to a batch of `batch` samples.
    pub fn validate(&self, batch: usize) -> Result<(), ConfigError> {
        check_settings!(self, "algo.critic.", {
            method: _,
            epochs: COUNT,
            minibatches: COUNT,
            learning_rate: POSITIVE,
            adam_epsilon: POSITIVE,
            max_grad_norm: NOT_NEGATIVE,
            value_clip: NOT_NEGATIVE,
        })?;
        let whole = batch.is_multiple_of(self.minibatches);
        ensure(whole, "algo.critic.minibatches", || {
            format!(
                "{} parts do not divide the batch of {batch} samples (algo.steps × num_envs); choose a divisor of {batch}",
                self.minibatches
            )
        })?;
        // A line search along directions of a piecewise flat loss finds no step.
        ensure(
            self.value_clip == 0.0 || self.method == CriticMethod::Adam,
            "algo.critic.value_clip",
            || "is for \"adam\"; use 0 with \"lbfgs\"".to_owned(),
        )
    }

    /// How the fit splits the copies' sequences.
    pub(crate) fn sequences(&self) -> SequenceUse {
        match self.method {
            CriticMethod::Lbfgs => SequenceUse::Whole,
            CriticMethod::Adam => SequenceUse::Parts {
                key: "algo.critic.minibatches",
                parts: self.minibatches,
            },
        }
    }
}

/// Value fit with its optimiser state.
#[derive(Clone, Debug)]
pub struct CriticFit {
    config: CriticConfig,
    rule: Rule,
}

impl CriticFit {
    /// A value fit with fresh optimiser state for this critic.
    pub fn new(config: CriticConfig, critic: &Critic) -> Self {
        let device = critic.net.device();
        let params = critic.net.num_params();
        let rule = Rule::new(RuleKind::Adam, params, config.adam_epsilon, &device);
        Self { config, rule }
    }

    /// Moves V towards the batch's returns by minimising ½ mean((V − R)²), or its clipped form if `value_clip` is set.
    /// Returns the loss `[1]`: the mean over the steps of Adam, or the final loss of L-BFGS.
    pub fn fit(&mut self, critic: &mut Critic, batch: &Batch, context: UpdateContext) -> Tensor<1> {
        let c = &self.config;
        match c.method {
            CriticMethod::Adam => {
                let steps = ValueSteps {
                    epochs: c.epochs,
                    minibatches: c.minibatches,
                    order: Some(context.order(0)),
                    learning_rate: self.learning_rate(context),
                    max_grad_norm: c.max_grad_norm,
                    value_clip: c.value_clip,
                };
                fit_values(
                    critic,
                    &mut self.rule,
                    batch,
                    steps,
                    (context.peers, context.stop),
                )
                .mean
            }
            CriticMethod::Lbfgs => {
                let loss_and_grad = |params| {
                    let critic = critic.with_net(critic.net.with_flat(params));
                    value_gradient(&critic, batch, 0.0, context.peers)
                };
                let (params, loss) = lbfgs(loss_and_grad, critic.net.flat(), c.epochs);
                critic.net = critic.net.with_flat(params);
                loss
            }
        }
    }

    /// Value of the learning-rate schedule during an update.
    pub fn learning_rate(&self, context: UpdateContext) -> f64 {
        self.config.learning_rate.at(context.progress)
    }

    /// Adds the optimiser state to a checkpoint.
    pub fn save(&self, checkpoint: &mut Checkpoint) {
        save_rule(checkpoint, "critic", &self.rule);
    }

    /// Restores the optimiser state from a checkpoint.
    pub fn load(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        load_rule(checkpoint, "critic", &mut self.rule)
    }
}
