"""Protocol of driver and workers: a workload as JSON on the command line, results as lines of JSON."""

import json
import sys
from types import SimpleNamespace


def workload():
    """The settings that workloads.py read from a file in configs/."""
    return SimpleNamespace(**json.loads(sys.argv[1]))


def warm_up(work):
    """A small amount of the same work, so that one-time work of a library happens before the clock starts."""
    return SimpleNamespace(**(vars(work) | {"num_envs": 8, "steps": 32, "total_steps": 512}))


def iterations(work):
    """Rollouts until `total_steps` are reached."""
    batch = work.num_envs * work.steps
    return -(-work.total_steps // batch)


def report(run_s, env_steps, mean_return):
    """Reports one run; the driver records when the line arrives."""
    print(json.dumps({"run_s": run_s, "env_steps": env_steps, "mean_return": mean_return}), flush=True)
