"""One run of a program.

The result is a dict: `run_s`, seconds of the work itself, one number per repetition within the process; `cold_s`, seconds
from the start of the process to the end of the first of them; `env_steps` of each, `warm_up_steps` of which were made
before its clock started; `mean_return` of the last episodes.
"""

import csv
import json
import os
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

from failure import Failure, last_words

WORKERS = Path(__file__).resolve().parent / "workers"
PATIENCE = 600  # seconds for a run, which takes a tenth of that, unless told otherwise
CPU_DEVICES = ("flex", "ndarray")
# On other devices the first iteration compiles kernels, the second records the launches that later ones replay.
WARM_UP = 3  # iterations
ENOUGH = 20  # iterations of a run with such a warm-up


def rate(run):
    """Environment steps per second, of the last repetition in a process."""
    return (run["env_steps"] - run["warm_up_steps"]) / run["run_s"][-1]


# Uphill


class Build(NamedTuple):
    """A device and the program that runs on it, as in a run's meta.json."""

    device: str
    adapter: str
    version: str
    commit: str


def uphill_on(program, device, workload, patience):
    """Trains a tiny run: a program may fail to use a device that it supports."""
    tiny = {"num_envs": 1, "total_steps": 2, "algo.steps": 2, "algo.epochs": 1, "algo.minibatches": 1}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        train(program, [workload.path(), "--device", device, "--out", out], tiny, patience)
        metrics_of([out])
        meta = content(out / "meta.json", json.load)
    return Build(*(str(meta.get(key, "")) for key in Build._fields))


def run_uphill(program, device, workload, work, patience):
    """Seconds are those of the training loop: from metrics.csv, or from the summary of several agents."""
    total, agents = work["total_steps"], work["agents"]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        arguments = [workload.path(), "--device", device, "--out", out, "--seed", str(work["seed"])]
        if agents > 1:
            arguments += ["--seeds", str(agents)]
        # The peers write no checkpoints during a run.
        sets = {"total_steps": total, "num_envs": work["num_envs"], "checkpoint_every": total}
        cold_s = train(program, arguments, sets, patience)
        if agents > 1:
            runs = sorted(out.glob("seed-*"))
            run = of_summary(content(out / "summary.json", json.load))
        else:
            runs = [out]
            run = of_last_row(metrics_of(runs))
        if device not in CPU_DEVICES:
            run |= after_warm_up(metrics_of(runs))
    if run["run_s"][0] <= 0:
        raise Failure("the run was too short to be timed; more --steps are needed")
    return run | {"cold_s": cold_s}


def train(program, arguments, sets, patience):
    """Seconds of the whole process."""
    command = [program, "train", *arguments, "--quiet"]
    for key, value in sets.items():
        command += ["--set", f"{key}={value}"]
    start = time.perf_counter()
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=patience
        )
    except subprocess.TimeoutExpired as expired:
        raise Failure(f"{Path(program).name} was not done after {patience} s and was stopped") from expired
    except OSError as error:
        raise Failure(f"{program} cannot be run: {error.strerror}") from error
    if done.returncode != 0:
        raise Failure(f"{Path(program).name} failed: {last_words(done.stdout)}")
    return time.perf_counter() - start


def content(path, read):
    """Result of `read` for a file that a run should have written."""
    try:
        with path.open() as file:
            return read(file)
    except (OSError, ValueError) as error:
        raise Failure(f"the run left no {path.name} that can be read: {error}") from error


class Row(NamedTuple):
    """The relevant part of a line of metrics.csv."""

    wall_s: float
    iteration: int
    env_steps: int
    mean_return: float | None

    @classmethod
    def of(cls, line):
        mean = line["episode_return_mean"]
        numbers = float(line["wall_s"]), int(line["iteration"]), int(line["env_steps"])
        return cls(*numbers, float(mean) if mean else None)


def metrics_of(runs):
    """Rows of every run."""

    def read(file):
        try:
            return [Row.of(line) for line in csv.DictReader(file)]
        except (KeyError, TypeError) as error:
            raise ValueError(f"a row is not complete ({error})") from error

    found = [content(run / "metrics.csv", read) for run in runs]
    if not found or not all(found):
        raise Failure("the run left a metrics.csv without rows")
    return found


def of_last_row(metrics):
    last = metrics[0][-1]
    return {
        "run_s": [last.wall_s],
        "env_steps": last.env_steps,
        "warm_up_steps": 0,
        "mean_return": last.mean_return,
    }


def of_summary(summary):
    try:
        return {
            "run_s": [float(summary["wall_s"])],
            "env_steps": int(summary["env_steps"]),
            "warm_up_steps": 0,
            "mean_return": summary["return_mean"],
        }
    except (KeyError, TypeError) as error:
        raise Failure(f"summary.json of the run is not complete ({error})") from error


def after_warm_up(metrics):
    """Seconds of all iterations but the first ones of every agent, and the steps of those.

    Agents share a clock and take turns on the device, or run an iteration together and write their rows one after the
    other, so the time of an iteration is the time since the previous row of any agent.
    """
    seconds, before = 0.0, 0.0
    for row in sorted(row for rows in metrics for row in rows):
        if row.iteration > WARM_UP:
            seconds += row.wall_s - before
        before = row.wall_s
    first = [row.env_steps for rows in metrics for row in rows if row.iteration == WARM_UP]
    if len(first) < len(metrics) or seconds <= 0:
        raise Failure(f"too few iterations to time any after the first {WARM_UP}; more --steps are needed")
    return {"run_s": [seconds], "warm_up_steps": sum(first)}


def uphill_trains_many(program):
    """Whether this build supports `train --seeds`."""
    about = subprocess.run([program, "train", "--help"], capture_output=True, text=True)
    return "--seeds" in about.stdout


# Peers


def run_script(python, stack, work, patience):
    command = [python, WORKERS / stack.script, json.dumps(work)]
    return run_worker(command, patience, os.environ | stack.environment)


def run_worker(command, patience, environment=None):
    """A program that prints a line of JSON after each repetition: seconds, steps and mean return."""
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        start = time.perf_counter()
        try:
            child = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, errors="replace", env=environment
            )
        except OSError as error:
            raise Failure(f"{command[0]} cannot be run: {error.strerror}") from error
        reports, cold_s = [], None
        late = threading.Event()
        alarm = threading.Timer(patience, lambda: (late.set(), child.kill()))
        alarm.start()
        try:
            for line in child.stdout:
                cold_s = cold_s or time.perf_counter() - start
                reports.append(report_of(line))
        except BaseException:
            child.kill()
            raise
        finally:
            child.wait()
            alarm.cancel()
        if late.is_set():
            raise Failure(f"it was not done after {patience} s and was stopped")
        errors.seek(0)
        if child.returncode != 0 or not reports:
            raise Failure(f"it failed: {last_words(errors.read())}")
    return {
        "run_s": [report["run_s"] for report in reports],
        "cold_s": cold_s,
        "env_steps": reports[-1]["env_steps"],
        "warm_up_steps": 0,
        "mean_return": reports[-1]["mean_return"],
    }


def report_of(line):
    """Parses a line that a worker printed."""
    try:
        report = json.loads(line)
        usable = report["run_s"] > 0 and report["env_steps"] > 0 and "mean_return" in report
    except (ValueError, TypeError, KeyError):
        usable = False
    if not usable:
        raise Failure(f"it printed no report but: {line.strip()[:100] or 'an empty line'}")
    return report
