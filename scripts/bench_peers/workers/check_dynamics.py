"""Compares dynamics.py with the reference trajectories of crates/envs, in numpy and, if installed, in JAX.

    target/bench-peers-venv/bin/python scripts/bench_peers/workers/check_dynamics.py
"""

import csv
import math
from pathlib import Path

import numpy
from dynamics import CARTPOLE, LQR, PENDULUM, WAVES

GOLDEN = Path(__file__).resolve().parents[3] / "crates/envs/tests/golden"
TOLERANCE = 1e-5


def modules():
    found = [numpy]
    try:
        import jax.numpy

        found.append(jax.numpy)
    except ImportError:
        print("JAX is not there: numpy only")
    return found


def columns(rows, names):
    return numpy.array([[float(row[name]) for name in names] for row in rows], numpy.float32)


def close(what, found, expected):
    error = numpy.abs(numpy.asarray(found) - expected) / numpy.maximum(1, numpy.abs(expected))
    assert error.max() < TOLERANCE, f"{what}: off by {error.max():.1e}"


def check_golden(xp, name, dynamics, names):
    """Compares every recorded step separately."""
    with (GOLDEN / f"{name}.csv").open() as file:
        rows = list(csv.DictReader(file))
    actions = columns(rows, ["action"])
    actions = xp.asarray(actions[:, 0].astype(numpy.int32) if dynamics.discrete else actions)
    noise = xp.zeros((len(rows), 0), numpy.float32)
    states, rewards, terminated = dynamics.step(xp, xp.asarray(columns(rows, names)), actions, noise)
    expected = columns(rows, [f"next_{name}" for name in names])
    if dynamics is PENDULUM:
        # Gymnasium lets the angle grow, here it is wrapped; near the limits the two may differ by a turn.
        states = numpy.array(states)
        turns = numpy.round((expected[:, 0] - states[:, 0]) / (2 * math.pi))
        states[:, 0] += numpy.float32(2 * math.pi) * turns
    close(f"{name} states", states, expected)
    close(f"{name} rewards", rewards, columns(rows, ["reward"])[:, 0])
    assert (numpy.asarray(terminated) == (columns(rows, ["terminated"])[:, 0] == 1)).all(), name
    last = columns(rows, ["t"])[columns(rows, ["truncated"])[:, 0] == 1]
    assert (last + 1 == dynamics.time_limit).all(), f"{name}: time limit"


def check_lqr(xp):
    """Checks that the waves are orthonormal, and a step without noise against a calculation by hand."""
    close("waves", WAVES.T @ WAVES, numpy.eye(WAVES.shape[1]))
    states, actions = numpy.ones((1, LQR.obs), numpy.float32), numpy.zeros((1, LQR.actions), numpy.float32)
    actions[0, 2] = 3.0  # clipped to 2
    no_noise = xp.full((1, LQR.noise_width), 0.5)
    states, rewards, _ = LQR.step(xp, xp.asarray(states), xp.asarray(actions), no_noise)
    close("lqr states", states[0], 0.9 + WAVES[:, 2])
    close("lqr reward", rewards, numpy.array([-(17 + 0.4)]))


if __name__ == "__main__":
    for xp in modules():
        check_golden(xp, "cartpole", CARTPOLE, ["x", "x_dot", "theta", "theta_dot"])
        check_golden(xp, "pendulum", PENDULUM, ["theta", "theta_dot"])
        check_lqr(xp)
        print(f"{xp.__name__}: as recorded")
