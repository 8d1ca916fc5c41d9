//! REINFORCE: the log-derivative estimator with Monte-Carlo returns.
//!
//! Williams (1992), "Simple statistical gradient-following algorithms for connectionist reinforcement learning". With N
//! trajectories of whole episodes,
//!
//! ĝ = (1/N) Σ_i Σ_t γᵗ ∇ log π(a_t|s_t) (G_t − b),
//!
//! an unbiased estimate of the gradient of E[Σ_t γᵗ r_t] for each of the returns G_t and baselines b here
//! (`crates/algos/tests/gradients.rs` verifies this by enumeration). There are two exceptions: undiscounted steps, and
//! bootstrapping from a value function where the time limit cut an episode off.

use crate::{
    Algorithm, Horizon, Learner, Measured, SequenceUse, Settings, UpdateContext, check_settings,
    checkpoint::{Checkpoint, CheckpointError},
    config::ConfigError,
    descent::{ValueSteps, fit_values, param_norm, slower_path_alone},
    optimizer::{load_rule, save_rule},
    policy_gradient::{PolicyAscent, ascend, moved},
    settings::{COUNT, NOT_NEGATIVE, POSITIVE, SHARE, rollout_samples},
};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use uphill_core::{
    advantage::{discounted_returns, discounts},
    baseline,
    optim::{Rule, RuleKind},
    peers,
    policy::{Actor, Critic},
    rollout::Rollout,
    schedule::Schedule,
};

/// Return credited to an action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Credit {
    /// The return of the whole trajectory, including rewards before the action.
    Trajectory,
    /// The rewards from the action on. Earlier rewards have expectation zero and only add noise.
    #[default]
    RewardToGo,
}

/// Baselines, subtracted from the return. Those computed from trajectories leave out the trajectory that they are
/// subtracted from, so that the estimate remains unbiased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Baseline {
    /// No baseline.
    None,
    /// The mean return of the other trajectories; for rewards to go, separately for each time step.
    #[default]
    Average,
    /// The constant of least variance: returns weighted by squared score norms. The scores and the gradients of single
    /// trajectories each cost as much as the gradient itself.
    Optimal,
    /// A value function V(s), fitted after each step of the policy.
    Value,
}

/// Settings of REINFORCE. The paper has no experiments to take numbers from: learning rates are our own, the value fit
/// is that of Spinning Up's VPG.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReinforceConfig {
    /// Number of whole episodes of every copy in one rollout; an update uses `num_envs` times as many.
    pub episodes: usize,
    /// Return credited to an action.
    pub credit: Credit,
    /// Baseline subtracted from it.
    pub baseline: Baseline,
    /// Discount γ.
    pub gamma: f64,
    /// Whether to weight the reward to go of step t by γᵗ, as the gradient of the discounted return requires. Omitting
    /// the factor is usual if γ only serves to reduce variance, but then the estimate is not the gradient of any
    /// objective (arXiv:1906.07073).
    pub discount_steps: bool,
    /// Learning rate of the policy.
    pub learning_rate: Schedule,
    /// Update rule of the policy.
    pub rule: RuleKind,
    /// ε of Adam and RMSProp.
    pub epsilon: f64,
    /// Norm to which longer policy gradients are scaled down; 0: never.
    pub max_grad_norm: f64,
    /// Weight of the entropy bonus.
    pub entropy_coef: Schedule,
    /// Learning rate of the critic's Adam, with the baseline `"value"`.
    pub critic_learning_rate: Schedule,
    /// Number of critic steps after each policy step, with the baseline `"value"`.
    pub critic_steps: usize,
}

impl Default for ReinforceConfig {
    fn default() -> Self {
        Self {
            episodes: 1,
            credit: Credit::RewardToGo,
            baseline: Baseline::Average,
            gamma: 0.99,
            discount_steps: true,
            learning_rate: Schedule::Constant(1e-3),
            rule: RuleKind::Adam,
            epsilon: 1e-8,
            max_grad_norm: 0.0,
            entropy_coef: Schedule::Constant(0.0),
            critic_learning_rate: Schedule::Constant(1e-3),
            critic_steps: 80,
        }
    }
}

impl Settings for ReinforceConfig {
    fn horizon(&self) -> Horizon {
        Horizon::Episodes {
            per_env: self.episodes,
        }
    }

    fn gamma(&self) -> f64 {
        self.gamma
    }

    fn minibatch(&self, num_envs: usize) -> usize {
        const TYPICAL_LENGTH: usize = 100;
        self.episodes * num_envs * TYPICAL_LENGTH
    }

    fn validate(&self, num_envs: usize) -> Result<(), ConfigError> {
        check_settings!(self, "algo.", {
            episodes: COUNT,
            credit: _,
            baseline: _,
            gamma: SHARE,
            discount_steps: _,
            learning_rate: POSITIVE,
            rule: _,
            epsilon: POSITIVE,
            max_grad_norm: NOT_NEGATIVE,
            entropy_coef: NOT_NEGATIVE,
            critic_learning_rate: POSITIVE,
            critic_steps: COUNT,
        })?;
        // Episodes have at least one step.
        rollout_samples("algo.episodes", self.episodes, num_envs).map(|_| ())
    }

    fn sequences(&self) -> SequenceUse {
        SequenceUse::Whole
    }

    fn build(&self, actor: &Actor, critic: &Critic) -> Learner {
        Learner::Synchronous(Box::new(Reinforce::new(self.clone(), actor, critic)))
    }
}

/// G_t = Σ_l γˡ r_{t+l}, `[T, N]`. The return of a truncated episode is bootstrapped if there is a critic, and left as
/// it is otherwise.
fn returns_to_go(config: &ReinforceConfig, rollout: &Rollout) -> Tensor<2> {
    let mut trace = rollout.trace();
    if config.baseline != Baseline::Value {
        trace.next_values = trace.next_values.zeros_like();
    }
    discounted_returns(&trace, config.gamma)
}

/// Factor of return minus baseline at each step, `[T, N]`: γᵗ for rewards to go, and 1 for whole trajectories, whose
/// returns are discounted from their start already.
pub fn step_scale(credit: Credit, rollout: &Rollout, gamma: f64) -> Tensor<2> {
    let [steps, trajectories] = rollout.dims();
    match credit {
        Credit::Trajectory => rollout.rewards.ones_like(),
        Credit::RewardToGo => {
            discounts(steps, gamma, &rollout.rewards.device()).expand([steps, trajectories])
        }
    }
}

/// Weights of ∇ log π(a_t|s_t): γᵗ (G_t − b), `[T, N]`, for a rollout of whole episodes. Padded entries are arbitrary.
pub fn weights(config: &ReinforceConfig, actor: &Actor, rollout: &Rollout) -> Tensor<2> {
    let [steps, trajectories] = rollout.dims();
    let to_go = returns_to_go(config, rollout);
    let returns = match config.credit {
        Credit::Trajectory => to_go.narrow(0, 0, 1).expand([steps, trajectories]),
        Credit::RewardToGo => to_go,
    };
    let gamma = if config.discount_steps {
        config.gamma
    } else {
        1.0
    };
    let scale = step_scale(config.credit, rollout, gamma);
    let baseline = match config.baseline {
        Baseline::None => returns.zeros_like(),
        Baseline::Average => match config.credit {
            Credit::Trajectory => {
                let whole = returns.clone().narrow(0, 0, 1).squeeze_dim(0);
                baseline::average(whole)
                    .unsqueeze::<2>()
                    .expand([steps, trajectories])
            }
            Credit::RewardToGo => baseline::average_per_step(returns.clone(), rollout.mask()),
        },
        Baseline::Optimal => {
            let sums = |weights| baseline::trajectory_gradients(actor, rollout, weights);
            let (scores, gradients) = (sums(scale.clone()), sums(scale.clone() * returns.clone()));
            let constant = baseline::optimal(scores, gradients);
            constant.unsqueeze::<2>().expand([steps, trajectories])
        }
        Baseline::Value => rollout.values.clone(),
    };
    (returns - baseline) * scale
}

/// REINFORCE with its optimiser state.
#[derive(Clone, Debug)]
pub struct Reinforce {
    config: ReinforceConfig,
    actor_rule: Rule,
    critic_rule: Rule,
}

impl Reinforce {
    /// REINFORCE with fresh optimiser state for these networks.
    pub fn new(config: ReinforceConfig, actor: &Actor, critic: &Critic) -> Self {
        let device = actor.net.device();
        let rule = |kind, len| Rule::new(kind, len, config.epsilon, &device);
        Self {
            actor_rule: rule(config.rule, actor.net.num_params()),
            critic_rule: rule(RuleKind::Adam, critic.net.num_params()),
            config,
        }
    }
}

impl Algorithm for Reinforce {
    fn update(
        &mut self,
        actor: &mut Actor,
        critic: &mut Critic,
        rollout: Rollout,
        context: UpdateContext,
    ) -> Measured {
        let c = &self.config;
        let returns = returns_to_go(c, &rollout);
        let batch = rollout.flatten(weights(c, actor, &rollout), returns);

        // Sums over trajectories, divided by their number.
        let [_, trajectories] = rollout.dims();
        let ascent = PolicyAscent {
            scale: batch.len() as f64 / trajectories as f64,
            entropy_coef: c.entropy_coef.at(context.progress),
            learning_rate: c.learning_rate.at(context.progress),
            max_grad_norm: c.max_grad_norm,
        };
        let means = ascend(actor, &mut self.actor_rule, &batch, ascent, context.peers);

        let mut scalars = vec![("policy_loss", means.policy_loss)];
        if c.baseline == Baseline::Value {
            let fit = ValueSteps {
                epochs: c.critic_steps,
                ..ValueSteps::whole(c.critic_learning_rate.at(context.progress))
            };
            let losses = fit_values(
                critic,
                &mut self.critic_rule,
                &batch,
                fit,
                (context.peers, context.stop),
            );
            let explained = peers::explained_variance(
                context.peers,
                batch.values.clone(),
                batch.returns.clone(),
            );
            scalars.push(("value_loss", losses.first));
            scalars.push(("explained_variance", explained));
        }
        scalars.extend([
            ("entropy", means.entropy),
            ("approx_kl", moved(actor, &batch, context.peers)),
            ("grad_norm", means.grad_norm),
            ("param_norm", param_norm([&actor.net, &critic.net])),
        ]);
        let samples = batch.len() as f64;
        Measured::new(
            scalars,
            &[("lr", ascent.learning_rate), ("samples", samples)],
        )
    }

    fn slower_path(&self, actor: &Actor, critic: &Critic) -> Option<&'static str> {
        slower_path_alone((actor, critic))
    }

    fn save(&self, checkpoint: &mut Checkpoint) {
        save_rule(checkpoint, "actor", &self.actor_rule);
        save_rule(checkpoint, "critic", &self.critic_rule);
    }

    fn load(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        load_rule(checkpoint, "actor", &mut self.actor_rule)?;
        load_rule(checkpoint, "critic", &mut self.critic_rule)
    }
}
