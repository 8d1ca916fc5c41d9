//! One training iteration in three calls: collect, learn, report.

use super::{StepError, Trainer};
use crate::{
    Algorithm, Diverged, Learner, UpdateContext,
    collect::{NEVER, collect_episodes_unless, collect_unless},
    config::RunConfig,
    diverged::Evidence,
    episodes::{WINDOW, first_of_each_copy, of_all},
    metrics::{Measured, Metrics},
    no_spread,
    random::{fresh_start_seed, worker_seed},
    settings::Horizon,
};
use burn::tensor::Tensor;
use serde::Serialize;
use std::sync::atomic::AtomicBool;
use uphill_core::{
    normalize::RewardScaler,
    obs::Obs,
    peers::Peers,
    policy::{Actor, Critic},
    rollout::Rollout,
};
use uphill_envs::{Finished, FinishedEpisodes, NoiseAt};

/// Results of one iteration.
///
/// Serialises as one flat object: these fields in their order, then every metric by its name. An undefined value is
/// null. All others are finite, because an iteration with a value that is not ends in [`Diverged`].
#[derive(Clone, Debug, PartialEq, Serialize)]
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
    #[serde(flatten)]
    pub metrics: Metrics,
}

/// Experience of one iteration, before the update.
#[derive(Clone, Debug)]
pub struct Collected {
    /// `None` if workers collect during the update.
    pub(crate) rollout: Option<Rollout>,
    /// Steps of every copy.
    pub(crate) steps: usize,
    pub(crate) finished: Finished,
    pub(crate) evidence: Evidence,
}

impl Collected {
    /// The rollout, `[T, N, ..]`, with the rewards as the environment returned them. `None` with A3C, whose workers collect
    /// during [`learn`](Trainer::learn).
    pub fn rollout(&self) -> Option<&Rollout> {
        self.rollout.as_ref()
    }

    /// The rollout, to be changed before the update: for example by a bonus `[T, N]` on the rewards.
    pub fn rollout_mut(&mut self) -> Option<&mut Rollout> {
        self.rollout.as_mut()
    }
}

/// A finished update of one agent, or of several at once, with its measurements still on the device.
#[derive(Clone, Debug)]
pub struct Learned {
    /// Steps of every copy.
    steps: usize,
    finished: Finished,
    measured: Measured,
    /// Flags of quantities that do not vary, for [`no_spread`].
    flat: Option<Tensor<1>>,
    evidence: Evidence,
}

/// Measurements of one agent's update, in host memory.
#[derive(Debug)]
pub(crate) struct Outcome {
    steps: usize,
    metrics: Metrics,
    finished: FinishedEpisodes,
    /// Flags of quantities that do not vary, for [`no_spread`].
    flat: Vec<f32>,
    evidence: Evidence,
}

/// What an update changes, of one agent or of several at once.
pub(crate) struct Learners<'a> {
    pub(crate) config: &'a RunConfig,
    pub(crate) actor: &'a mut Actor,
    pub(crate) critic: &'a mut Critic,
    pub(crate) algorithm: &'a mut dyn Algorithm,
    pub(crate) reward_scaler: &'a mut Option<RewardScaler>,
}

impl Learners<'_> {
    /// Scales the rewards, updates actor and critic, then the moments of observations; `None` if the update was abandoned.
    pub(crate) fn learn(self, collected: Collected, context: UpdateContext<'_>) -> Option<Learned> {
        let Collected {
            rollout: Some(mut rollout),
            steps,
            finished,
            mut evidence,
        } = collected
        else {
            panic!("{MIXED_UP}");
        };
        let raw_obs = rollout.flat_obs();
        scale_rewards(&mut rollout, self.reward_scaler, self.config, context.peers);
        let (actor, critic) = (self.actor, self.critic);
        let measured = self.algorithm.update(actor, critic, rollout, context);
        if context.stopped() {
            return None;
        }
        evidence.steps = measured.steps();
        let (scaler, norm) = (self.reward_scaler.as_ref(), actor.obs_norm.as_ref());
        let flat = no_spread::flags(context.iteration, scaler, norm);
        learn_obs((actor, critic), self.config, raw_obs, context.peers);
        Some(Learned {
            steps,
            finished,
            measured,
            flat,
            evidence,
        })
    }
}

const MIXED_UP: &str = "what was collected is of a trainer with another algorithm";

/// Updates the moments of observations, if configured. It follows the update, so that every ratio compares policies on the
/// same inputs.
fn learn_obs(
    (actor, critic): (&mut Actor, &mut Critic),
    config: &RunConfig,
    raw_obs: Obs<2>,
    peers: &dyn Peers,
) {
    if let Some(norm) = &mut actor.obs_norm
        && config.normalize.obs
    {
        norm.merge_over(peers, raw_obs.floats());
        critic.obs_norm = actor.obs_norm.clone();
    }
}

impl Learned {
    /// Reads the measurements of all agents from the device at once.
    pub(crate) fn read(self) -> Vec<Outcome> {
        let (mut along, mut host) = (vec![], None);
        match self.finished {
            Finished::Host(finished) => host = Some(finished),
            Finished::Device(tensor) => along.push(tensor),
        }
        along.extend(self.flat);
        let (steps, mut evidence) = (self.steps, Some(self.evidence));
        let outcome = |(metrics, along): (Metrics, Vec<Vec<f32>>)| {
            let mut along = along.into_iter();
            let on_device = || FinishedEpisodes::from_values(&along.next().unwrap_or_default());
            let finished = host.take().unwrap_or_else(on_device);
            Outcome {
                steps,
                metrics,
                finished,
                flat: along.next().unwrap_or_default(),
                evidence: evidence.take().unwrap_or_default(),
            }
        };
        // The one wait for the device in an iteration.
        let read = self.measured.read_agents(along);
        read.into_iter().map(outcome).collect()
    }
}

impl Trainer {
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
        let Some(collected) = self.collect(stop)? else {
            return Ok(None);
        };
        let Some(learned) = self.learn(collected, stop)? else {
            return Ok(None);
        };
        Ok(Some(self.report(learned)?))
    }

    /// First part of an iteration: collects a rollout of every copy under the current policy. [`learn`](Self::learn) and
    /// [`report`](Self::report) must follow, in this order. `None` as in [`step_unless`](Self::step_unless).
    ///
    /// # Errors
    ///
    /// [`StepError::Env`] if the environment failed.
    pub fn collect(&mut self, stop: &AtomicBool) -> Result<Option<Collected>, StepError> {
        if let Learner::Asynchronous(_) = self.learner {
            return Ok(Some(Collected {
                rollout: None,
                steps: 0,
                finished: Finished::Host(FinishedEpisodes::default()),
                evidence: Evidence::default(),
            }));
        }
        let (context, first_step) = self.position();
        let seed = worker_seed(context.seed, self.peers.rank());
        let (agent, env) = ((&self.actor, &self.critic), self.envs[0].as_mut());
        let (memory, noise) = (&mut self.memory, NoiseAt::actions(seed, first_step));
        let horizon = self.config.algo.settings().horizon();
        let gathered = match horizon {
            Horizon::Steps(steps) => collect_unless(stop, agent, env, memory, steps, noise)
                .map(|rollout| (rollout, steps)),
            Horizon::Episodes { per_env } => {
                env.reset(fresh_start_seed(seed, context.iteration));
                collect_episodes_unless(stop, agent, env, per_env, noise)
            }
        };
        let Some((rollout, steps)) = gathered else {
            return Ok(None);
        };
        if let Some(error) = env.failure() {
            return Err(self.counters.stopped_at(error));
        }
        let finished = match horizon {
            Horizon::Steps(_) => env.take_finished(WINDOW),
            Horizon::Episodes { per_env } => {
                let (episodes, copies) = (env.take_episodes(), self.config.num_envs);
                Finished::of(first_of_each_copy(episodes, per_env, copies), WINDOW)
            }
        };
        let evidence = Evidence {
            obs: Some(rollout.flat_obs()),
            rewards: Some(rollout.rewards.clone()),
            steps: None,
        };
        Ok(Some(Collected {
            rollout: Some(rollout),
            steps,
            finished,
            evidence,
        }))
    }

    /// Second part: scales the rewards, updates actor and critic, then the moments of observations. Waits for the device
    /// only if the algorithm does. `None` as in [`step_unless`](Self::step_unless).
    ///
    /// # Errors
    ///
    /// [`StepError::Env`] if the environment of one of A3C's workers failed.
    ///
    /// # Panics
    ///
    /// If the experience comes from a trainer whose algorithm collects in another way.
    pub fn learn(
        &mut self,
        collected: Collected,
        stop: &AtomicBool,
    ) -> Result<Option<Learned>, StepError> {
        let (context, first_step) = self.position();
        let peers = self.peers.clone();
        let context = UpdateContext {
            peers: &*peers,
            stop,
            ..context
        };
        match &mut self.learner {
            Learner::Synchronous(algorithm) => {
                let learners = Learners {
                    config: &self.config,
                    actor: &mut self.actor,
                    critic: &mut self.critic,
                    algorithm: &mut **algorithm,
                    reward_scaler: &mut self.reward_scaler,
                };
                Ok(learners.learn(collected, context))
            }
            Learner::Asynchronous(a3c) => {
                assert!(collected.rollout.is_none(), "{MIXED_UP}");
                let left = (self.config.total_steps).saturating_sub(self.counters.env_steps);
                let left = left.div_ceil(self.config.num_envs as u64);
                let (agent, envs) = ((&mut self.actor, &mut self.critic), &mut self.envs);
                let Some((raw_obs, measured, steps)) =
                    a3c.run(agent, envs, (first_step, left), context, stop)
                else {
                    return Ok(None);
                };
                if let Some(error) = envs.iter().find_map(|env| env.failure()) {
                    return Err(self.counters.stopped_at(error));
                }
                let agent = (&mut self.actor, &mut self.critic);
                learn_obs(agent, &self.config, raw_obs, &*peers);
                let episodes = envs.iter_mut().flat_map(|env| env.take_episodes());
                Ok(Some(Learned {
                    steps,
                    finished: Finished::of(episodes.collect(), WINDOW),
                    measured,
                    flat: None,
                    evidence: collected.evidence,
                }))
            }
        }
    }

    /// Last part: reads the measurements from the device and counts the iteration.
    ///
    /// # Errors
    ///
    /// [`StepError::Diverged`] if a measurement is not finite.
    ///
    /// # Panics
    ///
    /// If the update was of several agents.
    pub fn report(&mut self, learned: Learned) -> Result<Report, StepError> {
        let outcomes: [Outcome; 1] = (learned.read().try_into())
            .unwrap_or_else(|all: Vec<_>| panic!("{} agents have learned", all.len()));
        let [outcome] = outcomes;
        Ok(self.count(outcome)?)
    }

    /// Counts an iteration and returns its report.
    pub(crate) fn count(&mut self, outcome: Outcome) -> Result<Report, Diverged> {
        let Outcome {
            steps,
            metrics,
            finished,
            flat,
            evidence,
        } = outcome;
        let counters = &mut self.counters;
        // A3C measures no explained variance.
        if let Learner::Synchronous(_) = self.learner {
            for warning in no_spread::warnings(counters.iteration, &flat, &metrics) {
                tracing::warn!("{warning}");
            }
        }
        let finished = of_all(finished, &*self.peers);
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
            .update_finished(&finished, counters.env_steps, threshold);
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
fn clip_rewards(rollout: &mut Rollout, config: &RunConfig) {
    let clip = config.normalize.reward_clip;
    if clip > 0.0 {
        rollout.rewards = rollout.rewards.clone().clamp(-clip, clip);
    }
}
