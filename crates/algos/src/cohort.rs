//! Cohorts: agents that differ only in their seeds, trained together on a GPU.
//!
//! ```text
//! Trainer × S ─> Cohort { Actor and Critic [S·P], Ppo, RewardScaler, copies [S·N] }
//!                  │ step()   collects one rollout [S·T, N]
//!                  │          learns and reports as a trainer does, with one read-back
//!                  └ save(k)  the checkpoint that agent k's trainer would write
//! ```
//!
//! A small network leaves most of a GPU idle, so S agents take little longer than one: every kernel launch of a PPO
//! iteration serves all of them. Each agent computes what it would compute alone, in the same order.

use crate::{
    Learner, Report, RunConfig, StepError, Trainer, UpdateContext,
    checkpoint::Checkpoint,
    descent::Descent,
    device_collect::{job, run},
    diverged::Evidence,
    episodes::WINDOW,
    ppo::Ppo,
    settings::Horizon,
    train::{Collected, Learned, Learners},
};
use burn::tensor::{Tensor, TensorData, Transaction};
use std::any::Any;
use uphill_core::{
    normalize::{Moments, ObsNorm, RewardScaler},
    policy::{Actor, Critic},
    rollout::Batch,
};
use uphill_envs::{Finished, NoiseAt, device::CopiesRead};
use uphill_gpu::{
    envs::{DeviceRules, DeviceState, last_episodes},
    rollout::{Job, Size},
};

/// Several trainers combined into one.
#[derive(Debug)]
pub struct Cohort {
    size: Size,
    /// Configuration of the first agent.
    config: RunConfig,
    /// All actors in one, with parameters `[S·P]` and moments `[S·F]`.
    actor: Actor,
    /// All critics in one, likewise.
    critic: Critic,
    /// Optimiser states of all agents.
    ppo: Ppo,
    /// Reward scaler of all agents, with moments `[S]` and discounted returns `[S·N]`.
    scaler: Option<RewardScaler>,
    /// Rules of the first agent's copies.
    rules: DeviceRules,
    /// State of all copies, `[S·N, ..]`.
    copies: DeviceState,
    /// Number of steps of every copy since its reset.
    steps: u64,
    /// Contents of checkpoints, in host memory, until the next change.
    read: Option<Read>,
}

/// Numbers of all agents, concatenated.
#[derive(Debug)]
struct Read {
    /// Parameters of actors and critics, and both kinds of moments.
    learned: [Vec<f32>; 4],
    /// Number of gradient steps taken.
    updates: u64,
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
        let Horizon::Steps(steps) = first.config.algo.settings().horizon() else {
            return None;
        };
        if agents < 2 || !follow_one_another(trainers) {
            return None;
        }
        let size = Size {
            agents,
            steps,
            envs: first.config.num_envs,
        };
        let (mut copies, mut rules) = (vec![], vec![]);
        for trainer in trainers.iter_mut() {
            let env = trainer.envs.first_mut()?.on_device()?;
            copies.push(env.state());
            rules.push((env.rules(), env.steps()));
        }
        let (first_rules, steps) = rules[0];
        let follows = |(k, other): (usize, &(DeviceRules, u64))| {
            let seed = first_rules.seed.wrapping_add(k as u64);
            let rules = DeviceRules {
                seed,
                ..first_rules
            };
            *other == (rules, steps)
        };
        if !rules.iter().enumerate().all(follows) {
            return None;
        }
        let copies = DeviceState {
            states: Tensor::cat(copies.iter().map(|of| of.states.clone()).collect(), 0),
            clocks: Tensor::cat(copies.iter().map(|of| of.clocks.clone()).collect(), 0),
            returns: joined(copies.iter().map(|of| of.returns.clone())),
        };

        let of_all: Vec<&Trainer> = trainers.iter().map(|one| &**one).collect();
        let (actor, critic) = agents_of(&of_all)?;
        let ppos = of_all.iter().map(|one| ppo_of(one));
        let scalers = of_all.iter().map(|one| one.reward_scaler.as_ref());
        let batch = empty_batch(size, &first_rules, &copies);
        let cohort = Self {
            ppo: ppo_of_agents(
                &ppos.collect::<Option<Vec<_>>>()?,
                (&actor, &critic),
                &batch,
            )?,
            scaler: (scalers.collect::<Option<Vec<_>>>()).map(|scalers| RewardScaler {
                moments: all_moments(scalers.iter().map(|scaler| &scaler.moments)),
                discounted: joined(scalers.iter().map(|scaler| scaler.discounted.clone())),
            }),
            config: of_all[0].config.clone(),
            rules: first_rules,
            read: None,
            size,
            actor,
            critic,
            copies,
            steps,
        };
        // Constructing a job shows whether there is a kernel for it.
        cohort.job(0)?;
        Some(cohort)
    }

    /// Runs one iteration of all agents. `trainers` are some or all of those that the cohort was made [of](Self::of);
    /// they count the iteration and report its results. The others have diverged, and their results are ignored.
    pub fn step(&mut self, trainers: &mut [&mut Trainer]) -> Vec<Result<Report, StepError>> {
        let Some(first) = trainers.first() else {
            return vec![];
        };
        let (context, first_step) = first.position();
        let collected = self.collect(first_step);
        let learned = self.learn(collected, context);
        let mut outcomes: Vec<_> = learned.read().into_iter().map(Some).collect();
        let report = |trainer: &mut &mut Trainer| {
            let Some(outcome) = outcomes[self.number(trainer)].take() else {
                unreachable!("each agent has one trainer")
            };
            Ok(trainer.count(outcome)?)
        };
        trainers.iter_mut().map(report).collect()
    }

    /// [`Trainer::collect`] for all agents.
    fn collect(&mut self, first_step: u64) -> Collected {
        let Some(job) = self.job(first_step) else {
            unreachable!("the policy has had a plan")
        };
        let agent = (&self.actor, &self.critic);
        let (rollout, after) = run(agent, self.copies.clone(), job, self.size);
        self.copies = after.state;
        self.steps += self.size.steps as u64;
        let (returns, ends) = (after.ended_returns, after.ends);
        Collected {
            rollout: Some(rollout),
            steps: self.size.steps,
            finished: Finished::Device(last_episodes(returns, ends, WINDOW, self.size.agents)),
            evidence: Evidence::default(),
        }
    }

    /// [`Trainer::learn`] for all agents.
    fn learn(&mut self, collected: Collected, context: UpdateContext<'_>) -> Learned {
        self.read = None;
        let learners = Learners {
            config: &self.config,
            actor: &mut self.actor,
            critic: &mut self.critic,
            algorithm: &mut self.ppo,
            reward_scaler: &mut self.scaler,
        };
        let context = UpdateContext {
            seed: self.config.seed,
            ..context
        };
        let learned = learners.learn(collected, context);
        learned.unwrap_or_else(|| unreachable!("nothing stops it"))
    }

    /// The checkpoint that the trainer would write if it had taken its steps itself.
    pub fn save(&mut self, trainer: &Trainer) -> Checkpoint {
        let (k, agents) = (self.number(trainer), self.size.agents);
        let read = self.read.take().unwrap_or_else(|| self.read());
        let mut checkpoint = Checkpoint::default();
        let [actors, critics, first, second] =
            read.learned.each_ref().map(|all| part(all, k, agents));
        checkpoint.put_params("actor", &self.actor.net, actors);
        checkpoint.put_params("critic", &self.critic.net, critics);
        if let Some(norm) = &self.actor.obs_norm {
            checkpoint.put_moments("obs_norm", &moments_of(&norm.moments, k));
        }
        if let Some(scaler) = &self.scaler {
            checkpoint.put_reward_scaler(&RewardScaler {
                moments: moments_of(&scaler.moments, k),
                discounted: rows_of(&scaler.discounted, k, agents),
            });
        }
        let (optimizer, moments) = (self.ppo.descent.optimizer(), [first, second]);
        optimizer.save_moments(&mut checkpoint, moments, read.updates, actors.len());
        self.ppo.save_rest(&mut checkpoint);
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
        let noise = NoiseAt::actions(self.config.seed, first_step);
        let rules = DeviceRules {
            step: self.steps,
            ..self.rules
        };
        job(&self.actor, rules, noise, self.size, &self.copies)
    }

    /// Reads everything into host memory.
    fn read(&self) -> Read {
        let Some(adam) = self.ppo.descent.optimizer().joined(self.size.agents) else {
            unreachable!("the optimisers have been joined")
        };
        let DeviceState {
            states,
            clocks,
            returns,
        } = self.copies.clone();
        let read = Transaction::default()
            .register(self.actor.net.flat())
            .register(self.critic.net.flat())
            .register(adam.first)
            .register(adam.second)
            .register(states)
            .register(returns)
            .register(clocks);
        let all: [TensorData; 7] = (read.execute().try_into())
            .unwrap_or_else(|_| unreachable!("seven tensors were registered"));
        let [actors, critics, first, second, states, returns, clocks] = all;
        let numbers = |data: TensorData| data.iter().collect();
        Read {
            learned: [actors, critics, first, second].map(numbers),
            updates: adam.steps,
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

/// PPO of several agents at once, whose settings are the same; `None` if a GPU has no kernels for steps on batches like
/// this one, or if a target KL may end their epochs at different times.
fn ppo_of_agents(all: &[&Ppo], agent: (&Actor, &Critic), batch: &Batch) -> Option<Ppo> {
    let descents: Vec<_> = all.iter().map(|one| &one.descent).collect();
    let first = all.first().filter(|one| one.config.target_kl == 0.0)?;
    let mut of_all = Ppo {
        config: first.config.clone(),
        descent: Descent::of_agents(&descents)?,
        kl_coef: first.kl_coef,
    };
    let goal = of_all.config.goal(0.0, of_all.kl_coef);
    (of_all.descent.prepare(agent, batch, &goal)).then_some(of_all)
}

/// The algorithm, if it is PPO.
fn ppo_of(trainer: &Trainer) -> Option<&Ppo> {
    let Learner::Synchronous(algorithm) = &trainer.learner else {
        return None;
    };
    let algorithm: &dyn Any = algorithm.as_ref();
    algorithm.downcast_ref()
}

/// All actors in one, and all critics; `None` if a GPU has no kernels for them.
fn agents_of(all: &[&Trainer]) -> Option<(Actor, Critic)> {
    let first = all[0];
    let flats = |of: fn(&Trainer) -> Tensor<1>| joined(all.iter().map(|one| of(one)));
    let norms = all.iter().map(|one| one.actor.obs_norm.as_ref());
    let norm = (norms.collect::<Option<Vec<_>>>()).map(|norms| ObsNorm {
        moments: all_moments(norms.iter().map(|norm| &norm.moments)),
        clip: norms[0].clip,
    });
    let actor = Actor {
        net: (first.actor.net).of_agents(flats(|one| one.actor.net.flat()))?,
        kind: first.actor.kind.clone(),
        obs_norm: norm.clone(),
    };
    let critic = Critic {
        net: (first.critic.net).of_agents(flats(|one| one.critic.net.flat()))?,
        obs_norm: norm,
    };
    Some((actor, critic))
}

/// A batch of the size of an update.
fn empty_batch(size: Size, rules: &DeviceRules, copies: &DeviceState) -> Batch {
    let samples = size.agents * size.steps * size.envs;
    let (sizes, device) = (rules.env.sizes(), copies.returns.device());
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
        agents: size.agents,
    }
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
        count: parts.clone().map(|one| one.count).fold(0.0, f64::max),
        agents: parts.count(),
    }
}

/// Moments of agent `k`.
fn moments_of(all: &Moments, k: usize) -> Moments {
    Moments {
        mean: rows_of(&all.mean, k, all.agents),
        variance: rows_of(&all.variance, k, all.agents),
        count: all.count,
        agents: 1,
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
