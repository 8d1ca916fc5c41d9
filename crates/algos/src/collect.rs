//! Policy and environment together: the loop that makes a rollout.

use crate::random::action_noise;
use burn::tensor::Tensor;
use uphill_core::{
    policy::{Actor, Critic},
    rollout::Rollout,
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
    let mut obs = env.obs();
    let [envs, obs_width] = obs.dims();
    let position = (seed, Stream::Action, first_step);
    let noise = action_noise(actor.kind, position, [steps, envs], &obs.device());

    let (mut all_obs, mut all_next_obs, mut all_actions) = (vec![], vec![], vec![]);
    let (mut rewards, mut terminated, mut truncated) = (vec![], vec![], vec![]);
    for noise in noise.iter_dim(0) {
        let actions = actor.dist(obs.clone()).sample(noise.squeeze_dim(0));
        let step = env.step(actions.clone());
        all_obs.push(obs);
        all_actions.push(actions);
        all_next_obs.push(step.next_obs);
        rewards.push(step.rewards);
        terminated.push(step.terminated);
        truncated.push(step.truncated);
        obs = step.obs;
    }

    let flat_obs = Tensor::cat(all_obs, 0);
    let flat_actions = Tensor::cat(all_actions, 0);
    let log_probs = actor.dist(flat_obs.clone()).log_prob(flat_actions.clone());
    let values = critic.values(flat_obs.clone());
    let next_values = critic.values(Tensor::cat(all_next_obs, 0));
    let [_, action_width] = flat_actions.dims();
    Rollout {
        obs: flat_obs.reshape([steps, envs, obs_width]),
        actions: flat_actions.reshape([steps, envs, action_width]),
        log_probs: log_probs.reshape([steps, envs]),
        values: values.reshape([steps, envs]),
        next_values: next_values.reshape([steps, envs]),
        rewards: Tensor::stack(rewards, 0),
        terminated: Tensor::stack(terminated, 0),
        truncated: Tensor::stack(truncated, 0),
    }
}
