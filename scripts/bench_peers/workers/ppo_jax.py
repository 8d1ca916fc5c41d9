"""PPO as one compiled JAX program: environments, rollout, advantages and updates inside `jit`, loops as `lax.scan`.

Follows PureJaxRL (Lu et al., "Discovered policy optimisation", 2022), with JAX alone. Several agents are one `vmap`.
Unlike there, truncated episodes bootstrap from the value of their last observation. Reports two runs of the same
compiled program; the time until the first report includes the imports and the compilation.
"""

import math
import os
import sys
import time
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy
from dynamics import DYNAMICS
from jax import lax, random
from protocol import iterations, report, workload

EPISODES = 100  # of the mean return, at least


class Copies(NamedTuple):
    """State of the environments between two steps."""

    states: jax.Array  # [N, S]
    ages: jax.Array  # [N]
    episode_returns: jax.Array  # [N]


class Sample(NamedTuple):
    """One step of all copies; a rollout is the same with a leading axis T."""

    obs: jax.Array
    actions: jax.Array
    log_probs: jax.Array
    values: jax.Array
    rewards: jax.Array
    ended: jax.Array
    cut: jax.Array  # ended because time ran out
    final_obs: jax.Array  # after the step, before a reset


class Adam(NamedTuple):
    """Moments of Adam (arXiv:1412.6980) and number of steps."""

    first: dict
    second: dict
    steps: jax.Array


# Environments


def start_copies(dynamics, key, num_envs):
    states = dynamics.start(jnp, random.uniform(key, (num_envs, dynamics.start_width)))
    return Copies(states, jnp.zeros(num_envs, jnp.int32), jnp.zeros(num_envs))


def step_copies(dynamics, key, copies, actions):
    """Copies after autoreset, rewards, ends, truncations, states before autoreset, returns of finished episodes."""
    noise_key, start_key = random.split(key)
    num_envs = len(copies.ages)
    noise = random.uniform(noise_key, (num_envs, dynamics.noise_width))
    states, rewards, terminated = dynamics.step(jnp, copies.states, actions, noise)
    ages = copies.ages + 1
    episode_returns = copies.episode_returns + rewards
    cut = (ages >= dynamics.time_limit) & ~terminated
    ended = terminated | cut
    fresh = start_copies(dynamics, start_key, num_envs)
    after = Copies(
        jnp.where(ended[:, None], fresh.states, states),
        jnp.where(ended, 0, ages),
        jnp.where(ended, 0.0, episode_returns),
    )
    finished = jnp.stack([jnp.where(ended, episode_returns, 0.0).sum(), ended.sum().astype(float)])
    return after, rewards, ended, cut, states, finished


# Networks


def init_perceptron(key, sizes, last_gain):
    gains = [math.sqrt(2)] * (len(sizes) - 2) + [last_gain]
    keys = random.split(key, len(gains))
    shapes = zip(sizes, sizes[1:])
    orthogonal = jax.nn.initializers.orthogonal
    return [(orthogonal(gain)(k, shape), jnp.zeros(shape[1])) for k, gain, shape in zip(keys, gains, shapes)]


def perceptron(layers, x):
    for weights, bias in layers[:-1]:
        x = jnp.tanh(x @ weights + bias)
    weights, bias = layers[-1]
    return x @ weights + bias


def init_agent(key, dynamics, hidden):
    policy_key, value_key = random.split(key)
    agent = {
        "policy": init_perceptron(policy_key, [dynamics.obs, *hidden, dynamics.actions], 0.01),
        "value": init_perceptron(value_key, [dynamics.obs, *hidden, 1], 1.0),
    }
    if not dynamics.discrete:
        agent["log_std"] = jnp.zeros(dynamics.actions)
    return agent


def values_of(agent, obs):
    return perceptron(agent["value"], obs)[..., 0]


def categorical_log_prob(logits, actions):
    return jnp.take_along_axis(jax.nn.log_softmax(logits), actions[..., None], -1)[..., 0]


def gaussian_log_prob(means, log_std, actions):
    deviations = (actions - means) * jnp.exp(-log_std)
    return (-0.5 * deviations**2 - log_std - 0.5 * math.log(2 * math.pi)).sum(-1)


def act(dynamics, agent, key, obs):
    """Actions and their log-probabilities."""
    out = perceptron(agent["policy"], obs)
    if dynamics.discrete:
        actions = random.categorical(key, out)
        return actions, categorical_log_prob(out, actions)
    actions = out + jnp.exp(agent["log_std"]) * random.normal(key, out.shape)
    return actions, gaussian_log_prob(out, agent["log_std"], actions)


def log_prob_and_entropy(dynamics, agent, obs, actions):
    """Log-probabilities of the actions and the mean entropy."""
    out = perceptron(agent["policy"], obs)
    if dynamics.discrete:
        log_probs = jax.nn.log_softmax(out)
        entropy = -(jnp.exp(log_probs) * log_probs).sum(-1).mean()
        return categorical_log_prob(out, actions), entropy
    entropy = (agent["log_std"] + 0.5 * math.log(2 * math.pi * math.e)).sum()
    return gaussian_log_prob(out, agent["log_std"], actions), entropy


# Learning


def values_after_cuts(agent, rollout, time_limit):
    """Values of the last observations of truncated episodes, elsewhere 0, [T, N].

    A copy is truncated at most once in as many steps as the time limit has: one evaluation for each such stretch of the
    rollout is enough.
    """
    values = []
    for first in range(0, len(rollout.cut), time_limit):
        cut = rollout.cut[first : first + time_limit]
        final_obs = rollout.final_obs[first : first + time_limit]
        when = jnp.argmax(cut, 0)
        obs = jnp.take_along_axis(final_obs, when[None, :, None], 0)[0]
        values.append(jnp.where(cut, values_of(agent, obs), 0.0))
    return jnp.concatenate(values)


def advantages_of(rollout, cut_values, last_values, gamma, gae_lambda):
    """Generalised advantage estimation, arXiv:1506.02438."""

    def back(carry, step):
        trace, next_values = carry
        rewards, ended, values, cut_values = step
        goes_on = 1.0 - ended
        residual = rewards + gamma * (goes_on * next_values + cut_values) - values
        trace = residual + gamma * gae_lambda * goes_on * trace
        return (trace, values), trace

    start = (jnp.zeros_like(last_values), last_values)
    steps = (rollout.rewards, rollout.ended, rollout.values, cut_values)
    return lax.scan(back, start, steps, reverse=True, unroll=8)[1]


def loss_of(agent, batch, dynamics, work):
    samples, advantages = batch
    returns = advantages + samples.values
    log_probs, entropy = log_prob_and_entropy(dynamics, agent, samples.obs, samples.actions)
    ratio = jnp.exp(log_probs - samples.log_probs)
    scaled = (advantages - advantages.mean()) / (advantages.std(ddof=1) + 1e-8)
    clipped = jnp.clip(ratio, 1 - work.clip, 1 + work.clip)
    surrogate = jnp.minimum(ratio * scaled, clipped * scaled).mean()
    values = values_of(agent, samples.obs)
    near = samples.values + jnp.clip(values - samples.values, -work.value_clip, work.value_clip)
    value_loss = 0.5 * jnp.maximum((values - returns) ** 2, (near - returns) ** 2).mean()
    return work.value_coef * value_loss - surrogate - work.entropy_coef * entropy


def adam_step(agent, adam, grads, rate, work):
    """One step along gradients clipped by their global norm."""
    norm = jnp.sqrt(sum((g**2).sum() for g in jax.tree.leaves(grads)))
    shorten = jnp.minimum(1.0, work.max_grad_norm / (norm + 1e-6))
    grads = jax.tree.map(lambda g: g * shorten, grads)
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, adam.first, grads)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, adam.second, grads)
    steps = adam.steps + 1
    first_bias, second_bias = 1 - 0.9**steps, 1 - 0.999**steps

    def move(p, m, v):
        return p - rate * (m / first_bias) / (jnp.sqrt(v / second_bias) + work.adam_epsilon)

    return jax.tree.map(move, agent, first, second), Adam(first, second, steps)


def train(agent, key, work):
    """Sum and number of the returns of finished episodes, [iterations, 2], and the trained agent."""
    dynamics = DYNAMICS[work.env]
    batch_size = work.steps * work.num_envs
    rounds = iterations(work)
    key, start_key = random.split(key)
    zeros = jax.tree.map(jnp.zeros_like, agent)
    adam = Adam(zeros, zeros, jnp.zeros((), jnp.float32))
    copies = start_copies(dynamics, start_key, work.num_envs)

    def one_step(carry, _, agent):
        copies, key = carry
        key, action_key, env_key = random.split(key, 3)
        obs = dynamics.observe(jnp, copies.states)
        actions, log_probs = act(dynamics, agent, action_key, obs)
        values = values_of(agent, obs)
        copies, rewards, ended, cut, states, finished = step_copies(dynamics, env_key, copies, actions)
        final_obs = dynamics.observe(jnp, states)
        sample = Sample(obs, actions, log_probs, values, rewards, ended, cut, final_obs)
        return (copies, key), (sample, finished)

    def one_iteration(carry, iteration):
        agent, adam, copies, key = carry
        (copies, key), (rollout, finished) = lax.scan(
            partial(one_step, agent=agent), (copies, key), length=work.steps
        )
        last_values = values_of(agent, dynamics.observe(jnp, copies.states))
        cut_values = values_after_cuts(agent, rollout, dynamics.time_limit)
        advantages = advantages_of(rollout, cut_values, last_values, work.gamma, work.gae_lambda)
        flat = jax.tree.map(lambda x: x.reshape(batch_size, *x.shape[2:]), (rollout, advantages))
        rate = work.learning_rate * (1 - iteration / rounds)

        def one_minibatch(carry, indices):
            agent, adam = carry
            batch = jax.tree.map(lambda x: x[indices], flat)
            grads = jax.grad(loss_of)(agent, batch, dynamics, work)
            return adam_step(agent, adam, grads, rate, work), None

        def one_epoch(carry, key):
            indices = random.permutation(key, batch_size).reshape(work.minibatches, -1)
            return lax.scan(one_minibatch, carry, indices)

        key, epoch_key = random.split(key)
        (agent, adam), _ = lax.scan(one_epoch, (agent, adam), random.split(epoch_key, work.epochs))
        return (agent, adam, copies, key), finished.sum(0)

    (agent, *_), finished = lax.scan(one_iteration, (agent, adam, copies, key), jnp.arange(rounds))
    return finished, agent


def train_all(keys, work):
    """`train` from fresh agents, one for each key."""
    init_keys, keys = jax.vmap(random.split, out_axes=1)(keys)
    # Not in the vmap: XLA's batched QR can wait forever for the threads of a small processor.
    agents = lax.map(lambda key: init_agent(key, DYNAMICS[work.env], work.hidden), init_keys)
    return jax.vmap(partial(train, work=work))(agents, keys)


def train_one(key, work):
    """`train` from a fresh agent."""
    init_key, key = random.split(key)
    return train(init_agent(init_key, DYNAMICS[work.env], work.hidden), key, work)


def mean_return(finished):
    """Mean return over the last iterations that together have enough episodes; `finished` is [iterations, 2]."""
    sums, counts = numpy.cumsum(finished[::-1], 0).T
    if counts[-1] == 0:
        return None
    last = min(int(numpy.searchsorted(counts, EPISODES)), len(counts) - 1)
    return float(sums[last] / counts[last])


def check_device():
    """Ends the program if JAX_PLATFORMS names an unavailable device."""
    kind = os.environ.get("JAX_PLATFORMS", "")
    try:
        jax.devices()
    except Exception as error:  # RuntimeError; without a plugin for the kind, AssertionError
        reason = str(error).partition("\n")[0]
        sys.exit(f"error: JAX sees no {kind.upper()} device" + (f": {reason}" if reason else ""))


def main():
    work = workload()
    check_device()
    agents = work.agents
    keys = random.key(work.seed)
    if agents > 1:
        keys = random.split(keys, agents)
    program = jax.jit(partial(train_all if agents > 1 else train_one, work=work))
    program = program.lower(keys).compile()
    for _ in range(2):
        start = time.perf_counter()
        finished, _ = jax.block_until_ready(program(keys))
        run_s = time.perf_counter() - start
        finished = numpy.asarray(finished, numpy.float64).reshape(agents, -1, 2)
        means = [mean for mean in map(mean_return, finished) if mean is not None]
        env_steps = agents * iterations(work) * work.steps * work.num_envs
        report(run_s, env_steps, float(numpy.mean(means)) if means else None)


if __name__ == "__main__":
    main()
