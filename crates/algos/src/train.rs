//! Trainer: a run in memory, and one iteration of it.

mod build;
mod state;

pub use state::load_actor;

use crate::{
    Diverged, Learner, UpdateContext,
    checkpoint::CheckpointError,
    collect::{NEVER, collect_episodes_unless, collect_unless},
    config::{ConfigError, RunConfig},
    diverged::Evidence,
    episodes::{EpisodeStats, WINDOW, first_of_each_copy, of_all},
    metrics::Metrics,
    no_spread,
    random::{fresh_start_seed, worker_seed},
    settings::Horizon,
};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, atomic::AtomicBool};
use uphill_core::{
    normalize::RewardScaler,
    peers::{Alone, Peers},
    policy::{Actor, Critic},
    rollout::{Memory, Rollout},
};
use uphill_envs::{BatchEnv, EnvError, Finished, FinishedEpisodes};

/// Errors of starting a run.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A setting is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The environment cannot be made.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// The checkpoint does not fit.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// Errors that stop an iteration. The trainer cannot continue; restore a checkpoint.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StepError {
    /// A loss or parameter is not finite.
    #[error(transparent)]
    Diverged(#[from] Diverged),
    /// The environment failed.
    #[error("stopped in iteration {iteration} (step {env_steps}): {error}")]
    Env {
        /// Iteration in which it happened, counted from 1.
        iteration: u64,
        /// Number of environment steps taken before it.
        env_steps: u64,
        /// Error of the environment.
        error: EnvError,
    },
}

/// Results of one iteration.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Number of finished iterations.
    pub iteration: u64,
    /// Number of environment steps taken, over all copies.
    pub env_steps: u64,
    /// Number of finished episodes.
    pub episodes: u64,
    /// Mean return of the last 100 finished episodes (fewer at the start).
    pub episode_return_mean: Option<f64>,
    /// Mean length of the same episodes, in steps.
    pub episode_length_mean: Option<f64>,
    /// Whether the mean return over 100 episodes is the best so far, which makes a checkpoint worth keeping.
    pub improved: bool,
    /// Metrics of the algorithm.
    pub metrics: Metrics,
}

/// A run: environments, actor, critic, algorithm and counters.
pub struct Trainer {
    pub(crate) config: RunConfig,
    /// One batch per worker.
    pub(crate) envs: Vec<Box<dyn BatchEnv>>,
    pub(crate) actor: Actor,
    pub(crate) critic: Critic,
    pub(crate) learner: Learner,
    /// Reason why rollouts are collected step by step on a device, if they are.
    collector: Option<&'static str>,
    /// States of networks with memory between rollouts.
    memory: Memory,
    pub(crate) reward_scaler: Option<RewardScaler>,
    counters: Counters,
    /// Metrics of the last iteration; empty at the start.
    metrics: Metrics,
    /// The processes that train the agent together.
    peers: Arc<dyn Peers>,
}

/// Counters, saved as JSON inside a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Counters {
    iteration: u64,
    env_steps: u64,
    stats: EpisodeStats,
}

impl Counters {
    /// The error of an environment in the iteration in progress.
    fn stopped_at(&self, error: &EnvError) -> StepError {
        StepError::Env {
            iteration: self.iteration + 1,
            env_steps: self.env_steps,
            error: error.clone(),
        }
    }
}

impl Trainer {
    /// Reason why this run uses Burn's operations one by one instead of fused CPU loops or GPU kernels, which are
    /// several times faster for small networks; `None` if it does not.
    pub fn slower_path(&self) -> Option<String> {
        let agent = (&self.actor, &self.critic);
        let cause = if self.config.network.fused {
            let of_updates = match &self.learner {
                Learner::Synchronous(algorithm) => algorithm.slower_path(agent.0, agent.1),
                Learner::Asynchronous(a3c) => a3c.slower_path(agent.0, agent.1),
            };
            of_updates.or(self.collector)?
        } else {
            "network.fused = false asks for it"
        };
        Some(format!(
            "this run takes the slower path, Burn's operations one by one: {cause}"
        ))
    }

    /// Runs one iteration: a rollout and an update.
    ///
    /// # Errors
    ///
    /// [`StepError`]. The failure of an environment is reported before anything is learned from it.
    pub fn step(&mut self) -> Result<Report, StepError> {
        let report = self.step_unless(&NEVER)?;
        Ok(report.unwrap_or_else(|| unreachable!("nothing stops it")))
    }

    /// Runs one iteration, or returns `None` if `stop` is set meanwhile. The flag is checked after every step of the
    /// environments and every pass over a rollout.
    ///
    /// After `None` the trainer is in the middle of an iteration and must be [restored](Self::restore) before it can
    /// continue; the state [saved](Self::save) before the call continues exactly.
    ///
    /// # Errors
    ///
    /// Those of [`step`](Self::step).
    pub fn step_unless(&mut self, stop: &AtomicBool) -> Result<Option<Report>, StepError> {
        let (context, first_step) = self.position();
        let remaining = self
            .config
            .total_steps
            .saturating_sub(self.counters.env_steps);
        let peers = self.peers.clone();
        let context = UpdateContext {
            peers: &*peers,
            stop,
            ..context
        };
        let seed = worker_seed(context.seed, peers.rank());
        let mut evidence = Evidence::default();
        let (agent, envs) = ((&mut self.actor, &mut self.critic), &mut self.envs);
        let (raw_obs, metrics, finished, steps) = match &mut self.learner {
            Learner::Synchronous(algorithm) => {
                let env = envs[0].as_mut();
                let (pair, position) = ((&*agent.0, &*agent.1), (seed, first_step));
                let (mut rollout, steps) = match self.config.algo.settings().horizon() {
                    Horizon::Steps(steps) => {
                        let memory = &mut self.memory;
                        match collect_unless(stop, pair, env, memory, steps, position) {
                            Some(rollout) => (rollout, steps),
                            None => return Ok(None),
                        }
                    }
                    Horizon::Episodes { per_env } => {
                        env.reset(fresh_start_seed(seed, context.iteration));
                        match collect_episodes_unless(stop, pair, env, per_env, position) {
                            Some(collected) => collected,
                            None => return Ok(None),
                        }
                    }
                };
                if let Some(error) = env.failure() {
                    return Err(self.counters.stopped_at(error));
                }
                let raw_obs = rollout.flat_obs();
                evidence.obs = Some(raw_obs.clone());
                evidence.rewards = Some(rollout.rewards.clone());
                scale_rewards(&mut rollout, &mut self.reward_scaler, &self.config, &*peers);
                let finished = match self.config.algo.settings().horizon() {
                    Horizon::Steps(_) => env.take_finished(WINDOW),
                    Horizon::Episodes { per_env } => {
                        let episodes = env.take_episodes();
                        let copies = self.config.num_envs;
                        Finished::of(first_of_each_copy(episodes, per_env, copies), WINDOW)
                    }
                };
                let measured = algorithm.update(agent.0, agent.1, rollout, context);
                if context.stopped() {
                    return Ok(None);
                }
                evidence.steps = measured.steps();
                let norm = agent.0.obs_norm.as_ref();
                let flat = no_spread::flags(context.iteration, self.reward_scaler.as_ref(), norm);
                let flags = flat.as_ref().map_or(0, |flat| flat.dims()[0]);
                // The only wait for the device in an iteration.
                let (metrics, finished, flat) = match finished {
                    Finished::Host(finished) => {
                        let (metrics, flat) = measured.read(flat);
                        (metrics, finished, flat)
                    }
                    Finished::Device(tensor) => {
                        let along = [tensor].into_iter().chain(flat).collect();
                        let (metrics, mut values) = measured.read(Some(Tensor::cat(along, 0)));
                        let flat = values.split_off(values.len() - flags);
                        (metrics, FinishedEpisodes::from_values(&values), flat)
                    }
                };
                no_spread::warn(context.iteration, &flat, &metrics);
                (raw_obs, metrics, finished, steps)
            }
            Learner::Asynchronous(a3c) => {
                let position = (first_step, remaining.div_ceil(self.config.num_envs as u64));
                let Some((raw_obs, metrics, steps)) = a3c.run(agent, envs, position, context, stop)
                else {
                    return Ok(None);
                };
                if let Some(error) = envs.iter().find_map(|env| env.failure()) {
                    return Err(self.counters.stopped_at(error));
                }
                let episodes = envs.iter_mut().flat_map(|env| env.take_episodes());
                let finished = FinishedEpisodes::of(episodes.collect(), WINDOW);
                (raw_obs, metrics, finished, steps)
            }
        };

        let finished = of_all(finished, &*peers);
        let report = self.report(steps, metrics, &finished, evidence)?;
        // After the update, so that every ratio compares policies on the same inputs.
        if let Some(norm) = &mut self.actor.obs_norm
            && self.config.normalize.obs
        {
            norm.merge_over(&*peers, raw_obs);
            self.critic.obs_norm = self.actor.obs_norm.clone();
        }
        Ok(Some(report))
    }

    /// Context of the next update, and the number of steps that every copy has taken, which is the position in the
    /// stream of action noise.
    pub(crate) fn position(&self) -> (UpdateContext<'static>, u64) {
        let context = UpdateContext {
            iteration: self.counters.iteration,
            progress: self.counters.env_steps as f64 / self.config.total_steps as f64,
            seed: self.config.seed,
            peers: &Alone,
            stop: &NEVER,
        };
        (
            context,
            self.counters.env_steps / (self.config.num_envs * self.peers.size()) as u64,
        )
    }

    /// Whether the step budget is spent.
    pub fn finished(&self) -> bool {
        self.counters.env_steps >= self.config.total_steps
    }

    /// Configuration of the run.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// Specification of the environment.
    pub fn spec(&self) -> &uphill_envs::EnvSpec {
        self.envs[0].spec()
    }

    /// The policy.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The value function.
    pub fn critic(&self) -> &Critic {
        &self.critic
    }

    /// Number of finished iterations.
    pub fn iteration(&self) -> u64 {
        self.counters.iteration
    }

    /// Number of environment steps taken, over all copies.
    pub fn env_steps(&self) -> u64 {
        self.counters.env_steps
    }

    /// Statistics of finished episodes.
    pub fn episodes(&self) -> &EpisodeStats {
        &self.counters.stats
    }

    /// Counts an iteration of `steps` steps of every copy and returns its report.
    pub(crate) fn report(
        &mut self,
        steps: usize,
        metrics: Metrics,
        finished: &FinishedEpisodes,
        evidence: Evidence,
    ) -> Result<Report, Diverged> {
        let counters = &mut self.counters;
        counters.iteration += 1;
        counters.env_steps += (steps * self.config.num_envs * self.peers.size()) as u64;
        if let Some((metric, value)) = metrics.first_non_finite() {
            return Err(Diverged {
                iteration: counters.iteration,
                env_steps: counters.env_steps,
                metric,
                value,
                cause: Box::new(evidence.cause(&self.actor.kind, &self.metrics, &metrics)),
            });
        }
        self.metrics = metrics.clone();
        let threshold = self.envs[0].spec().reward_threshold;
        let improved = counters
            .stats
            .update_finished(finished, counters.env_steps, threshold);
        Ok(Report {
            iteration: counters.iteration,
            env_steps: counters.env_steps,
            episodes: counters.stats.episodes,
            episode_return_mean: counters.stats.mean_return(),
            episode_length_mean: counters.stats.mean_length(),
            improved,
            metrics,
        })
    }
}

/// Scales rewards as configured.
fn scale_rewards(
    rollout: &mut Rollout,
    scaler: &mut Option<RewardScaler>,
    config: &RunConfig,
    peers: &dyn Peers,
) {
    if let Some(scaler) = scaler {
        let (ended, gamma) = (rollout.ended(), config.algo.settings().gamma());
        rollout.rewards = scaler.scale_over(peers, rollout.rewards.clone(), ended, gamma);
    }
    clip_rewards(rollout, config);
}

/// Clips rewards as configured.
pub(crate) fn clip_rewards(rollout: &mut Rollout, config: &RunConfig) {
    let clip = config.normalize.reward_clip;
    if clip > 0.0 {
        rollout.rewards = rollout.rewards.clone().clamp(-clip, clip);
    }
}
