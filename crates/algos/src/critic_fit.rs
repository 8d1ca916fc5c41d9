//! Regression of the value function on returns, as its own step after the policy's.

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

/// What fits the value function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CriticMethod {
    /// Adam on minibatches.
    #[default]
    Adam,
    /// L-BFGS on the whole batch, started afresh in every update.
    Lbfgs,
}

/// Settings of the value fit: the `[algo.critic]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CriticConfig {
    /// Adam or L-BFGS; what follows but `epochs` is of Adam.
    pub method: CriticMethod,
    /// Passes over each rollout; iterations of L-BFGS.
    pub epochs: usize,
    /// Parts that each pass is cut into; `steps × num_envs` has to be divisible by it.
    pub minibatches: usize,
    /// Of Adam.
    pub learning_rate: Schedule,
    /// ε of Adam.
    pub adam_epsilon: f64,
    /// Shorten gradients to this norm; 0: never.
    pub max_grad_norm: f64,
    /// Clip the value function's move to ±this; 0: never.
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
    /// Checks every setting, alone and against a batch of `batch` samples.
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
        // A line search along directions of a loss that is flat in places finds no way.
        ensure(
            self.value_clip == 0.0 || self.method == CriticMethod::Adam,
            "algo.critic.value_clip",
            || "is for \"adam\"; use 0 with \"lbfgs\"".to_owned(),
        )
    }

    /// What it cuts the copies' sequences into.
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

/// The value fit with its optimiser state.
#[derive(Clone, Debug)]
pub struct CriticFit {
    config: CriticConfig,
    rule: Rule,
}

impl CriticFit {
    /// With fresh optimiser state for this critic.
    pub fn new(config: CriticConfig, critic: &Critic) -> Self {
        let device = critic.net.device();
        let params = critic.net.num_params();
        let rule = Rule::new(RuleKind::Adam, params, config.adam_epsilon, &device);
        Self { config, rule }
    }

    /// Moves V towards the batch's returns, down ½ mean((V − R)²), or with `value_clip` its clipped
    /// form. Returns the loss `[1]`: mean over the steps of Adam, or that at the end of L-BFGS.
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

    /// The schedule's value during an update.
    pub fn learning_rate(&self, context: UpdateContext) -> f64 {
        self.config.learning_rate.at(context.progress)
    }

    /// Adds the optimiser state to a checkpoint.
    pub fn save(&self, checkpoint: &mut Checkpoint) {
        save_rule(checkpoint, "critic", &self.rule);
    }

    /// Takes the optimiser state back.
    pub fn load(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        load_rule(checkpoint, "critic", &mut self.rule)
    }
}
