"""The workload in Stable-Baselines3, with Gymnasium's environments in a `DummyVecEnv`, as its users have them.

The linear system, which Gymnasium does not have, is a `VecEnv` over numpy. Stable-Baselines3's value loss has no factor
of a half, and with value clipping it uses the clipped loss instead of the maximum of the two.
"""

import time

import numpy
import torch
from numpy_batch import NumpyBatch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv
from protocol import report, warm_up, workload


class BatchVecEnv(VecEnv):
    """`NumpyBatch` with the interface of Stable-Baselines3."""

    def __init__(self, name, num_envs, seed):
        self.batch = NumpyBatch(name, num_envs, seed)
        dynamics = self.batch.dynamics
        observation_space = spaces.Box(-numpy.inf, numpy.inf, (dynamics.obs,), numpy.float32)
        action_space = spaces.Box(-dynamics.bound, dynamics.bound, (dynamics.actions,), numpy.float32)
        super().__init__(num_envs, observation_space, action_space)

    def reset(self):
        return self.batch.obs()

    def step_async(self, actions):
        self.actions = actions

    def step_wait(self):
        next_obs, rewards, terminated, truncated = self.batch.step(self.actions)
        infos = [{} for _ in range(self.num_envs)]
        ended = terminated | truncated
        for i in numpy.flatnonzero(ended):
            infos[i] = {"terminal_observation": next_obs[i], "TimeLimit.truncated": bool(truncated[i])}
        return self.batch.obs(), rewards, ended, infos

    def close(self):
        pass

    def env_is_wrapped(self, wrapper_class, indices=None):
        return [False] * self.num_envs

    def get_attr(self, attr_name, indices=None):
        # Required by the base class: there is nothing to render.
        return [None] * self.num_envs

    def set_attr(self, attr_name, value, indices=None):
        raise NotImplementedError("no attribute of a single copy can be set")

    def env_method(self, method_name, *args, indices=None, **kwargs):
        raise NotImplementedError("no method of a single copy can be called")


def make_env(work):
    if work.env in ("CartPole-v1", "Pendulum-v1"):
        return make_vec_env(work.env, n_envs=work.num_envs, seed=work.seed)
    return BatchVecEnv(work.env, work.num_envs, work.seed)


def make_model(work, env):
    return PPO(
        "MlpPolicy",
        env,
        seed=work.seed,
        device="cpu",
        n_steps=work.steps,
        n_epochs=work.epochs,
        batch_size=work.steps * work.num_envs // work.minibatches,
        learning_rate=lambda remaining: work.learning_rate * remaining,
        gamma=work.gamma,
        gae_lambda=work.gae_lambda,
        clip_range=work.clip,
        clip_range_vf=work.value_clip,
        vf_coef=0.5 * work.value_coef,
        ent_coef=work.entropy_coef,
        max_grad_norm=work.max_grad_norm,
        policy_kwargs={
            "net_arch": {"pi": work.hidden, "vf": work.hidden},
            "optimizer_kwargs": {"eps": work.adam_epsilon},
        },
    )


def mean_return(model, env):
    if isinstance(env, BatchVecEnv):
        return env.batch.mean_return()
    returns = [episode["r"] for episode in model.ep_info_buffer]
    return float(numpy.mean(returns)) if returns else None


def train(work):
    """The trained model, its environment and the seconds of training."""
    env = make_env(work)
    model = make_model(work, env)
    start = time.perf_counter()
    model.learn(work.total_steps)
    run_s = time.perf_counter() - start
    return model, env, run_s


if __name__ == "__main__":
    work = workload()
    if work.threads:
        torch.set_num_threads(work.threads)
    train(warm_up(work))
    model, env, run_s = train(work)
    report(run_s, model.num_timesteps, mean_return(model, env))
