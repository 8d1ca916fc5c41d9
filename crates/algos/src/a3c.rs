//! A3C, asynchronous advantage actor-critic: workers that update shared parameters without locks.
//!
//! Mnih et al., arXiv:1602.01783, algorithm S3: workers on separate threads, each with its own environments, compute
//! gradients at a snapshot of the shared parameters and apply them without locking. By the time a gradient is applied,
//! other workers have changed the parameters; the metric `staleness` counts by how many updates.
//!
//! A run with more than one worker is not reproducible: the order in which gradients are applied depends on the
//! operating system. With one worker it is reproducible.

use crate::{
    Horizon, Learner, Measured, Settings, UpdateContext, a2c, check_settings,
    checkpoint::{Checkpoint, CheckpointError},
    collect::collect_unless,
    config::ConfigError,
    descent::{gradient, param_norm, slower_path},
    random::worker_seed,
    settings::{COUNT, NOT_NEGATIVE, POSITIVE, SHARE, ensure, rollout_samples},
};
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};
use std::{
    sync::{
        Mutex, Once, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    thread,
};
use uphill_core::{
    advantage::Estimator,
    obs::Obs,
    optim::clip_grad_norm,
    peers::Alone,
    policy::{Actor, Critic},
    rollout::{Memory, Rollout},
    schedule::Schedule,
};
use uphill_envs::{BatchEnv, NoiseAt};

/// Settings of A3C. The defaults are those of the paper, with the learning rate of A2C.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct A3cConfig {
    /// Number of threads. `num_envs` is divided among them and must be divisible by this.
    pub workers: usize,
    /// Number of steps per copy and gradient, t_max.
    pub steps: usize,
    /// Number of gradients of each worker between two reports, at which the workers wait for each other.
    pub updates: usize,
    /// Discount γ.
    pub gamma: f64,
    /// Learning rate of the shared RMSProp.
    pub learning_rate: Schedule,
    /// Decay rate α of the shared mean square.
    pub decay: f64,
    /// ε of RMSProp, inside the root as in the paper.
    pub epsilon: f64,
    /// Weight of the value loss.
    pub value_coef: f64,
    /// Weight of the entropy bonus.
    pub entropy_coef: Schedule,
    /// Norm to which longer gradients are scaled down; 0: never.
    pub max_grad_norm: f64,
}

impl Default for A3cConfig {
    fn default() -> Self {
        Self {
            workers: 2,
            steps: 5,
            updates: 50,
            gamma: 0.99,
            learning_rate: Schedule::Linear {
                from: 7e-4,
                to: 0.0,
            },
            decay: 0.99,
            epsilon: 1e-5,
            value_coef: 0.5,
            entropy_coef: Schedule::Constant(0.01),
            max_grad_norm: 0.5,
        }
    }
}

impl Settings for A3cConfig {
    fn horizon(&self) -> Horizon {
        Horizon::Steps(self.steps * self.updates)
    }

    fn gamma(&self) -> f64 {
        self.gamma
    }

    fn workers(&self) -> usize {
        self.workers
    }

    fn minibatch(&self, num_envs: usize) -> usize {
        self.steps * num_envs / self.workers.max(1)
    }

    fn validate(&self, num_envs: usize) -> Result<(), ConfigError> {
        check_settings!(self, "algo.", {
            workers: COUNT,
            steps: COUNT,
            updates: COUNT,
            gamma: SHARE,
            learning_rate: POSITIVE,
            decay: SHARE,
            epsilon: POSITIVE,
            value_coef: NOT_NEGATIVE,
            entropy_coef: NOT_NEGATIVE,
            max_grad_norm: NOT_NEGATIVE,
        })?;
        let even = num_envs.is_multiple_of(self.workers);
        ensure(even, "algo.workers", || {
            format!(
                "{} workers cannot share {num_envs} copies evenly (num_envs); choose a divisor of {num_envs}",
                self.workers
            )
        })?;
        let samples = rollout_samples("algo.steps", self.steps, num_envs)?;
        rollout_samples("algo.updates", self.updates, samples).map(|_| ())
    }

    fn build(&self, actor: &Actor, critic: &Critic) -> Learner {
        Learner::Asynchronous(Box::new(A3c::new(self.clone(), actor, critic)))
    }
}

/// A3C with the mean square shared by its workers.
#[derive(Clone, Debug)]
pub struct A3c {
    config: A3cConfig,
    /// Mean square of RMSProp, `[P]`, the actor's parameters first.
    second: Tensor<1>,
}

impl A3c {
    /// A3C with a mean square of zero.
    pub fn new(config: A3cConfig, actor: &Actor, critic: &Critic) -> Self {
        let len = actor.net.num_params() + critic.net.num_params();
        let second = Tensor::zeros([len], &actor.net.device());
        Self { config, second }
    }

    /// Runs one iteration: every worker takes `updates` gradient steps on its own thread, or fewer if only `remaining`
    /// steps of every copy are left of the budget. Returns the raw observations `[B, O]`, the measurements, and the
    /// number of steps of every copy; `None` if `stop` is set meanwhile.
    ///
    /// `envs` holds one batch per worker; `first_step` is the number of steps that every copy has taken so far.
    pub fn run(
        &mut self,
        (actor, critic): (&mut Actor, &mut Critic),
        envs: &mut [Box<dyn BatchEnv>],
        (first_step, remaining): (u64, u64),
        context: UpdateContext,
        stop: &AtomicBool,
    ) -> Option<(Obs<2>, Measured, usize)> {
        let steps = self.config.steps;
        let updates = remaining.div_ceil(steps as u64).max(1);
        let updates = self
            .config
            .updates
            .min(updates.try_into().unwrap_or(usize::MAX));
        let shared = Shared::new(flat(actor, critic), self.second.clone());
        let job = Job {
            config: &self.config,
            shared: &shared,
            updates,
            first_step,
            context,
            stop,
        };
        let tasks = (envs.iter_mut().enumerate())
            .map(|(index, env)| (index, actor.clone(), critic.clone(), env))
            .collect();
        let logs = each_on_a_thread(tasks, |(index, actor, critic, env)| {
            job.work(index, actor, critic, env.as_mut())
        });
        if stop.load(Relaxed) {
            return None;
        }
        set_flat(actor, critic, load(&shared.params));
        self.second = vector(&load(&shared.second), &self.second);
        let obs = logs.iter().flat_map(|log| log.obs.clone()).collect();
        let measured = self.measured(&logs, actor, critic, context);
        Some((Obs::cat(obs), measured, updates * steps))
    }
}

/// Results of `work` for every task, each on its own thread. If the system refuses a thread, the caller runs the
/// remaining tasks one after the other.
fn each_on_a_thread<T: Send, R: Send>(tasks: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    static REFUSED: Once = Once::new();
    let count = tasks.len();
    let waiting = Mutex::new(tasks.into_iter().enumerate());
    let ready = Mutex::new(vec![]);
    let lock_waiting = || waiting.lock().unwrap_or_else(PoisonError::into_inner);
    let take = || {
        let (place, task) = lock_waiting().next()?;
        let result = (place, work(task));
        (ready.lock().unwrap_or_else(PoisonError::into_inner)).push(result);
        Some(())
    };
    let take = &take;
    thread::scope(|scope| {
        let start = |_: &usize| {
            let once = move || _ = take();
            thread::Builder::new().spawn_scoped(scope, once).is_ok()
        };
        let started = (0..count).take_while(start).count();
        if started < count {
            REFUSED.call_once(|| {
                tracing::warn!(
                    "the system refuses to start {count} threads (see `ulimit -u`): workers take turns on {}",
                    started + 1
                );
            });
            while take().is_some() {}
        }
    });
    let mut ready = ready.into_inner().unwrap_or_else(PoisonError::into_inner);
    ready.sort_by_key(|(place, _)| *place);
    ready.into_iter().map(|(_, result)| result).collect()
}

/// Parameters and mean square that all workers read and write concurrently, as the bits of floats. Each element is
/// atomic but a vector is not: a worker may read one that is half updated.
struct Shared {
    params: Vec<AtomicU32>,
    second: Vec<AtomicU32>,
    /// Number of gradients applied so far.
    updates: AtomicU64,
}

impl Shared {
    fn new(params: Tensor<1>, second: Tensor<1>) -> Self {
        let atomic = |x: Tensor<1>| {
            numbers(x)
                .into_iter()
                .map(|x| AtomicU32::new(x.to_bits()))
                .collect()
        };
        Self {
            params: atomic(params),
            second: atomic(second),
            updates: AtomicU64::new(0),
        }
    }

    /// Applies g ← α g + (1−α) Δθ², θ ← θ − η Δθ / √(g + ε) (eq. S2), element by element and without locking.
    fn apply(&self, grad: &[f32], rate: f32, decay: f32, epsilon: f32) {
        for ((param, second), grad) in self.params.iter().zip(&self.second).zip(grad) {
            let mean = f32::from_bits(second.load(Relaxed)) * decay + (1.0 - decay) * grad * grad;
            second.store(mean.to_bits(), Relaxed);
            let moved = f32::from_bits(param.load(Relaxed)) - rate * grad / (mean + epsilon).sqrt();
            param.store(moved.to_bits(), Relaxed);
        }
    }
}

fn load(values: &[AtomicU32]) -> Vec<f32> {
    values
        .iter()
        .map(|bits| f32::from_bits(bits.load(Relaxed)))
        .collect()
}

/// Data common to all workers during one iteration.
struct Job<'a> {
    config: &'a A3cConfig,
    shared: &'a Shared,
    /// Number of gradients per worker.
    updates: usize,
    first_step: u64,
    context: UpdateContext<'a>,
    stop: &'a AtomicBool,
}

/// Names of the diagnostics of each gradient.
const MEASURED: [&str; 4] = ["policy_loss", "value_loss", "entropy", "grad_norm"];

/// Measurements of one worker.
struct Log {
    obs: Vec<Obs<2>>,
    /// The [`MEASURED`] diagnostics of each gradient, `[4]`.
    diagnostics: Vec<Tensor<1>>,
    /// Number of gradients that other workers applied between the snapshot and the application of each gradient.
    staleness: Vec<u64>,
}

impl Job<'_> {
    /// Runs algorithm S3 for one worker.
    fn work(
        &self,
        index: usize,
        mut actor: Actor,
        mut critic: Critic,
        env: &mut dyn BatchEnv,
    ) -> Log {
        let c = self.config;
        let rate = c.learning_rate.at(self.context.progress) as f32;
        let seed = worker_seed(self.context.seed, index);
        let mut log = Log {
            obs: vec![],
            diagnostics: vec![],
            staleness: vec![],
        };
        for update in 0..self.updates {
            let before = self.shared.updates.load(Relaxed);
            set_flat(&mut actor, &mut critic, load(&self.shared.params));

            let first_step = self.first_step + (update * c.steps) as u64;
            let agent = (&actor, &critic);
            let memory = &mut Memory::default();
            let noise = NoiseAt::actions(seed, first_step);
            let Some(rollout) = collect_unless(self.stop, agent, env, memory, c.steps, noise)
            else {
                break;
            };
            log.obs.push(rollout.flat_obs());
            let (grad, diagnostics) = self.gradient(&actor, &critic, &rollout);
            log.diagnostics.push(diagnostics);

            self.shared
                .apply(&numbers(grad), rate, c.decay as f32, c.epsilon as f32);
            log.staleness
                .push(self.shared.updates.fetch_add(1, Relaxed) - before);
        }
        log
    }

    /// Gradient of −J − c_H H + c_V L_V with respect to the parameters of both networks, `[P]`, clipped to its maximum
    /// norm, and its diagnostics. Advantages are those of algorithm S3: all rewards of the segment, then the bootstrap.
    fn gradient(
        &self,
        actor: &Actor,
        critic: &Critic,
        rollout: &Rollout,
    ) -> (Tensor<1>, Tensor<1>) {
        let c = self.config;
        let advantages = Estimator::MonteCarlo.advantages(&rollout.trace(), c.gamma);
        let returns = advantages.clone() + rollout.values.clone();
        let batch = rollout.flatten(advantages, returns);

        let loss = a2c::loss(c.value_coef, c.entropy_coef.at(self.context.progress));
        let of = gradient((actor, critic), actor, batch, loss, &Alone);
        let grad = Tensor::cat(vec![of.actor, of.critic], 0);
        let (grad, norm) = clip_grad_norm(grad, c.max_grad_norm);
        let measured: [_; MEASURED.len()] = [
            of.means.policy_loss,
            of.means.value_loss,
            of.means.entropy,
            norm,
        ];
        (grad, Tensor::cat(measured.into(), 0))
    }
}

impl A3c {
    fn measured(
        &self,
        logs: &[Log],
        actor: &Actor,
        critic: &Critic,
        context: UpdateContext,
    ) -> Measured {
        let all = logs.iter().flat_map(|log| log.diagnostics.clone());
        let mean = Tensor::stack::<2>(all.collect(), 0)
            .mean_dim(0)
            .squeeze_dim::<1>(0);
        let staleness: Vec<u64> = logs.iter().flat_map(|log| log.staleness.clone()).collect();
        let (sum, max) = (staleness.iter().sum::<u64>(), staleness.iter().max());
        let size = param_norm([&actor.net, &critic.net]);
        let known = [
            ("staleness", sum as f64 / staleness.len() as f64),
            ("staleness_max", max.copied().unwrap_or(0) as f64),
            ("lr", self.config.learning_rate.at(context.progress)),
        ];
        let measured = Measured::new(vec![], &known).with(&MEASURED, mean);
        measured.with(&["param_norm"], size)
    }

    /// Reason why gradients of this agent use Burn's operations one by one although a faster engine is known; `None` if
    /// they do not.
    pub fn slower_path(&self, actor: &Actor, critic: &Critic) -> Option<&'static str> {
        slower_path((actor, critic), &a2c::loss(1.0, 1.0))
    }

    /// Adds the mean square to a checkpoint.
    pub fn save(&self, checkpoint: &mut Checkpoint) {
        checkpoint.put_tensor("optimizer.shared.second", self.second.clone());
    }

    /// Restores the mean square from a checkpoint.
    pub fn load(&mut self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        self.second = checkpoint.tensor("optimizer.shared.second", &self.second)?;
        Ok(())
    }
}

/// Parameters of both networks, the actor's first.
fn flat(actor: &Actor, critic: &Critic) -> Tensor<1> {
    Tensor::cat(vec![actor.net.flat(), critic.net.flat()], 0)
}

fn set_flat(actor: &mut Actor, critic: &mut Critic, values: Vec<f32>) {
    let (a, c) = values.split_at(actor.net.num_params());
    actor.net = actor.net.with_flat(vector(a, &actor.net.flat()));
    critic.net = critic.net.with_flat(vector(c, &critic.net.flat()));
}

/// A vector on the same device as `like`.
fn vector(values: &[f32], like: &Tensor<1>) -> Tensor<1> {
    Tensor::from_data(
        TensorData::new(values.to_vec(), [values.len()]),
        &like.device(),
    )
}

fn numbers(tensor: Tensor<1>) -> Vec<f32> {
    tensor.into_data().iter().collect()
}
