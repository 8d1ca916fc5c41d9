//! The loop of [`collect`](crate::collect::collect) in host memory: the same rollout, on slices.

use crate::random::noise_values;
use burn::tensor::{Device, Tensor, TensorData};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use uphill_core::{
    ops::{HostPolicy, host_values},
    policy::{Actor, Critic},
    rollout::{Memory, Rollout},
};
use uphill_envs::{BatchEnv, HostSteps, StepRows, Stream};

/// `None` where policy or environment need tensors, and once `stop` is raised.
pub(crate) fn collect_on_host(
    stop: &AtomicBool,
    (actor, critic): (&Actor, &Critic),
    env: &mut dyn BatchEnv,
    position: (u64, Stream, u64),
    [steps, envs]: [usize; 2],
) -> Option<Rollout> {
    let mut policy = HostPolicy::new(actor, envs)?;
    // What a critic remembers it has to see in order.
    if critic.net.start(envs).is_some() {
        return None;
    }
    let noise = noise_values(&actor.kind, position, [steps, envs]);
    let widths = [env.spec().obs.dim(), actor.kind.action_width()];
    let mut record = Record::new([steps, envs], widths, env.on_host()?.obs());
    let env = env.on_host()?;
    for (t, noise) in noise.chunks_exact(noise.len() / steps).enumerate() {
        if stop.load(Relaxed) {
            return None;
        }
        record.step(t, &mut policy, env, noise);
    }
    Some(record.rollout(critic, &actor.net.device()))
}

/// A rollout as it fills up, row-major.
struct Record {
    /// `T` and `N`.
    dims: [usize; 2],
    /// `O` and `A`.
    widths: [usize; 2],
    /// `[T + 1, N, O]`: the last row is what follows.
    obs: Vec<f32>,
    /// Of one step, `[N, O]`.
    next_obs: Vec<f32>,
    /// Rows of `next_obs` in which an episode ended, in order of step, then of copy.
    last_obs: Vec<f32>,
    /// `[T, N, A]`.
    actions: Vec<f32>,
    /// Of one step, as the environment takes and clips them, `[N, A]`.
    env_actions: Vec<f32>,
    /// `[T, N]`, like the rest.
    log_probs: Vec<f32>,
    rewards: Vec<f32>,
    terminated: Vec<bool>,
    truncated: Vec<bool>,
}

impl Record {
    fn new([steps, envs]: [usize; 2], widths: [usize; 2], obs: &[f32]) -> Self {
        let [obs_width, action_width] = widths;
        let size = steps * envs;
        let mut all_obs = Vec::with_capacity((size + envs) * obs_width);
        all_obs.extend_from_slice(obs);
        Self {
            dims: [steps, envs],
            widths,
            obs: all_obs,
            next_obs: vec![0.0; envs * obs_width],
            last_obs: vec![],
            actions: vec![0.0; size * action_width],
            env_actions: vec![0.0; envs * action_width],
            log_probs: vec![0.0; size],
            rewards: vec![0.0; size],
            terminated: vec![false; size],
            truncated: vec![false; size],
        }
    }

    /// Step `t` of every copy.
    fn step(&mut self, t: usize, policy: &mut HostPolicy, env: &mut dyn HostSteps, noise: &[f32]) {
        let ([_, envs], [obs_width, action_width]) = (self.dims, self.widths);
        let row = t * envs..(t + 1) * envs;
        let actions = &mut self.actions[row.start * action_width..row.end * action_width];
        let obs = &self.obs[row.start * obs_width..];
        policy.act(obs, noise, actions, &mut self.log_probs[row.clone()]);
        policy.env_actions(actions, &mut self.env_actions);
        let into = StepRows {
            next_obs: &mut self.next_obs,
            rewards: &mut self.rewards[row.clone()],
            terminated: &mut self.terminated[row.clone()],
            truncated: &mut self.truncated[row.clone()],
        };
        env.step(&mut self.env_actions, into);
        self.obs.extend_from_slice(env.obs());
        let next_obs = self.next_obs.chunks_exact(obs_width);
        for (row, next_obs) in row.zip(next_obs) {
            if self.terminated[row] || self.truncated[row] {
                self.last_obs.extend_from_slice(next_obs);
            }
        }
    }

    fn rollout(self, critic: &Critic, device: &Device) -> Rollout {
        let ([steps, envs], [obs_width, action_width]) = (self.dims, self.widths);
        let size = steps * envs;
        let all_obs = rows(self.obs, obs_width, device);
        let mut values = host_values(critic.values(all_obs.clone()));
        // What follows a step is the next row, but for the last observation of an episode.
        let mut next_values = values[envs..].to_vec();
        if !self.last_obs.is_empty() {
            let last = host_values(critic.values(rows(self.last_obs, obs_width, device)));
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
            obs: all_obs.narrow(0, 0, size).reshape([steps, envs, obs_width]),
            actions: rows(self.actions, action_width, device).reshape([steps, envs, action_width]),
            log_probs: numbers(self.log_probs),
            values: numbers(values),
            next_values: numbers(next_values),
            rewards: numbers(self.rewards),
            terminated: flags(self.terminated),
            truncated: flags(self.truncated),
            lengths: None,
            memory: Memory::default(),
        }
    }
}

/// `[rows, width]`.
fn rows(values: Vec<f32>, width: usize, device: &Device) -> Tensor<2> {
    let len = values.len() / width;
    Tensor::from_data(TensorData::new(values, [len, width]), device)
}
