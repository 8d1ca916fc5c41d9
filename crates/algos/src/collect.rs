//! Policy and environment together: the loop that makes a rollout.

use crate::random::action_noise;
use burn::tensor::{Bool, Tensor};
use uphill_core::{
    policy::{Actor, Critic},
    rollout::{Rollout, Span},
};
use uphill_envs::{BatchEnv, Stream};

/// `steps` steps of every copy under the actor's policy, continuing where the environment stands.
///
/// `seed` and `first_step` (steps taken per copy so far) position the action noise. Inside the loop
/// only the policy runs; log-probabilities and values follow for the whole rollout in one batch.
pub fn collect(
    actor: &Actor,
    critic: &Critic,
    env: &mut dyn BatchEnv,
    steps: usize,
    seed: u64,
    first_step: u64,
) -> Rollout {
    let mut record = Record::new(env);
    let position = (seed, Stream::Action, first_step);
    let size = [steps, env.num_envs()];
    let noise = action_noise(&actor.kind, position, size, &record.obs.device());
    for noise in noise.iter_dim(0) {
        record.step(actor, env, noise.squeeze_dim(0));
    }
    record.rollout(actor, critic)
}

/// The first `per_env` episodes of every copy, one per column, and the steps that every copy took
/// until the last was finished. The environment has been reset; episodes have to end.
///
/// One read-back per step tells when to stop.
pub fn collect_episodes(
    actor: &Actor,
    critic: &Critic,
    env: &mut dyn BatchEnv,
    per_env: usize,
    seed: u64,
    first_step: u64,
) -> (Rollout, usize) {
    let mut record = Record::new(env);
    let (envs, device) = (env.num_envs(), record.obs.device());
    // Steps after which an episode was over, per copy; the first starts at 0.
    let mut ends = vec![vec![0]; envs];
    let mut steps = 0;
    while ends.iter().any(|ends| ends.len() <= per_env) {
        let position = (seed, Stream::Action, first_step + steps as u64);
        let noise = action_noise(&actor.kind, position, [1, envs], &device);
        record.step(actor, env, noise.squeeze_dim(0));
        steps += 1;
        for (ends, ended) in ends.iter_mut().zip(record.ended()) {
            if ended {
                ends.push(steps);
            }
        }
    }
    let mut spans = Vec::with_capacity(envs * per_env);
    for (env, ends) in ends.iter().enumerate() {
        for end in ends.windows(2).take(per_env) {
            let (start, len) = (end[0], end[1] - end[0]);
            spans.push(Span { env, start, len });
        }
    }
    (record.rollout(actor, critic).columns(&spans), steps)
}

/// Experience as it comes in, one entry per step.
struct Record {
    /// What the policy acts on next, `[N, O]`.
    obs: Tensor<2>,
    all_obs: Vec<Tensor<2>>,
    all_next_obs: Vec<Tensor<2>>,
    actions: Vec<Tensor<2>>,
    rewards: Vec<Tensor<1>>,
    terminated: Vec<Tensor<1, Bool>>,
    truncated: Vec<Tensor<1, Bool>>,
}

impl Record {
    fn new(env: &dyn BatchEnv) -> Self {
        Self {
            obs: env.obs(),
            all_obs: vec![],
            all_next_obs: vec![],
            actions: vec![],
            rewards: vec![],
            terminated: vec![],
            truncated: vec![],
        }
    }

    /// One step of every copy.
    fn step(&mut self, actor: &Actor, env: &mut dyn BatchEnv, noise: Tensor<2>) {
        let actions = actor.dist(self.obs.clone()).sample(noise);
        let step = env.step(actor.kind.env_actions(actions.clone()));
        let obs = std::mem::replace(&mut self.obs, step.obs);
        self.all_obs.push(obs);
        self.all_next_obs.push(step.next_obs);
        self.actions.push(actions);
        self.rewards.push(step.rewards);
        self.terminated.push(step.terminated);
        self.truncated.push(step.truncated);
    }

    /// Which episodes the last step ended, read back, `[N]`.
    fn ended(&self) -> Vec<bool> {
        let last = self.terminated.last().zip(self.truncated.last());
        let flags = last.map(|(a, b)| a.clone().bool_or(b.clone()).into_data());
        flags.map_or(vec![], |flags| flags.iter::<bool>().collect())
    }

    fn rollout(self, actor: &Actor, critic: &Critic) -> Rollout {
        let (steps, [envs, obs_width]) = (self.rewards.len(), self.obs.dims());
        let obs = Tensor::cat(self.all_obs, 0);
        let actions = Tensor::cat(self.actions, 0);
        let log_probs = actor.dist(obs.clone()).log_prob(actions.clone());
        let values = critic.values(obs.clone());
        let next_values = critic.values(Tensor::cat(self.all_next_obs, 0));
        let [_, action_width] = actions.dims();
        Rollout {
            obs: obs.reshape([steps, envs, obs_width]),
            actions: actions.reshape([steps, envs, action_width]),
            log_probs: log_probs.reshape([steps, envs]),
            values: values.reshape([steps, envs]),
            next_values: next_values.reshape([steps, envs]),
            rewards: Tensor::stack(self.rewards, 0),
            terminated: Tensor::stack(self.terminated, 0),
            truncated: Tensor::stack(self.truncated, 0),
            lengths: None,
        }
    }
}
