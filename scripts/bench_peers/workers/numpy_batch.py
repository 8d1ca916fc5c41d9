"""N copies of an environment in numpy: time limit, autoreset in the same step, returns of finished episodes."""

from collections import deque

import numpy
from dynamics import DYNAMICS

LATEST = 100  # episodes of the mean return


class NumpyBatch:
    def __init__(self, name, num_envs, seed):
        self.dynamics = DYNAMICS[name]
        self.rng = numpy.random.default_rng(seed)
        self.states = self.starts(num_envs)
        self.ages = numpy.zeros(num_envs, numpy.int32)
        self.episode_returns = numpy.zeros(num_envs)
        self.finished = deque(maxlen=LATEST)

    def uniform(self, rows, width):
        return self.rng.random((rows, width), numpy.float32)

    def starts(self, rows):
        return self.dynamics.start(numpy, self.uniform(rows, self.dynamics.start_width))

    def obs(self):
        return self.dynamics.observe(numpy, self.states)

    def step(self, actions):
        """Observations before a reset, rewards, terminated, truncated; `obs` has those after it."""
        noise = self.uniform(len(self.ages), self.dynamics.noise_width)
        self.states, rewards, terminated = self.dynamics.step(numpy, self.states, actions, noise)
        self.ages += 1
        self.episode_returns += rewards
        truncated = (self.ages >= self.dynamics.time_limit) & ~terminated
        next_obs = self.obs()
        (ended,) = numpy.nonzero(terminated | truncated)
        if len(ended):
            self.finished.extend(self.episode_returns[ended])
            self.states = self.states.copy()
            self.states[ended] = self.starts(len(ended))
            self.ages[ended] = 0
            self.episode_returns[ended] = 0.0
        return next_obs, rewards, terminated, truncated

    def mean_return(self):
        return float(numpy.mean(self.finished)) if self.finished else None
