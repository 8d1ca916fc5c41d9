//! Problems of the laboratory: sources of trajectories, with their value functions.

use crate::{
    collect::collect_episodes,
    lab::{
        mdp::{TinyMdp, Trajectory},
        measure::read_back,
    },
};
use burn::tensor::Tensor;
use uphill_core::{
    policy::{Actor, Critic},
    rollout::{Rollout, Span},
};
use uphill_envs::{BatchEnv, NoiseAt, Philox, Stream};

/// Source of trajectories.
#[allow(clippy::large_enum_variant)] // tensor handles; there is one of these in a study
pub enum Problem {
    /// A decision process whose gradient and values can be computed.
    Mdp(TinyMdp),
    /// Any environment, with a better and a worse critic.
    Env {
        /// Copies from which whole episodes are collected; episodes must end.
        env: Box<dyn BatchEnv>,
        /// The better critic.
        good: Critic,
        /// The worse one.
        poor: Critic,
    },
}

/// Choice of the value function for trajectories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// The exact values at each time step, or the better critic.
    Good = 0,
    /// Half of the exact values, or the worse critic: here λ and n trade bias for variance.
    Poor = 1,
}

impl Values {
    /// Name in tables.
    pub fn name(self, problem: &Problem) -> &'static str {
        match (problem, self) {
            (Problem::Mdp(_), Self::Good) => "exact",
            (Problem::Mdp(_), Self::Poor) => "halved",
            (Problem::Env { .. }, Self::Good) => "fitted",
            (Problem::Env { .. }, Self::Poor) => "untrained",
        }
    }
}

impl Problem {
    /// `count` independent whole episodes, one per column. The same seed gives the same episodes for both value
    /// functions.
    pub fn sample(
        &mut self,
        actor: &Actor,
        values: Values,
        count: usize,
        (gamma, seed): (f64, u64),
    ) -> Rollout {
        match self {
            Self::Mdp(mdp) => {
                let log_probs = mdp.log_probs(actor);
                let exact = mdp.values(log_probs.clone(), gamma);
                let values = match values {
                    Values::Good => exact,
                    Values::Poor => exact * 0.5,
                };
                let trajectories = trajectories(mdp, log_probs, count, seed);
                let columns: Vec<&Trajectory> = trajectories.iter().collect();
                mdp.rollout(&columns, actor, values)
            }
            Self::Env { env, good, poor } => {
                let critic = match values {
                    Values::Good => good,
                    Values::Poor => poor,
                };
                env.reset(seed);
                let per_env = count.div_ceil(env.num_envs());
                let (rollout, _) = collect_episodes(
                    (actor, critic),
                    env.as_mut(),
                    per_env,
                    NoiseAt::actions(seed, 0),
                );
                first(&rollout, count)
            }
        }
    }
}

/// `count` trajectories under a policy with these `log_probs` `[S, K]`.
fn trajectories(mdp: &TinyMdp, log_probs: Tensor<2>, count: usize, seed: u64) -> Vec<Trajectory> {
    let policy = read_back(log_probs.exp().flatten(0, 1));
    let sample = |i| mdp.sample(&policy, &mut Philox::new(seed, Stream::Lab, i as u32, 0));
    (0..count).map(sample).collect()
}

/// The first `count` columns of a rollout of whole episodes.
fn first(rollout: &Rollout, count: usize) -> Rollout {
    let lengths = rollout.lengths.iter().flatten().take(count).enumerate();
    let spans: Vec<Span> = lengths
        .map(|(env, &len)| Span { env, start: 0, len })
        .collect();
    rollout.columns(&spans)
}

/// The rollout of the task whose time limit is a part of it: truncations become terminations.
pub fn with_final_limit(rollout: &Rollout) -> Rollout {
    let ended = rollout.ended();
    Rollout {
        truncated: rollout.rewards.zeros_like().bool(),
        terminated: ended,
        ..rollout.clone()
    }
}
