//! Collection of rollouts in host memory, on slices.

use crate::random::noise_values;
use burn::tensor::{Device, Tensor, TensorData};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use uphill_core::{
    obs::{Obs, scaled},
    ops::{HostPolicy, host_values},
    policy::{Actor, Critic},
    rollout::{Memory, Rollout},
};
use uphill_envs::{BatchEnv, Element, HostSteps, NoiseAt, ObsBuf, ObsRef, StepRows};

/// Collects like [`collect`](crate::collect::collect); `None` if policy or environment need tensors, or if `stop` is
/// set.
pub(crate) fn collect_on_host(
    stop: &AtomicBool,
    (actor, critic): (&Actor, &Critic),
    env: &mut dyn BatchEnv,
    noise: NoiseAt,
    [steps, envs]: [usize; 2],
) -> Option<Rollout> {
    let mut policy = policy((actor, critic), env)?;
    let mut record = Record::new(actor, env, steps)?;
    let env = env.on_host()?;
    let noise = noise_values(&actor.kind, noise, [steps, envs]);
    for noise in noise.chunks_exact(noise.len() / steps) {
        if stop.load(Relaxed) {
            return None;
        }
        record.step(&mut policy, env, noise);
    }
    Some(record.rollout(critic, &actor.net.device()))
}

/// Steps until `enough` returns true for the flags of the last step: whether an episode ended, `[N]`. `None` if policy
/// or environment need tensors, or if `stop` is set.
pub(crate) fn collect_until(
    stop: &AtomicBool,
    (actor, critic): (&Actor, &Critic),
    env: &mut dyn BatchEnv,
    noise: NoiseAt,
    mut enough: impl FnMut(Vec<bool>) -> bool,
) -> Option<Rollout> {
    let mut policy = policy((actor, critic), env)?;
    let mut record = Record::new(actor, env, 0)?;
    let (envs, env) = (env.num_envs(), env.on_host()?);
    loop {
        if stop.load(Relaxed) {
            return None;
        }
        let noise = noise_values(&actor.kind, noise.after(record.steps), [1, envs]);
        record.step(&mut policy, env, &noise);
        if enough(record.ended()) {
            return Some(record.rollout(critic, &actor.net.device()));
        }
    }
}

/// The actor on slices, if the critic has no memory: a critic with memory needs the observations in order.
pub(crate) fn policy((actor, critic): (&Actor, &Critic), env: &dyn BatchEnv) -> Option<HostPolicy> {
    let envs = env.num_envs();
    let policy = HostPolicy::new(actor, envs)?;
    (critic.net.start(envs).is_none()).then_some(policy)
}

/// A rollout being filled, row-major.
struct Record {
    /// Number of steps `T` so far.
    steps: usize,
    /// Number of copies `N`.
    envs: usize,
    /// Widths `O` and `A`.
    widths: [usize; 2],
    element: Element,
    /// Observations `[T + 1, N, O]`; the last row follows the last step.
    obs: ObsBuf,
    /// Bytes of one step as the policy sees them, `[N, O]`; otherwise empty.
    seen: Vec<f32>,
    /// Observations before autoreset of one step, `[N, O]`.
    next_obs: ObsBuf,
    /// Rows of `next_obs` in which an episode ended, ordered by step, then by copy.
    last_obs: ObsBuf,
    /// Actions `[T, N, A]`.
    actions: Vec<f32>,
    /// Actions of one step as the environment receives and clips them, `[N, A]`.
    env_actions: Vec<f32>,
    /// Log-probabilities `[T, N]`; the other fields have the same shape.
    log_probs: Vec<f32>,
    rewards: Vec<f32>,
    terminated: Vec<bool>,
    truncated: Vec<bool>,
}

impl Record {
    /// A record with capacity for `steps`; more are possible. `None` if the environment needs tensors.
    fn new(actor: &Actor, env: &mut dyn BatchEnv, steps: usize) -> Option<Self> {
        let envs = env.num_envs();
        let widths = [env.spec().obs.dim(), actor.kind.action_width()];
        let [obs_width, action_width] = widths;
        let size = steps * envs;
        let element = env.spec().obs.element;
        let mut obs = ObsBuf::with_capacity(element, (size + envs) * obs_width);
        obs.extend(env.on_host()?.obs());
        Some(Self {
            steps: 0,
            envs,
            widths,
            element,
            obs,
            seen: vec![],
            next_obs: ObsBuf::zeros(element, envs * obs_width),
            last_obs: ObsBuf::with_capacity(element, 0),
            actions: Vec::with_capacity(size * action_width),
            env_actions: vec![0.0; envs * action_width],
            log_probs: Vec::with_capacity(size),
            rewards: Vec::with_capacity(size),
            terminated: Vec::with_capacity(size),
            truncated: Vec::with_capacity(size),
        })
    }

    /// Takes the next step of every copy.
    fn step(&mut self, policy: &mut HostPolicy, env: &mut dyn HostSteps, noise: &[f32]) {
        let (envs, [obs_width, action_width]) = (self.envs, self.widths);
        let row = self.steps * envs..(self.steps + 1) * envs;
        self.steps += 1;
        self.actions.resize(row.end * action_width, 0.0);
        self.log_probs.resize(row.end, 0.0);
        self.rewards.resize(row.end, 0.0);
        self.terminated.resize(row.end, false);
        self.truncated.resize(row.end, false);

        let actions = &mut self.actions[row.start * action_width..];
        let obs = (self.obs.as_ref()).part(row.start * obs_width, envs * obs_width);
        let obs = seen(obs, self.element, &mut self.seen);
        policy.act(obs, noise, actions, &mut self.log_probs[row.clone()]);
        policy.env_actions(actions, &mut self.env_actions);
        let into = StepRows {
            next_obs: self.next_obs.as_mut(),
            rewards: &mut self.rewards[row.clone()],
            terminated: &mut self.terminated[row.clone()],
            truncated: &mut self.truncated[row.clone()],
        };
        env.step(&mut self.env_actions, into);
        self.obs.extend(env.obs());
        let next_obs = self.next_obs.as_ref();
        for (copy, row) in row.enumerate() {
            if self.terminated[row] || self.truncated[row] {
                let last = next_obs.part(copy * obs_width, obs_width);
                self.last_obs.extend(last);
            }
        }
    }

    /// Whether the last step ended each copy's episode, `[N]`.
    fn ended(&self) -> Vec<bool> {
        let last = self.terminated.len() - self.envs;
        let flags = self.terminated[last..].iter().zip(&self.truncated[last..]);
        flags.map(|(a, b)| *a || *b).collect()
    }

    fn rollout(self, critic: &Critic, device: &Device) -> Rollout {
        let (steps, envs, [obs_width, action_width]) = (self.steps, self.envs, self.widths);
        let size = steps * envs;
        let kept = |obs| kept(obs, self.element, obs_width, device);
        let all_obs = kept(self.obs);
        let mut values = host_values(critic.values(all_obs.clone()));
        // The observation after a step is the next row, except at the end of an episode.
        let mut next_values = values[envs..].to_vec();
        if !self.last_obs.is_empty() {
            let last = host_values(critic.values(kept(self.last_obs)));
            let ended = self.terminated.iter().zip(&self.truncated);
            let ended = next_values
                .iter_mut()
                .zip(ended)
                .filter(|(_, (a, b))| **a || **b);
            ended.zip(last).for_each(|((value, _), last)| *value = last);
        }
        values.truncate(size);

        let dims = [steps, envs];
        let flags = |flags| Tensor::from_data(TensorData::new(flags, dims), device);
        let numbers = |x: Vec<f32>| Tensor::from_data(TensorData::new(x, dims), device);
        Rollout {
            obs: all_obs.narrow(0, 0, size).in_steps(dims),
            actions: rows(self.actions, action_width, device).reshape([steps, envs, action_width]),
            log_probs: numbers(self.log_probs),
            values: numbers(values),
            next_values: numbers(next_values),
            rewards: numbers(self.rewards),
            terminated: flags(self.terminated),
            truncated: flags(self.truncated),
            lengths: None,
            memory: Memory::default(),
            agents: 1,
        }
    }
}

/// Observations as floats for a policy on slices; bytes are converted in `room`.
fn seen<'a>(obs: ObsRef<'a>, element: Element, room: &'a mut Vec<f32>) -> &'a [f32] {
    match (obs, element) {
        (ObsRef::Bytes(bytes), Element::Byte { unit }) => {
            room.clear();
            room.extend(bytes.iter().map(|byte| scaled(*byte, unit)));
            room
        }
        (ObsRef::Floats(floats), _) => floats,
        (ObsRef::Bytes(_), Element::Float) => unreachable!("rows are of the specification's type"),
    }
}

/// Observations `[rows, width]` in the form that a rollout stores.
fn kept(obs: ObsBuf, element: Element, width: usize, device: &Device) -> Obs<2> {
    match (obs, element) {
        (ObsBuf::Bytes(bytes), Element::Byte { unit }) => {
            Obs::from_bytes(&bytes, width, unit, device)
        }
        (ObsBuf::Floats(floats), _) => rows(floats, width, device).into(),
        (ObsBuf::Bytes(_), Element::Float) => unreachable!("rows are of the specification's type"),
    }
}

/// A tensor `[rows, width]`.
fn rows(values: Vec<f32>, width: usize, device: &Device) -> Tensor<2> {
    let len = values.len() / width;
    Tensor::from_data(TensorData::new(values, [len, width]), device)
}
