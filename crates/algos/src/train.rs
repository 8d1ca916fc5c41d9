//! A run in memory: everything that changes from one iteration to the next.

use crate::{
    Algorithm, UpdateContext,
    agent::{build_actor, build_critic, dist_kind, obs_norm},
    checkpoint::{Checkpoint, CheckpointError},
    collect::{collect, collect_episodes},
    config::{ConfigError, RunConfig},
    episodes::EpisodeStats,
    metrics::Metrics,
    random::fresh_start_seed,
    settings::{Horizon, ensure},
};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use uphill_core::{
    normalize::RewardScaler,
    policy::{Actor, Critic},
    rollout::Rollout,
};
use uphill_envs::{BatchEnv, BatchOptions, EnvError, Episode};

/// Why a run cannot start.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A setting is impossible.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The environment cannot be made.
    #[error(transparent)]
    Env(#[from] EnvError),
    /// The checkpoint does not fit.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// A loss or parameter stopped being finite. The trainer is of no further use; go back to a
/// checkpoint.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "diverged in iteration {iteration} (step {env_steps}): {metric} is {value}; a lower learning rate or a gradient-norm limit usually helps"
)]
pub struct Diverged {
    /// Iteration in which it happened, from 1.
    pub iteration: u64,
    /// Environment steps taken.
    pub env_steps: u64,
    /// The first metric that is not finite.
    pub metric: &'static str,
    /// Its value.
    pub value: f64,
}

/// What one iteration did.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Iterations finished.
    pub iteration: u64,
    /// Environment steps taken, over all copies.
    pub env_steps: u64,
    /// Episodes finished.
    pub episodes: u64,
    /// Mean return of the last 100 finished episodes (fewer at the start).
    pub episode_return_mean: Option<f64>,
    /// Mean length of the same, in steps.
    pub episode_length_mean: Option<f64>,
    /// The mean return over 100 episodes is the best so far: a checkpoint worth keeping.
    pub improved: bool,
    /// What the algorithm measured.
    pub metrics: Metrics,
}

/// A run: environment, actor, critic, algorithm and counters.
pub struct Trainer {
    config: RunConfig,
    env: Box<dyn BatchEnv>,
    actor: Actor,
    critic: Critic,
    algorithm: Box<dyn Algorithm>,
    reward_scaler: Option<RewardScaler>,
    counters: Counters,
}

/// What is counted, and saved as JSON inside a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Counters {
    iteration: u64,
    env_steps: u64,
    stats: EpisodeStats,
}

impl Trainer {
    /// A fresh run of one of the built-in environments with the configured networks.
    pub fn new(config: RunConfig, device: &Device) -> Result<Self, TrainError> {
        config.validate()?;
        let options = BatchOptions {
            random_ages: config.random_ages,
        };
        let env = uphill_envs::make_with(&config.env, config.num_envs, device, options)?;
        let actor = build_actor(&config, env.spec(), device);
        let critic = build_critic(&config, env.spec(), device);
        Self::from_parts(config, env, actor, critic)
    }

    /// A fresh run from the caller's own environment, actor or critic. They have to live on the same
    /// device; `env.num_envs()` has to equal `config.num_envs`.
    ///
    /// Both networks see observations through one normaliser: the actor's, or if it has none the one
    /// that `config.normalize` asks for.
    pub fn from_parts(
        config: RunConfig,
        mut env: Box<dyn BatchEnv>,
        mut actor: Actor,
        mut critic: Critic,
    ) -> Result<Self, TrainError> {
        config.validate()?;
        ensure(env.num_envs() == config.num_envs, "num_envs", || {
            format!(
                "is {}, but the environment has {} copies",
                config.num_envs,
                env.num_envs()
            )
        })?;
        let wanted = dist_kind(&env.spec().action);
        ensure(actor.kind == wanted, "env", || {
            format!(
                "its actions need the distribution {wanted:?}, the actor has {:?}",
                actor.kind
            )
        })?;
        env.reset(config.seed);
        let device = actor.net.device();
        let fresh = || obs_norm(&config, env.spec().obs.dim(), &device);
        actor.obs_norm = actor.obs_norm.take().or_else(fresh);
        critic.obs_norm = actor.obs_norm.clone();
        let reward_scaler =
            (config.normalize.reward).then(|| RewardScaler::new(config.num_envs, &device));
        Ok(Self {
            algorithm: config.algo.settings().build(&actor, &critic),
            reward_scaler,
            counters: Counters::default(),
            config,
            env,
            actor,
            critic,
        })
    }

    /// One iteration: a rollout and an update.
    pub fn step(&mut self) -> Result<Report, Diverged> {
        let context = UpdateContext {
            iteration: self.counters.iteration,
            progress: self.counters.env_steps as f64 / self.config.total_steps as f64,
            seed: self.config.seed,
        };
        let (mut rollout, steps) = self.collect();
        let raw_obs = rollout.flat_obs();
        self.scale_rewards(&mut rollout);
        let metrics = self
            .algorithm
            .update(&mut self.actor, &mut self.critic, rollout, context);

        self.counters.iteration += 1;
        self.counters.env_steps += (steps * self.config.num_envs) as u64;
        if let Some((metric, value)) = metrics.first_non_finite() {
            return Err(Diverged {
                iteration: self.counters.iteration,
                env_steps: self.counters.env_steps,
                metric,
                value,
            });
        }
        // After the update, so that every ratio compared policies on the same inputs.
        if self.config.normalize.obs {
            let norms = [&mut self.actor.obs_norm, &mut self.critic.obs_norm];
            for norm in norms.into_iter().flatten() {
                norm.moments = norm.moments.merge(raw_obs.clone());
            }
        }
        Ok(self.report(metrics))
    }

    /// True once the step budget is spent.
    pub fn finished(&self) -> bool {
        self.counters.env_steps >= self.config.total_steps
    }

    /// The run's configuration.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// The environment's description.
    pub fn spec(&self) -> &uphill_envs::EnvSpec {
        self.env.spec()
    }

    /// The policy.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The value function.
    pub fn critic(&self) -> &Critic {
        &self.critic
    }

    /// Iterations finished.
    pub fn iteration(&self) -> u64 {
        self.counters.iteration
    }

    /// Environment steps taken, over all copies.
    pub fn env_steps(&self) -> u64 {
        self.counters.env_steps
    }

    /// Statistics of finished episodes.
    pub fn episodes(&self) -> &EpisodeStats {
        &self.counters.stats
    }

    /// Everything needed to go on exactly from here.
    pub fn save(&self) -> Checkpoint {
        let mut checkpoint = Checkpoint::default();
        checkpoint.put_net("actor", &self.actor.net);
        checkpoint.put_net("critic", &self.critic.net);
        if let Some(norm) = &self.actor.obs_norm {
            checkpoint.put_moments("obs_norm", &norm.moments);
        }
        if let Some(scaler) = &self.reward_scaler {
            checkpoint.put_moments("reward_scaler", &scaler.moments);
            checkpoint.put_tensor("reward_scaler.discounted", scaler.discounted.clone());
        }
        self.algorithm.save(&mut checkpoint);
        checkpoint.put_env(&self.env.save());
        let json = serde_json::to_string(&self.counters)
            .unwrap_or_else(|e| unreachable!("counters are plain numbers: {e}"));
        checkpoint.put_text("counters", json);
        checkpoint
    }

    /// Goes back to where `checkpoint` was saved. After an error a part may have been taken over:
    /// build a new trainer.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<(), TrainError> {
        load_actor(&mut self.actor, checkpoint)?;
        self.critic.net = checkpoint.net("critic", &self.critic.net)?;
        self.critic.obs_norm = self.actor.obs_norm.clone();
        if let Some(scaler) = &mut self.reward_scaler {
            scaler.moments = checkpoint.moments("reward_scaler", &scaler.moments)?;
            scaler.discounted =
                checkpoint.tensor("reward_scaler.discounted", &scaler.discounted)?;
        }
        self.algorithm.load(checkpoint)?;
        self.env.restore(&checkpoint.env()?)?;
        self.counters = serde_json::from_str(checkpoint.text("counters")?).map_err(|e| {
            CheckpointError::Value {
                key: "counters".to_owned(),
                reason: e.to_string(),
            }
        })?;
        Ok(())
    }

    /// A rollout, and the steps that every copy took for it.
    fn collect(&mut self) -> (Rollout, usize) {
        let (actor, critic, env) = (&self.actor, &self.critic, self.env.as_mut());
        let seed = self.config.seed;
        // Every copy has taken as many, which makes it the position of the action noise.
        let first_step = self.counters.env_steps / self.config.num_envs as u64;
        match self.config.algo.settings().horizon() {
            Horizon::Steps(steps) => {
                let rollout = collect(actor, critic, env, steps, seed, first_step);
                (rollout, steps)
            }
            Horizon::Episodes { per_env } => {
                env.reset(fresh_start_seed(seed, self.counters.iteration));
                collect_episodes(actor, critic, env, per_env, seed, first_step)
            }
        }
    }

    fn scale_rewards(&mut self, rollout: &mut Rollout) {
        if let Some(scaler) = &mut self.reward_scaler {
            let (ended, gamma) = (rollout.ended(), self.config.algo.settings().gamma());
            rollout.rewards = scaler.scale(rollout.rewards.clone(), ended, gamma);
        }
        let clip = self.config.normalize.reward_clip;
        if clip > 0.0 {
            rollout.rewards = rollout.rewards.clone().clamp(-clip, clip);
        }
    }

    fn report(&mut self, metrics: Metrics) -> Report {
        let mut finished = self.env.take_episodes();
        if let Horizon::Episodes { per_env } = self.config.algo.settings().horizon() {
            finished = first_of_each_copy(finished, per_env, self.config.num_envs);
        }
        let counters = &mut self.counters;
        let threshold = self.env.spec().reward_threshold;
        let improved = counters
            .stats
            .update(&finished, counters.env_steps, threshold);
        Report {
            iteration: counters.iteration,
            env_steps: counters.env_steps,
            episodes: counters.stats.episodes,
            episode_return_mean: counters.stats.mean_return(),
            episode_length_mean: counters.stats.mean_length(),
            improved,
            metrics,
        }
    }
}

/// The first `count` episodes of every copy: those that a rollout of whole episodes learns from.
fn first_of_each_copy(episodes: Vec<Episode>, count: usize, copies: usize) -> Vec<Episode> {
    let mut seen = vec![0; copies];
    let mut first = |episode: &Episode| {
        seen[episode.env] += 1;
        seen[episode.env] <= count
    };
    episodes
        .into_iter()
        .filter(|episode| first(episode))
        .collect()
}

/// Takes an actor's parameters and normaliser from a checkpoint.
pub fn load_actor(actor: &mut Actor, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
    actor.net = checkpoint.net("actor", &actor.net)?;
    if let Some(norm) = &mut actor.obs_norm {
        norm.moments = checkpoint.moments("obs_norm", &norm.moments)?;
    }
    Ok(())
}
