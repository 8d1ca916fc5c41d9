//! One training iteration in three calls: collect, learn, report.

use super::{StepError, Trainer};
use crate::{
    Diverged, Learner, UpdateContext,
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
use uphill_core::{normalize::RewardScaler, peers::Peers, rollout::Rollout};
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
    rollout: Option<Rollout>,
    /// Steps of every copy.
    steps: usize,
    finished: Finished,
    evidence: Evidence,
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

/// A finished update, with its measurements still on the device.
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
        mut collected: Collected,
        stop: &AtomicBool,
    ) -> Result<Option<Learned>, StepError> {
        let (context, first_step) = self.position();
        let peers = self.peers.clone();
        let context = UpdateContext {
            peers: &*peers,
            stop,
            ..context
        };
        let (actor, critic) = (&mut self.actor, &mut self.critic);
        let (raw_obs, measured, flat) = match (&mut self.learner, collected.rollout.take()) {
            (Learner::Synchronous(algorithm), Some(mut rollout)) => {
                let raw_obs = rollout.flat_obs();
                scale_rewards(&mut rollout, &mut self.reward_scaler, &self.config, &*peers);
                let measured = algorithm.update(actor, critic, rollout, context);
                let (scaler, norm) = (self.reward_scaler.as_ref(), actor.obs_norm.as_ref());
                let flat = no_spread::flags(context.iteration, scaler, norm);
                (raw_obs, measured, flat)
            }
            (Learner::Asynchronous(a3c), None) => {
                let left = (self.config.total_steps).saturating_sub(self.counters.env_steps);
                let left = left.div_ceil(self.config.num_envs as u64);
                let (agent, envs) = ((actor, critic), &mut self.envs);
                let Some((raw_obs, measured, steps)) =
                    a3c.run(agent, envs, (first_step, left), context, stop)
                else {
                    return Ok(None);
                };
                if let Some(error) = envs.iter().find_map(|env| env.failure()) {
                    return Err(self.counters.stopped_at(error));
                }
                let episodes = envs.iter_mut().flat_map(|env| env.take_episodes());
                collected.finished = Finished::of(episodes.collect(), WINDOW);
                collected.steps = steps;
                (raw_obs, measured, None)
            }
            _ => panic!("what was collected is of a trainer with another algorithm"),
        };
        if context.stopped() {
            return Ok(None);
        }
        collected.evidence.steps = measured.steps();
        // After the update, so that every ratio compares policies on the same inputs.
        if let Some(norm) = &mut self.actor.obs_norm
            && self.config.normalize.obs
        {
            norm.merge_over(&*peers, raw_obs.floats());
            self.critic.obs_norm = self.actor.obs_norm.clone();
        }
        let Collected {
            steps,
            finished,
            evidence,
            ..
        } = collected;
        Ok(Some(Learned {
            steps,
            finished,
            measured,
            flat,
            evidence,
        }))
    }

    /// Last part: reads the measurements from the device and counts the iteration.
    ///
    /// # Errors
    ///
    /// [`StepError::Diverged`] if a measurement is not finite.
    pub fn report(&mut self, learned: Learned) -> Result<Report, StepError> {
        let Learned {
            steps,
            finished,
            measured,
            flat,
            evidence,
        } = learned;
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
        if let Learner::Synchronous(_) = self.learner {
            no_spread::warn(self.counters.iteration, &flat, &metrics);
        }
        let finished = of_all(finished, &*self.peers);
        Ok(self.count(steps, metrics, &finished, evidence)?)
    }

    /// Counts an iteration of `steps` steps of every copy and returns its report.
    pub(crate) fn count(
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
