"""One run of a program.

The result is a dict: `run_s`, seconds of the work itself, one number per repetition within the process; `cold_s`, seconds
from the start of the process to the end of the first of them; `env_steps` of each; `mean_return` of the last episodes.
"""

import csv
import json
import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from failure import Failure, last_words

WORKERS = Path(__file__).resolve().parent / "workers"
PATIENCE = 600  # seconds for a worker, which does its work in a tenth of that


def run_uphill(program, device, workload, work):
    """Seconds are those of the training loop: from metrics.csv, or from the summary of several agents."""
    total, agents = work["total_steps"], work["agents"]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [program, "train", workload.path(), "--quiet", "--device", device, "--out", out]
        command += ["--seed", str(work["seed"]), "--set", f"total_steps={total}"]
        command += ["--set", f"num_envs={work['num_envs']}"]
        # The peers keep no checkpoints on the way.
        command += ["--set", f"checkpoint_every={total}"]
        if agents > 1:
            command += ["--seeds", str(agents)]
        start = time.perf_counter()
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        cold_s = time.perf_counter() - start
        if done.returncode != 0:
            raise Failure(f"{Path(program).name} failed: {last_words(done.stdout)}")
        if agents > 1:
            summary = json.loads((out / "summary.json").read_text())
            return {
                "run_s": [summary["wall_s"]],
                "cold_s": cold_s,
                "env_steps": summary["env_steps"],
                "mean_return": summary["return_mean"],
            }
        with (out / "metrics.csv").open() as file:
            *_, last = csv.DictReader(file)
    mean = last["episode_return_mean"]
    return {
        "run_s": [float(last["wall_s"])],
        "cold_s": cold_s,
        "env_steps": int(last["env_steps"]),
        "mean_return": float(mean) if mean else None,
    }


def uphill_trains_many(program):
    """Whether this build knows `train --seeds`."""
    about = subprocess.run([program, "train", "--help"], capture_output=True, text=True)
    return "--seeds" in about.stdout


def run_script(python, stack, work):
    return run_worker([python, WORKERS / stack.script, json.dumps(work)], os.environ | stack.environment)


def run_worker(command, environment=None):
    """A program that prints a line of JSON after each repetition: seconds, steps and mean return."""
    with tempfile.TemporaryFile("w+") as errors:
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
        reports, cold_s = [], None
        alarm = threading.Timer(PATIENCE, child.kill)
        alarm.start()
        try:
            for line in child.stdout:
                cold_s = cold_s or time.perf_counter() - start
                reports.append(json.loads(line))
        except BaseException:
            child.kill()
            raise
        finally:
            child.wait()
            alarm.cancel()
        errors.seek(0)
        if child.returncode != 0 or not reports:
            raise Failure(f"it failed: {last_words(errors.read())}")
    return {
        "run_s": [report["run_s"] for report in reports],
        "cold_s": cold_s,
        "env_steps": reports[-1]["env_steps"],
        "mean_return": reports[-1]["mean_return"],
    }
