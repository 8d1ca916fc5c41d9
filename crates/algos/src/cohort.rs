//! Cohorts: agents that differ only in their seeds, trained together on a GPU.
//!
//! ```text
//! Trainer × S ─> Cohort { parameters [S·P], copies [S·N], .. }
//!                  │ step()   one rollout [S·T, N], one update, one read-back
//!                  └ save(k)  the checkpoint that agent k's trainer would write
//! ```
//!
//! A small network leaves most of a GPU idle, so S agents take little longer than one: every kernel launch of a PPO
//! iteration serves all of them. Each agent computes what it would compute alone, in the same order.

use crate::{
    AlgoConfig, Learner, Metrics, Report, RunConfig, StepError, Trainer,
    checkpoint::Checkpoint,
    descent::{Goal, UPDATE},
    device_collect::{job, moments, run},
    diverged::Evidence,
    episodes::WINDOW,
    ppo::{AdvantageNorm, Ppo, PpoConfig},
    random::Order,
    train::clip_rewards,
};
use burn::tensor::{Tensor, TensorData, Transaction};
use std::any::Any;
use uphill_core::{
    advantage::{gae_of_agents, standardize},
    normalize::{Moments, ObsNorm, RewardScaler},
    ops::{Agents, DeviceLearner, device_outputs, shuffle_keys},
    optim::Adam,
    policy::{Actor, Critic},
    read_back,
    rollout::{Batch, Rollout},
};
use uphill_envs::{FinishedEpisodes, NoiseAt, device::CopiesRead};
use uphill_gpu::{
    envs::{DeviceRules, DeviceState, Steps, last_episodes},
    rollout::{Job, Size},
};

/// Several trainers combined into one.
#[derive(Debug)]
pub struct Cohort {
    /// Number of agents `S`.
    agents: usize,
    /// Configuration of the first agent; the next four fields are the first agent's too.
    config: RunConfig,
    ppo: PpoConfig,
    actor: Actor,
    critic: Critic,
    rules: DeviceRules,
    /// Parameters of all actors and of all critics, `[S·P]` each.
    params: [Tensor<1>; 2],
    adam: Adam,
    /// Normaliser of all agents, with moments `[S·F]`.
    norm: Option<ObsNorm>,
    /// Reward scaler of all agents, with moments `[S]` and discounted returns `[S·N]`.
    scaler: Option<RewardScaler>,
    /// State of all copies, `[S·N, ..]`.
    copies: DeviceState,
    /// Number of steps of every copy since its reset.
    steps: u64,
    /// Present between iterations.
    learner: Option<DeviceLearner>,
    /// Contents of checkpoints, in host memory, until the next change.
    read: Option<Read>,
}

/// Numbers of all agents, concatenated.
#[derive(Debug)]
struct Read {
    /// Parameters of actors and critics, and both kinds of moments.
    learned: [Vec<f32>; 4],
    copies: CopiesRead,
}

impl Cohort {
    /// Takes over the trainers, in the order of their seeds. From then on they only count: [`save`](Self::save) has
    /// their state.
    ///
    /// `None` if they cannot be trained together: fewer than two; not PPO with clipping and without a target KL;
    /// networks or environments without GPU kernels; configurations that differ in more than the seed; seeds that are
    /// not consecutive; different numbers of iterations.
    pub fn of(trainers: &mut [&mut Trainer]) -> Option<Self> {
        let agents = trainers.len();
        let first = trainers.first()?;
        let AlgoConfig::Ppo(ppo) = first.config.algo.clone() else {
            return None;
        };
        if agents < 2 || ppo.target_kl > 0.0 || !follow_one_another(trainers) {
            return None;
        }
        let (config, actor, critic) = (
            first.config.clone(),
            first.actor.clone(),
            first.critic.clone(),
        );
        let mut adams = vec![];
        let mut copies = vec![];
        let mut rules = vec![];
        for trainer in trainers.iter_mut() {
            adams.push(ppo_of(trainer)?.optimizer().joined()?);
            let env = trainer.envs.first_mut()?.on_device()?;
            copies.push(env.state());
            rules.push((env.rules(), env.steps()));
        }
        let (first, steps) = rules[0];
        let follows = |(k, other): (usize, &(DeviceRules, u64))| {
            let seed = first.seed.wrapping_add(k as u64);
            *other == (DeviceRules { seed, ..first }, steps)
        };
        if !rules.iter().enumerate().all(follows) {
            return None;
        }
        let all =
            |number: fn(&Trainer) -> Tensor<1>| joined(trainers.iter().map(|one| number(one)));
        let params = [
            all(|trainer| trainer.actor.net.flat()),
            all(|trainer| trainer.critic.net.flat()),
        ];
        let adam = Adam {
            first: joined(adams.iter().map(|adam| adam.first.clone())),
            second: joined(adams.iter().map(|adam| adam.second.clone())),
            ..adams.swap_remove(0)
        };
        let norms = trainers.iter().map(|one| one.actor.obs_norm.as_ref());
        let norm = (norms.collect::<Option<Vec<_>>>()).map(|norms| ObsNorm {
            moments: all_moments(norms.iter().map(|norm| &norm.moments)),
            clip: norms[0].clip,
        });
        let scalers = trainers.iter().map(|one| one.reward_scaler.as_ref());
        let scaler = (scalers.collect::<Option<Vec<_>>>()).map(|scalers| RewardScaler {
            moments: all_moments(scalers.iter().map(|scaler| &scaler.moments)),
            discounted: joined(scalers.iter().map(|scaler| scaler.discounted.clone())),
        });
        let mut cohort = Self {
            agents,
            norm,
            scaler,
            rules: first,
            params,
            adam,
            copies: DeviceState {
                states: Tensor::cat(copies.iter().map(|of| of.states.clone()).collect(), 0),
                clocks: Tensor::cat(copies.iter().map(|of| of.clocks.clone()).collect(), 0),
                returns: joined(copies.iter().map(|of| of.returns.clone())),
            },
            steps,
            learner: None,
            read: None,
            config,
            ppo,
            actor,
            critic,
        };
        // Constructing a job shows whether there are kernels for it.
        cohort.job(0)?;
        cohort.learner = Some(cohort.learner(cohort.empty_batch(), cohort.goal(0.0), None)?);
        Some(cohort)
    }

    /// Runs one iteration of all agents. `trainers` are some or all of those that the cohort was made [of](Self::of);
    /// they count the iteration and report its results. The others have diverged, and their results are ignored.
    pub fn step(&mut self, trainers: &mut [&mut Trainer]) -> Vec<Result<Report, StepError>> {
        let Some(first) = trainers.first() else {
            return vec![];
        };
        let (context, first_step) = first.position();
        let (c, agents) = (self.ppo.clone(), self.agents);
        let goal = self.goal(context.progress);
        let known = vec![
            ("lr", goal.size.learning_rate),
            ("clip", goal.loss.surrogate.clip()),
            ("epochs", c.epochs as f64),
        ];

        let (mut rollout, after) = self.collect(first_step);
        self.copies = after.state;
        self.steps += c.steps as u64;
        let raw_obs = rollout.flat_obs().floats();
        if let Some(scaler) = &mut self.scaler {
            let (rewards, ended) = (rollout.rewards.clone(), rollout.ended());
            rollout.rewards = scaler.scale_of_agents(rewards, ended, c.gamma, agents);
        }
        clip_rewards(&mut rollout, &self.config);
        let finished = last_episodes(after.ended_returns, after.ends, WINDOW, agents);

        let [advantages, returns] = gae_of_agents(&rollout.trace(), c.gamma, c.gae_lambda, agents);
        let mut batch = rollout.flatten(advantages, returns);
        if c.normalize_advantages == AdvantageNorm::Batch {
            let parts = (0..agents).map(|k| rows_of(&batch.advantages, k, agents));
            batch.advantages = joined(parts.map(standardize));
        }
        batch.obs = self.normalized(raw_obs.clone()).into();

        let key = |epoch, k| {
            let seed = self.config.seed + k;
            let order = context.order(epoch);
            Order { seed, ..order }.key()
        };
        let keys = (0..c.epochs).flat_map(|epoch| (0..agents as u64).map(move |k| key(epoch, k)));
        let keys = shuffle_keys(&keys.collect::<Vec<_>>(), &batch.obs.device());
        let kept = self.learner.take();
        let Some(mut learner) = self.learner(batch, goal, kept) else {
            unreachable!("there has been a learner for such a batch")
        };
        let reported = learner.epochs(keys);
        let summary = learner.summary(vec![reported]);
        (self.params, self.adam) = learner.params();
        self.learner = Some(learner);
        // The only wait for the device in an iteration.
        let read = read_back::read_all(vec![summary, finished]);
        if let Some(norm) = self.norm.as_mut().filter(|_| self.config.normalize.obs) {
            norm.moments = norm.moments.merge_of_agents(raw_obs, agents);
        }
        self.read = None;

        let (summaries, finished) = read.split_at(agents * UPDATE.len());
        let report = |trainer: &mut &mut Trainer| {
            let k = self.number(trainer);
            let summary = part(summaries, k, agents);
            let metrics = Metrics::of(&UPDATE, summary, known.clone());
            let finished: Vec<f32> = part(finished, k, agents)
                .iter()
                .map(|x| *x as f32)
                .collect();
            let finished = FinishedEpisodes::from_values(&finished);
            Ok(trainer.count(c.steps, metrics, &finished, Evidence::default())?)
        };
        trainers.iter_mut().map(report).collect()
    }

    /// The checkpoint that the trainer would write if it had taken its steps itself.
    pub fn save(&mut self, trainer: &Trainer) -> Checkpoint {
        let (k, agents) = (self.number(trainer), self.agents);
        let read = self.read.take().unwrap_or_else(|| self.read());
        let mut checkpoint = Checkpoint::default();
        let [actors, critics, first, second] =
            read.learned.each_ref().map(|all| part(all, k, agents));
        checkpoint.put_params("actor", &self.actor.net, actors);
        checkpoint.put_params("critic", &self.critic.net, critics);
        if let Some(norm) = &self.norm {
            checkpoint.put_moments("obs_norm", &moments_of(&norm.moments, k, agents));
        }
        if let Some(scaler) = &self.scaler {
            checkpoint.put_reward_scaler(&RewardScaler {
                moments: moments_of(&scaler.moments, k, agents),
                discounted: rows_of(&scaler.discounted, k, agents),
            });
        }
        if let Some(ppo) = ppo_of(trainer) {
            let steps = self.adam.steps;
            let moments = [first, second];
            (ppo.optimizer()).save_moments(&mut checkpoint, moments, steps, actors.len());
            ppo.save_rest(&mut checkpoint);
        }
        let own = CopiesRead {
            states: part(&read.copies.states, k, agents).to_vec(),
            clocks: part(&read.copies.clocks, k, agents).to_vec(),
            returns: part(&read.copies.returns, k, agents).to_vec(),
        };
        let seed = self.rules.seed + k as u64;
        checkpoint.put_env(0, &own.to_state(seed, self.steps));
        trainer.save_progress(&mut checkpoint);
        self.read = Some(read);
        checkpoint
    }

    /// Index of an agent.
    fn number(&self, trainer: &Trainer) -> usize {
        (trainer.config.seed - self.config.seed) as usize
    }

    /// The rollout to run; `None` if there is no kernel for it.
    fn job(&self, first_step: u64) -> Option<Job> {
        let size = Size {
            agents: self.agents,
            steps: self.ppo.steps,
            envs: self.config.num_envs,
        };
        let noise = NoiseAt::actions(self.config.seed, first_step);
        let rules = DeviceRules {
            step: self.steps,
            ..self.rules
        };
        job(&self.actor, rules, noise, size, &self.copies)
    }

    fn collect(&self, first_step: u64) -> (Rollout, Steps) {
        let [actors, critics] = self.params.clone();
        let norm = match &self.norm {
            Some(norm) => moments(norm, self.agents),
            // Not used.
            None => actors.clone(),
        };
        let values = |obs: Tensor<3>| {
            let [steps, envs, width] = obs.dims();
            let obs = self.normalized(obs.reshape([steps * envs, width]));
            let shape = self.critic.net.perceptron();
            let values = shape.and_then(|shape| device_outputs(shape, critics.clone(), obs));
            let Some(values) = values else {
                unreachable!("the critic has had a plan")
            };
            values.reshape([steps, envs])
        };
        let Some(job) = self.job(first_step) else {
            unreachable!("the policy has had a plan")
        };
        run([actors, norm], self.copies.clone(), job, values)
    }

    /// The learner of the gradient steps on a batch; `None` if there are no kernels for it.
    fn learner(
        &self,
        batch: Batch,
        goal: Goal,
        kept: Option<DeviceLearner>,
    ) -> Option<DeviceLearner> {
        let (loss, step) = (goal.loss.in_f32(), goal.size.fused(self.ppo.optimizer));
        let all = Agents {
            count: self.agents,
            like: (&self.actor, &self.critic),
            params: self.params.clone(),
            adam: self.adam.clone(),
        };
        DeviceLearner::of_agents(kept, all, batch, goal.minibatches, &loss, step)
    }

    fn goal(&self, progress: f64) -> Goal {
        self.ppo.goal(progress, self.ppo.kl_coef)
    }

    /// A batch of the size of an update.
    fn empty_batch(&self) -> Batch {
        let samples = self.agents * self.ppo.steps * self.config.num_envs;
        let sizes = self.rules.env.sizes();
        let device = self.params[0].device();
        let columns = |width| Tensor::zeros([samples, width], &device);
        let column = || Tensor::zeros([samples], &device);
        Batch {
            obs: columns(sizes.obs).into(),
            actions: columns(sizes.action),
            log_probs: column(),
            values: column(),
            advantages: column(),
            returns: column(),
            sequences: None,
        }
    }

    /// Normalised observations `[S·B, O]`, as the networks see them.
    fn normalized(&self, obs: Tensor<2>) -> Tensor<2> {
        match &self.norm {
            Some(norm) => norm.apply_of_agents(obs, self.agents),
            None => obs,
        }
    }

    /// Reads everything into host memory.
    fn read(&self) -> Read {
        let [actors, critics] = self.params.clone();
        let DeviceState {
            states,
            clocks,
            returns,
        } = self.copies.clone();
        let read = Transaction::default()
            .register(actors)
            .register(critics)
            .register(self.adam.first.clone())
            .register(self.adam.second.clone())
            .register(states)
            .register(returns)
            .register(clocks);
        let all: [TensorData; 7] = (read.execute().try_into())
            .unwrap_or_else(|_| unreachable!("seven tensors were registered"));
        let [actors, critics, first, second, states, returns, clocks] = all;
        let numbers = |data: TensorData| data.iter().collect();
        Read {
            learned: [actors, critics, first, second].map(numbers),
            copies: CopiesRead {
                states: numbers(states),
                clocks: clocks.iter().collect(),
                returns: numbers(returns),
            },
        }
    }
}

/// Whether trainers differ only in their seeds, which are consecutive, and have taken equally many steps.
fn follow_one_another(trainers: &[&mut Trainer]) -> bool {
    let (first, far) = (&trainers[0].config, trainers[0].position());
    let follows = |(k, other): (usize, &&mut Trainer)| {
        let next = RunConfig {
            seed: first.seed.wrapping_add(k as u64),
            ..first.clone()
        };
        let (context, first_step) = other.position();
        other.config == next && (context.iteration, first_step) == (far.0.iteration, far.1)
    };
    trainers.iter().enumerate().all(follows)
}

/// The algorithm, if it is PPO.
fn ppo_of(trainer: &Trainer) -> Option<&Ppo> {
    let Learner::Synchronous(algorithm) = &trainer.learner else {
        return None;
    };
    let algorithm: &dyn Any = algorithm.as_ref();
    algorithm.downcast_ref()
}

/// Concatenates vectors.
fn joined(parts: impl Iterator<Item = Tensor<1>>) -> Tensor<1> {
    Tensor::cat(parts.collect(), 0)
}

/// Concatenates the moments of agents that have seen equally many samples.
fn all_moments<'a>(parts: impl Iterator<Item = &'a Moments> + Clone) -> Moments {
    Moments {
        mean: joined(parts.clone().map(|one| one.mean.clone())),
        variance: joined(parts.clone().map(|one| one.variance.clone())),
        count: parts.map(|one| one.count).fold(0.0, f64::max),
    }
}

/// Moments of agent `k`.
fn moments_of(all: &Moments, k: usize, agents: usize) -> Moments {
    Moments {
        mean: rows_of(&all.mean, k, agents),
        variance: rows_of(&all.variance, k, agents),
        count: all.count,
    }
}

/// Part number `k` of `count` equal parts.
fn rows_of(all: &Tensor<1>, k: usize, count: usize) -> Tensor<1> {
    let len = all.dims()[0] / count;
    all.clone().narrow(0, k * len, len)
}

/// Part number `k` of `count` equal parts.
fn part<T>(all: &[T], k: usize, count: usize) -> &[T] {
    let len = all.len() / count;
    &all[k * len..][..len]
}
