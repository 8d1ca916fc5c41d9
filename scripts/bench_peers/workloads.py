"""Workloads, and the settings that peers need."""

import tomllib
from pathlib import Path
from typing import NamedTuple

from failure import Failure

ROOT = Path(__file__).resolve().parents[2]

ALGO_KEYS = [
    "steps",
    "epochs",
    "minibatches",
    "gamma",
    "gae_lambda",
    "clip",
    "value_clip",
    "value_coef",
    "entropy_coef",
    "max_grad_norm",
    "adam_epsilon",
]


class Workload(NamedTuple):
    """A configuration, the number of environment steps to time (and a smaller one for slow stacks), and the number of
    agents trained together."""

    config: str
    steps: int
    slow_steps: int
    agents: int = 1

    def path(self):
        return ROOT / f"configs/{self.config}.toml"


WORKLOADS = {
    "a": Workload("bench-a", 204_800, 10_240),
    "b": Workload("bench-b", 262_144, 65_536),
    "c": Workload("bench-c", 204_800, 24_576),
    "d": Workload("bench-d", 40_960, 16_384),
    "e": Workload("bench-e", 51_200, 10_240, agents=16),
}


def settings(workload):
    """The configuration that Uphill reads, as numbers."""
    path = workload.path()
    try:
        config = tomllib.loads(path.read_text())
        algo, network = config["algo"], config["network"]
        rate = algo["learning_rate"]
        if algo["name"] != "ppo" or network["activation"] != "tanh" or rate["to"] != 0:
            raise Failure(f"{path}: the peers know PPO with tanh units and a learning rate that falls to 0")
        return {
            "env": config["env"],
            "num_envs": config["num_envs"],
            "total_steps": config["total_steps"],
            "agents": workload.agents,
            "hidden": network["hidden"],
            "learning_rate": rate["from"],
            **{key: algo[key] for key in ALGO_KEYS},
        }
    except OSError as error:
        raise Failure(str(error)) from error
    except tomllib.TOMLDecodeError as error:
        raise Failure(f"{path}: {error}") from error
    except KeyError as error:
        raise Failure(f"{path}: {error} has to be spelt out") from error
