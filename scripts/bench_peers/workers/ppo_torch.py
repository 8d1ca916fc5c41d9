"""PPO in PyTorch in the style of single-file scripts: a loop of tensor operations, environments in numpy.

Schulman et al., arXiv:1707.06347, with the details of Huang et al., "The 37 implementation details of proximal policy
optimization". The environments of a batch are stepped together in numpy, which is faster than Gymnasium's vector of
single environments. Unlike in CleanRL, truncated episodes bootstrap from the value of their last observation.
"""

import math
import time

import torch
from numpy_batch import NumpyBatch
from torch import nn
from torch.distributions import Categorical, Independent, Normal
from protocol import iterations, report, warm_up, workload


def layer(inputs, outputs, gain):
    linear = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(linear.weight, gain)
    nn.init.zeros_(linear.bias)
    return linear


def perceptron(inputs, hidden, outputs, last_gain):
    layers = []
    for width in hidden:
        layers += [layer(inputs, width, math.sqrt(2)), nn.Tanh()]
        inputs = width
    return nn.Sequential(*layers, layer(inputs, outputs, last_gain))


class Agent(nn.Module):
    def __init__(self, dynamics, hidden):
        super().__init__()
        self.policy = perceptron(dynamics.obs, hidden, dynamics.actions, 0.01)
        self.value = perceptron(dynamics.obs, hidden, 1, 1.0)
        self.discrete = dynamics.discrete
        if not self.discrete:
            self.log_std = nn.Parameter(torch.zeros(dynamics.actions))

    def dist(self, obs):
        out = self.policy(obs)
        if self.discrete:
            return Categorical(logits=out, validate_args=False)
        normal = Normal(out, self.log_std.exp().expand_as(out), validate_args=False)
        return Independent(normal, 1, validate_args=False)

    def values(self, obs):
        return self.value(obs).squeeze(-1)


class Rollout:
    """Storage [T, N, ..]."""

    def __init__(self, steps, num_envs, dynamics):
        action_shape = () if dynamics.discrete else (dynamics.actions,)
        kind = torch.int64 if dynamics.discrete else torch.float32
        self.obs = torch.zeros(steps, num_envs, dynamics.obs)
        self.actions = torch.zeros(steps, num_envs, *action_shape, dtype=kind)
        self.log_probs, self.values, self.rewards, self.ended = torch.zeros(4, steps, num_envs)
        # Values of the last observations of truncated episodes, elsewhere 0.
        self.cut_values = torch.zeros(steps, num_envs)


@torch.no_grad()
def collect(agent, env, rollout):
    """Fills the rollout; returns the values of the observations that follow it, [N]."""
    obs = torch.from_numpy(env.obs())
    for t in range(len(rollout.obs)):
        dist = agent.dist(obs)
        actions = dist.sample()
        rollout.obs[t] = obs
        rollout.actions[t] = actions
        rollout.log_probs[t] = dist.log_prob(actions)
        rollout.values[t] = agent.values(obs)
        next_obs, rewards, terminated, truncated = env.step(actions.numpy())
        rollout.rewards[t] = torch.from_numpy(rewards)
        rollout.ended[t] = torch.from_numpy(terminated | truncated)
        rollout.cut_values[t] = 0.0
        if truncated.any():
            rollout.cut_values[t][torch.from_numpy(truncated)] = agent.values(torch.from_numpy(next_obs[truncated]))
        obs = torch.from_numpy(env.obs())
    return agent.values(obs)


def advantages_of(rollout, last_values, gamma, gae_lambda):
    """Generalised advantage estimation, arXiv:1506.02438."""
    advantages = torch.zeros_like(rollout.rewards)
    trace, next_values = torch.zeros_like(last_values), last_values
    for t in reversed(range(len(advantages))):
        goes_on = 1.0 - rollout.ended[t]
        following = goes_on * next_values + rollout.cut_values[t]
        residual = rollout.rewards[t] + gamma * following - rollout.values[t]
        trace = residual + gamma * gae_lambda * goes_on * trace
        advantages[t] = trace
        next_values = rollout.values[t]
    return advantages


def loss_of(agent, batch, work):
    obs, actions, old_log_probs, advantages, old_values = batch
    returns = advantages + old_values
    dist = agent.dist(obs)
    ratio = (dist.log_prob(actions) - old_log_probs).exp()
    scaled = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    clipped = ratio.clamp(1 - work.clip, 1 + work.clip)
    surrogate = torch.min(ratio * scaled, clipped * scaled).mean()
    values = agent.values(obs)
    near = old_values + (values - old_values).clamp(-work.value_clip, work.value_clip)
    value_loss = 0.5 * torch.max((values - returns) ** 2, (near - returns) ** 2).mean()
    return work.value_coef * value_loss - surrogate - work.entropy_coef * dist.entropy().mean()


def train(work):
    torch.manual_seed(work.seed)
    env = NumpyBatch(work.env, work.num_envs, work.seed)
    agent = Agent(env.dynamics, work.hidden)
    optimizer = torch.optim.Adam(agent.parameters(), lr=work.learning_rate, eps=work.adam_epsilon)
    rollout = Rollout(work.steps, work.num_envs, env.dynamics)
    batch_size = work.steps * work.num_envs
    rounds = iterations(work)

    for iteration in range(rounds):
        for group in optimizer.param_groups:
            group["lr"] = work.learning_rate * (1 - iteration / rounds)
        last_values = collect(agent, env, rollout)
        advantages = advantages_of(rollout, last_values, work.gamma, work.gae_lambda)
        columns = (rollout.obs, rollout.actions, rollout.log_probs, advantages, rollout.values)
        flat = [column.flatten(0, 1) for column in columns]
        for _ in range(work.epochs):
            for indices in torch.randperm(batch_size).chunk(work.minibatches):
                loss = loss_of(agent, [column[indices] for column in flat], work)
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), work.max_grad_norm)
                optimizer.step()
    return rounds * batch_size, env.mean_return()


if __name__ == "__main__":
    work = workload()
    if work.threads:
        torch.set_num_threads(work.threads)
    train(warm_up(work))
    start = time.perf_counter()
    env_steps, mean_return = train(work)
    report(time.perf_counter() - start, env_steps, mean_return)
