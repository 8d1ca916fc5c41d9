#!/usr/bin/env python3
"""Records reference trajectories for crates/envs (tests/it/golden.rs).

    python3 -m venv .venv && .venv/bin/pip install 'gymnasium[classic-control]==1.4.0' 'numpy>=2'
    .venv/bin/python scripts/golden_envs.py

writes crates/envs/tests/golden/{cartpole,pendulum}.csv, one row per step:

    episode, t, state…, action, next_state…, reward, terminated, truncated

The state is the internal one of Gymnasium, computed in float64. Everything is seeded: the same versions write
the same bytes.
"""

import csv
import math
from pathlib import Path

import gymnasium
import numpy as np

FOLDER = Path(__file__).resolve().parent.parent / "crates/envs/tests/golden"

# CartPole episodes that come this close to a limit are skipped: in float32 they might end one step earlier or later.
MARGIN = 1e-4
LIMITS = {0: 2.4, 2: math.radians(12.0)}


def cartpole_policy(kind, rng):
    """Policies that end an episode in different ways: by the time limit, the angle, or the position."""

    def balance(state, lean, noise):
        x, x_dot, theta, theta_dot = state
        push = 0.1 * x + 0.25 * x_dot + 4.0 * (theta - lean) + theta_dot
        return int(push > 0) if rng.random() > noise else int(rng.integers(2))

    lean = rng.choice([-1.0, 1.0]) * rng.uniform(0.06, 0.12)
    late = int(rng.integers(20, 150))
    return {
        "random": lambda t, s: int(rng.integers(2)),
        "balance": lambda t, s: balance(s, 0.0, 0.1),
        "run away": lambda t, s: balance([0.0, 0.0, s[2], s[3]], lean, 0.05),
        "give up": lambda t, s: balance(s, 0.0, 0.1) if t < late else int(rng.integers(2)),
    }[kind]


def pendulum_policy(kind, rng):
    """Torques that rest, swing up and hold, or exceed the bounds."""

    def swing_up(state):
        theta, speed = (state[0] + math.pi) % (2 * math.pi) - math.pi, state[1]
        if abs(theta) < 0.5:
            return -10.0 * theta - 2.0 * speed
        return 2.0 * math.copysign(1.0, speed) if speed * speed / 2 < 15.0 * (1 - math.cos(theta)) else 0.0

    scale = rng.uniform(0.5, 2.0)
    return {
        "random": lambda t, s: rng.uniform(-2.0, 2.0),
        "beyond": lambda t, s: rng.normal(0.0, 3.0),
        "swing up": lambda t, s: swing_up(s) + rng.normal(0.0, 0.2),
        "spin": lambda t, s: scale * math.copysign(1.0, s[1]) + rng.normal(0.0, 0.5),
    }[kind]


def record(env, seed, policy, to_action, digits):
    """One episode as rows without their first column, and its states."""
    env.reset(seed=seed)
    rows, states = [], [np.array(env.unwrapped.state)]
    terminated = truncated = False
    while not (terminated or truncated):
        number, action = to_action(policy(len(rows), states[-1]))
        _, reward, terminated, truncated, _ = env.step(action)
        states.append(np.array(env.unwrapped.state))
        numbers = [*states[-2], number, *states[-1], reward]
        rows.append([len(rows), *(f"{x:.{digits}g}" for x in numbers), int(terminated), int(truncated)])
    return rows, np.array(states)


def write(name, columns, episodes):
    path = FOLDER / f"{name}.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["episode", "t", *columns, "reward", "terminated", "truncated"])
        for index, rows in enumerate(episodes):
            writer.writerows([index, *row] for row in rows)
    lengths = sorted(len(rows) for rows in episodes)
    truncated = sum(rows[-1][-1] for rows in episodes)
    print(f"{path.name}: {len(episodes)} episodes of {lengths[0]} to {lengths[-1]} steps, "
          f"{truncated} truncated, {path.stat().st_size // 1000} kB")


def cartpole():
    env = gymnasium.make("CartPole-v1")
    episodes = []
    for kind, count in [("random", 20), ("give up", 14), ("run away", 14), ("balance", 7)]:
        wanted, seed = len(episodes) + count, 1000 * len(episodes)
        while len(episodes) < wanted:
            seed += 1
            policy = cartpole_policy(kind, np.random.default_rng(seed))
            rows, states = record(env, seed, policy, lambda a: (a, a), digits=9)
            clear = all(abs(abs(states[:, i]) - limit).min() > MARGIN for i, limit in LIMITS.items())
            as_meant = rows[-1][-1] == 1 if kind == "balance" else len(rows) < 250
            if clear and as_meant:
                episodes.append(rows)
    names = ["x", "x_dot", "theta", "theta_dot"]
    write("cartpole", [*names, "action", *(f"next_{n}" for n in names)], episodes)


def pendulum():
    def to_action(torque):
        torque = round(float(torque), 4)
        return torque, np.array([torque], dtype=np.float32)

    env = gymnasium.make("Pendulum-v1")
    kinds = ["random", "beyond", "swing up", "spin", "swing up"]
    episodes = []
    for seed in range(50):
        policy = pendulum_policy(kinds[seed % len(kinds)], np.random.default_rng(seed))
        episodes.append(record(env, seed, policy, to_action, digits=8)[0])
    names = ["theta", "theta_dot"]
    write("pendulum", [*names, "action", *(f"next_{n}" for n in names)], episodes)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    cartpole()
    pendulum()
