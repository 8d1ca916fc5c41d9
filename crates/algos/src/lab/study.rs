//! Study: all measurements of one policy in one problem.
//!
//! There are three independent samples of trajectories: one to which the critic and the constants are fitted, one for
//! the reference, and one that is cut into `R` groups of `N` trajectories to estimate from. All estimators receive the
//! same groups, so that differences between them are not differences between samples.

use crate::{
    collect::NEVER,
    descent::{ValueSteps, fit_values},
    lab::{
        estimator::GradientEstimator,
        exact_gradient,
        mdp::Trajectory,
        measure::{Reference, groups, read_back},
        problem::{Problem, Values, with_final_limit},
    },
    random::lab_seed,
    reinforce::{Baseline, Credit, step_scale},
};
use burn::tensor::Tensor;
use uphill_core::{
    advantage::{Estimator, discounted_returns},
    baseline::{optimal_constant, trajectory_gradients},
    loss::explained_variance,
    optim::{Rule, RuleKind},
    peers::Alone,
    policy::{Actor, Critic},
    rollout::Rollout,
};

/// Values of λ of the generalised advantages.
pub const LAMBDAS: [f64; 6] = [0.0, 0.5, 0.9, 0.95, 0.97, 1.0];
/// Values of n of the n-step advantages, counted from zero as in [`Estimator::NStep`]: n + 1 rewards each.
pub const N_STEPS: [usize; 5] = [0, 1, 2, 5, 10];
/// Constant baselines, as multiples of the optimal one.
pub const MULTIPLES: [f64; 5] = [-1.0, 0.5, 1.0, 1.5, 2.0];

const CREDITS: [Credit; 2] = [Credit::Trajectory, Credit::RewardToGo];
/// Number of independent parts of the reference's sample, whose variance gives its standard error.
pub const PARTS: usize = 64;

/// Settings of a study, such as sample sizes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StudyConfig {
    /// Discount γ of the objective E[Σ_t γᵗ r_t].
    pub gamma: f64,
    /// Number of estimates `R` per measurement, at least 2.
    pub repeats: usize,
    /// Number of trajectories for a reference that cannot be computed exactly: at least 2; above 64, rounded up to a
    /// multiple of 64.
    pub reference: usize,
    /// Number of trajectories to which critic and constants are fitted. If no more trajectories exist, the constants
    /// are exact.
    pub fit: usize,
    /// Number of Adam steps of the critic's fit.
    pub critic_steps: usize,
    /// Learning rate of the critic's fit.
    pub critic_learning_rate: f64,
    /// Seed of all samples.
    pub seed: u64,
}

/// The independent samples.
#[derive(Clone, Copy)]
enum Sample {
    Fit = 0,
    Reference = 1,
    Measured = 2,
}

/// `count` trajectories. The estimated gradient is that of the return of one episode, whose time limit is part of the
/// task: its end is final for every estimator, and none bootstraps beyond it.
fn sample(
    problem: &mut Problem,
    actor: &Actor,
    config: &StudyConfig,
    (purpose, values, count): (Sample, Values, usize),
) -> Rollout {
    let seed = lab_seed(config.seed, purpose as u32);
    with_final_limit(&problem.sample(actor, values, count, (config.gamma, seed)))
}

/// Fits the better critic of an environment to returns of its own sample: `critic_steps` steps on ½ mean (V − G)². Does
/// nothing for a decision process.
pub fn fit_critic(problem: &mut Problem, actor: &Actor, config: &StudyConfig) {
    let what = (Sample::Fit, Values::Good, config.fit);
    let rollout = sample(problem, actor, config, what);
    if let Problem::Env { good, .. } = problem {
        fit(good, &rollout, config);
    }
}

fn fit(critic: &mut Critic, rollout: &Rollout, config: &StudyConfig) {
    let returns = returns(rollout, config.gamma);
    let batch = rollout.flatten(returns.clone(), returns);
    let (params, device) = (critic.net.num_params(), critic.net.device());
    let mut rule = Rule::new(RuleKind::Adam, params, 1e-8, &device);
    let steps = ValueSteps {
        epochs: config.critic_steps,
        ..ValueSteps::whole(config.critic_learning_rate)
    };
    fit_values(critic, &mut rule, &batch, steps, (&Alone, &NEVER));
}

/// G_t `[T, N]`.
fn returns(rollout: &Rollout, gamma: f64) -> Tensor<2> {
    discounted_returns(&rollout.trace(), gamma)
}

/// The gradient of E[Σ_t γᵗ r_t] over one episode, including its time limit. Exact for a decision process; otherwise
/// the mean of 64 independent estimates with rewards to go and the better critic as the baseline, which are unbiased
/// however inaccurate the critic is.
pub fn reference(problem: &mut Problem, actor: &Actor, config: &StudyConfig) -> Reference {
    if let Problem::Mdp(mdp) = problem {
        return Reference::exact(exact_gradient(mdp, actor, config.gamma));
    }
    let parts = PARTS.min(config.reference);
    let size = config.reference.div_ceil(parts);
    let what = (Sample::Reference, Values::Good, parts * size);
    let rollout = sample(problem, actor, config, what);
    let estimator = GradientEstimator::Reinforce {
        credit: Credit::RewardToGo,
        baseline: Baseline::Value,
    };
    let estimates = groups(&rollout, size, parts);
    let estimate = |part: &Rollout| estimator.estimate(actor, part, config.gamma);
    Reference::mean_of(Tensor::stack(estimates.iter().map(estimate).collect(), 0))
}

/// `count` trajectories for estimates, the same for both value functions.
pub fn measured(
    problem: &mut Problem,
    actor: &Actor,
    config: &StudyConfig,
    (values, count): (Values, usize),
) -> Rollout {
    sample(problem, actor, config, (Sample::Measured, values, count))
}

/// Fraction of the variance of returns that the rollout's values explain: 1 for a perfect critic.
pub fn explained(rollout: &Rollout, gamma: f64) -> f64 {
    let returns = returns(rollout, gamma);
    let batch = rollout.flatten(returns.clone(), returns);
    read_back(explained_variance(batch.values, batch.returns))[0]
}

/// All estimators to measure: every credit with every baseline, constants around the optimal one, GAE and n-step
/// advantages.
pub fn estimators(
    problem: &mut Problem,
    actor: &Actor,
    config: &StudyConfig,
) -> Vec<GradientEstimator> {
    let (rollout, probabilities) = fitted_to(problem, actor, config);
    let mut all = vec![];
    for credit in CREDITS {
        let baselines = [
            Baseline::None,
            Baseline::Average,
            Baseline::Optimal,
            Baseline::Value,
        ];
        all.extend(baselines.map(|baseline| GradientEstimator::Reinforce { credit, baseline }));
        let weighted = (&rollout, probabilities.clone());
        let best = best_constant(credit, actor, weighted, config.gamma);
        if best == 0.0 {
            continue; // All multiples are no baseline, which is there already.
        }
        all.extend(MULTIPLES.map(|multiple| GradientEstimator::Constant {
            credit,
            constant: multiple * best,
        }));
    }
    let lambdas = LAMBDAS.map(|lambda| Estimator::Gae { lambda });
    all.extend(lambdas.map(GradientEstimator::Advantage));
    let steps = N_STEPS.map(|n| Estimator::NStep { n });
    all.extend(steps.map(GradientEstimator::Advantage));
    all
}

/// Trajectories from which optimal constants are computed: all possible ones with their probabilities `[M]` if there
/// are few; otherwise a separate sample.
fn fitted_to(problem: &mut Problem, actor: &Actor, config: &StudyConfig) -> (Rollout, Tensor<1>) {
    if let Problem::Mdp(mdp) = &*problem
        && let Some(trajectories) = mdp.few_trajectories(config.fit)
    {
        let log_probs = mdp.log_probs(actor);
        let columns: Vec<&Trajectory> = trajectories.iter().collect();
        let values = mdp.values(log_probs.clone(), config.gamma);
        let probabilities = mdp.probabilities(&trajectories, log_probs);
        return (mdp.rollout(&columns, actor, values), probabilities);
    }
    let what = (Sample::Fit, Values::Good, config.fit);
    let rollout = sample(problem, actor, config, what);
    let [_, count] = rollout.dims();
    let equal = Tensor::ones([count], &rollout.rewards.device());
    (rollout, equal)
}

/// The constant baseline of least variance ([`optimal_constant`]) for single trajectories like the rollout's, which
/// have the weights `[M]`.
fn best_constant(
    credit: Credit,
    actor: &Actor,
    (rollout, weights): (&Rollout, Tensor<1>),
    gamma: f64,
) -> f64 {
    let none = GradientEstimator::Reinforce {
        credit,
        baseline: Baseline::None,
    };
    let scores = trajectory_gradients(actor, rollout, step_scale(credit, rollout, gamma));
    let credits = none.weights(actor, rollout, gamma);
    let gradients = trajectory_gradients(actor, rollout, credits);
    read_back(optimal_constant(scores, gradients, weights))[0]
}
