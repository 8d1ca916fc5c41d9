"""Dynamics of the workloads' environments, for numpy and for JAX.

Every function takes the array module `xp` first and works on all N copies at once. Randomness is an argument, as
numbers in [0, 1). Time limits and autoreset are the caller's task. The environments are described in
crates/envs/src/{cartpole,pendulum}.rs and crates/envs/src/probe/lqr_17x6.rs; check_dynamics.py compares the two.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy

Array = Any


class Dynamics(NamedTuple):
    """One environment: states [N, S], observations [N, O], actions [N] (choices) or [N, A] (real)."""

    obs: int
    actions: int  # choices, or components of a real action
    discrete: bool
    time_limit: int
    start_width: int  # uniform numbers that a start state is made of
    noise_width: int  # uniform numbers that a step consumes
    start: Callable[[Any, Array], Array]  # (xp, [N, start_width]) -> states
    step: Callable[[Any, Array, Array, Array], tuple[Array, Array, Array]]
    # (xp, states, actions, [N, noise_width]) -> states, rewards [N], terminated [N]
    observe: Callable[[Any, Array], Array]  # (xp, states) -> observations
    bound: float = math.inf  # of a real action, which is clipped to it


def between(u, limit):
    return (2 * u - 1) * limit


# CartPole-v1


def cartpole_start(xp, u):
    return between(u, 0.05)


def cartpole_step(xp, states, actions, noise):
    position, velocity, angle, spin = (states[:, i] for i in range(4))
    force = xp.where(actions == 1, xp.float32(10), xp.float32(-10))
    sin, cos = xp.sin(angle), xp.cos(angle)
    push = (force + 0.05 * spin**2 * sin) / 1.1
    spin_rate = (9.8 * sin - cos * push) / (0.5 * (4 / 3 - 0.1 * cos**2 / 1.1))
    acceleration = push - 0.05 * spin_rate * cos / 1.1
    rates = xp.stack([velocity, acceleration, spin, spin_rate], 1)
    states = states + 0.02 * rates
    terminated = (abs(states[:, 0]) > 2.4) | (abs(states[:, 2]) > math.radians(12))
    return states, xp.ones_like(position), terminated


CARTPOLE = Dynamics(
    obs=4,
    actions=2,
    discrete=True,
    time_limit=500,
    start_width=4,
    noise_width=0,
    start=cartpole_start,
    step=cartpole_step,
    observe=lambda xp, states: states,
)


# Pendulum-v1


def wrapped(xp, angle):
    """The equivalent angle in [-pi, pi)."""
    return angle - 2 * math.pi * xp.floor(angle / (2 * math.pi) + 0.5)


def pendulum_start(xp, u):
    return between(u, xp.asarray([math.pi, 1.0], u.dtype))


def pendulum_step(xp, states, actions, noise):
    angle, speed = wrapped(xp, states[:, 0]), states[:, 1]
    torque = xp.clip(actions[:, 0], -2.0, 2.0)
    cost = angle**2 + 0.1 * speed**2 + 0.001 * torque**2
    speed = xp.clip(speed + 0.05 * (15.0 * xp.sin(angle) + 3.0 * torque), -8.0, 8.0)
    states = xp.stack([wrapped(xp, angle + 0.05 * speed), speed], 1)
    return states, -cost, xp.zeros_like(cost, dtype=bool)


def pendulum_observe(xp, states):
    return xp.stack([xp.cos(states[:, 0]), xp.sin(states[:, 0]), states[:, 1]], 1)


PENDULUM = Dynamics(
    obs=3,
    actions=1,
    discrete=False,
    time_limit=200,
    start_width=2,
    noise_width=0,
    start=pendulum_start,
    step=pendulum_step,
    observe=pendulum_observe,
    bound=2.0,
)


# ProbeLqr17x6-v0: x' = 0.9 x + 0.5 E u + w, cost |x|^2 + 0.1 |u|^2. The columns of E are six cosine waves.

SITES, CONTROLS = 17, 6
WAVES = numpy.array(
    [
        [math.sqrt(2 / SITES) * math.cos(math.pi * (i + 0.5) * (j + 1) / SITES) for j in range(CONTROLS)]
        for i in range(SITES)
    ],
    numpy.float32,
)


def lqr_start(xp, u):
    return between(u, 0.25)


def lqr_step(xp, states, actions, noise):
    controls = xp.clip(actions, -2.0, 2.0)
    cost = (states**2).sum(1) + 0.1 * (controls**2).sum(1)
    states = 0.9 * states + 0.5 * controls @ WAVES.T + between(noise, 0.125)
    return states, -cost, xp.zeros_like(cost, dtype=bool)


LQR = Dynamics(
    obs=SITES,
    actions=CONTROLS,
    discrete=False,
    time_limit=100,
    start_width=SITES,
    noise_width=SITES,
    start=lqr_start,
    step=lqr_step,
    observe=lambda xp, states: states,
    bound=2.0,
)

DYNAMICS = {"CartPole-v1": CARTPOLE, "Pendulum-v1": PENDULUM, "ProbeLqr17x6-v0": LQR}
