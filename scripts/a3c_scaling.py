#!/usr/bin/env python3
"""Measures how A3C's speed scales with the number of workers.

    python3 scripts/a3c_scaling.py [--program target/release/uphill] [--workers 1 2 4] [--copies 4] [--rounds 5]

Trains the preset a3c-cartpole with different numbers of workers in turn, for several rounds. Every worker has the same
number of copies of the environment, and so of samples per gradient; all runs take the same total number of steps, and
report after the same total number of gradients. Prints a table: environment steps per second over the whole run,
staleness, and the step and second at which the mean return over 100 episodes reached 475; medians over the rounds, with
minimum and maximum.
"""

import argparse
import csv
import pathlib
import statistics
import subprocess
import tempfile
import time


# Total number of gradients between two reports, at which the workers wait for each other.
UPDATES = 48


def train(program, workers, copies, seed, folder):
    out = folder / f"{workers}-{seed}"
    start = time.monotonic()
    subprocess.run(
        [program, "train", "a3c-cartpole", "--device", "flex", "--quiet", "--seed", str(seed), "--out", out,
         "--set", f"algo.workers={workers}", "--set", f"num_envs={workers * copies}",
         "--set", f"algo.updates={UPDATES // workers}"],
        check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - start
    rows = list(csv.DictReader(open(out / "metrics.csv")))
    steps = int(rows[-1]["env_steps"])
    solved = next((r for r in rows if float(r["episode_return_mean"] or 0) >= 475), None)
    return {
        "steps/s": steps / seconds,
        "staleness": statistics.mean(float(r["staleness"]) for r in rows),
        "seconds to 475": float(solved["wall_s"]) if solved else float("nan"),
        "steps to 475": int(solved["env_steps"]) if solved else float("nan"),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="target/release/uphill")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if uneven := [workers for workers in arguments.workers if UPDATES % workers]:
        parser.error(f"--workers {uneven[0]} does not divide the {UPDATES} gradients between reports")

    found = {workers: [] for workers in arguments.workers}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(1, arguments.rounds + 1):
            for workers in arguments.workers:
                found[workers].append(train(arguments.program, workers, arguments.copies, seed, pathlib.Path(folder)))

    keys = ["steps/s", "staleness", "steps to 475", "seconds to 475"]
    print("| workers | " + " | ".join(keys) + " |")
    print("|---" * (len(keys) + 1) + "|")
    for workers, runs in found.items():
        cells = []
        for key in keys:
            values = [run[key] for run in runs]
            digits = 0 if key.startswith("steps") else 2
            low, middle, high = min(values), statistics.median(values), max(values)
            cells.append(f"{middle:,.{digits}f} ({low:,.{digits}f} to {high:,.{digits}f})")
        print(f"| {workers} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
