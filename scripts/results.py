#!/usr/bin/env python3
"""Trains every preset over several seeds; writes learning curves and tables into the documentation.

    cargo build --release
    python3 scripts/results.py run                # all runs; existing ones are kept
    python3 scripts/results.py run ppo-cartpole   # some of them
    python3 scripts/results.py report             # figures and tables from the existing runs

Needs Python 3.9 and, for the report, matplotlib (3.11 made the committed figures). Seconds are processor time: other
programs on the machine do not count, and a run on two threads counts both.
"""

import argparse
import csv
import io
import json
import os
import re
import shutil
import statistics
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs/algorithms/img"

# Environment: (mean return to reach, range of returns in figures).
TASKS = {
    "CartPole-v1": (475, (0, 510)),
    "CartPolePositions-v1": (475, (0, 510)),
    "Pendulum-v1": (-200, (-1700, 0)),
}

# Fixed workloads are measured elsewhere.
PRESETS = sorted(p.stem for p in (ROOT / "configs").glob("*.toml") if not p.stem.startswith("bench-"))

# Presets shown in the README: one per algorithm, and PPO on real-valued actions.
HIGHLIGHTS = [
    f"{name}-cartpole" for name in ["reinforce", "vpg", "a2c", "a3c", "trust-region", "npg", "trpo", "ppo"]
] + ["ppo-pendulum"]

# Runs that differ from a preset by a few settings: the comparison on CartPole without velocities.
POSITIONS = ["env=CartPolePositions-v1"]
FRAMES = POSITIONS + ["frames=4", "normalize.obs=true"]
GRU = POSITIONS + [
    "network.memory=gru",
    "network.hidden=[32]",
    "network.memory_width=32",
    "normalize.obs=true",
]
VARIANTS = {
    f"{name}-frames": (f"{name}-cartpole", FRAMES)
    for name in ["reinforce", "vpg", "a2c", "a3c", "trust-region", "npg", "trpo", "ppo-kl"]
} | {
    "reinforce-gru": ("reinforce-cartpole", GRU),
    "a2c-gru": ("a2c-cartpole", GRU),
    "ppo-blind": ("ppo-cartpole", POSITIONS),
}

COLOURS = {
    "reinforce": "black",
    "vpg": "C7",
    "a2c": "C5",
    "a3c": "C6",
    "trust-region": "C4",
    "npg": "C3",
    "trpo": "C2",
    "ppo-kl": "C1",
    "ppo": "C0",
}

# Figures of the comparison: file, environment, label of every line.
COMPARISONS = {
    "cartpole": ("CartPole-v1", {f"{n}-cartpole": n for n in COLOURS}),
    "pendulum": ("Pendulum-v1", {f"{n}-pendulum": n for n in COLOURS}),
    "positions": (
        "CartPolePositions-v1",
        {f"{n}-frames": f"{n}, 4 frames" for n in COLOURS}
        | {"ppo-positions-frames": "ppo, 4 frames"}
        | {"reinforce-gru": "reinforce, GRU", "a2c-gru": "a2c, GRU", "ppo-positions": "ppo, GRU"}
        | {"ppo-blind": "ppo, no memory"},
    ),
}


def train(name, seed, out, program):
    """Trains one run into out/name/seed, unless it exists."""
    folder = out / name / str(seed)
    if (folder / "seconds.json").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    preset, settings = VARIANTS.get(name, (name, []))
    command = [program, "train", ROOT / f"configs/{preset}.toml", "--device", "flex", "--quiet"]
    command += ["--seed", str(seed), "--out", folder]
    for setting in settings:
        command += ["--set", setting]
    child = subprocess.Popen(command)
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        raise RuntimeError(f"{name}, seed {seed}: the run failed")
    seconds = usage.ru_utime + usage.ru_stime
    (folder / "seconds.json").write_text(json.dumps({"processor": seconds}))
    print(f"{name} {seed}: {seconds:.1f} s", flush=True)


class Run:
    """Reads metrics.csv: lists of steps, processor seconds and mean returns over 100 episodes."""

    def __init__(self, folder):
        with open(folder / "metrics.csv", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["episode_return_mean"]]
        self.env = re.search(r'^env = "(.*)"', (folder / "config.toml").read_text(), re.M)[1]
        self.seed = int(folder.name)
        self.steps = [int(row["env_steps"]) for row in rows]
        self.returns = [float(row["episode_return_mean"]) for row in rows]
        # The distribution of processor time over the run is unknown, so wall-clock time is scaled evenly.
        wall = [float(row["wall_s"]) for row in rows]
        self.processor_s = json.loads((folder / "seconds.json").read_text())["processor"]
        self.seconds = [w * self.processor_s / wall[-1] for w in wall]
        threshold = TASKS[self.env][0]
        full = (int(row["episodes"]) >= 100 for row in rows)
        reached = (s for s, r, f in zip(self.steps, self.returns, full) if f and r >= threshold)
        self.reached = next(reached, None)


def load(name, out):
    """All finished runs of a preset or variant, by seed."""
    folders = [f.parent for f in (out / name).glob("*/seconds.json")]
    return sorted((Run(f) for f in folders), key=lambda run: run.seed)


def at(xs, ys, x):
    """Interpolates ys at x, linearly between the points and constant beyond them."""
    if x <= xs[0]:
        return ys[0]
    for x0, x1, y0, y1 in zip(xs, xs[1:], ys, ys[1:]):
        if x <= x1:
            return y0 + (y1 - y0) * (x - x0) / max(x1 - x0, 1e-9)
    return ys[-1]


def curve(runs, axis):
    """Grid of 150 points, from the step at which every run has finished an episode, with mean, minimum and maximum return."""
    xs = [getattr(run, axis) for run in runs]
    low, high = max(x[0] for x in xs), statistics.mean(x[-1] for x in xs)
    grid = [low + (high - low) * i / 149 for i in range(150)]
    columns = [[at(x, run.returns, g) for x, run in zip(xs, runs)] for g in grid]
    return grid, [statistics.mean(c) for c in columns], [min(c) for c in columns], [max(c) for c in columns]


def thousands(x, _):
    return f"{x / 1000:,.0f}k" if x else "0"


def figure(env, xlabel):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FuncFormatter

    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    threshold, (low, high) = TASKS[env]
    fig, axes = plt.subplots(figsize=(6.4, 3.4), dpi=100, layout="constrained")
    axes.axhline(threshold, color="0.6", linewidth=0.8, linestyle="--")
    axes.set(xlabel=xlabel, ylabel="mean return, last 100 episodes", ylim=(low, high), title=env)
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    if "steps" in xlabel:
        axes.xaxis.set_major_formatter(FuncFormatter(thousands))
    return fig, axes


def save(fig, name):
    from matplotlib import pyplot as plt
    from PIL import Image

    IMAGES.mkdir(parents=True, exist_ok=True)
    picture = io.BytesIO()
    fig.savefig(picture)
    plt.close(fig)
    # 128 colours are enough, and reduce the size to a third.
    small = Image.open(picture).convert("RGB").quantize(128, method=Image.Quantize.MAXCOVERAGE)
    small.save(IMAGES / f"{name}.png", optimize=True)


def draw_preset(name, runs):
    """Plots the mean over seeds and the range between minimum and maximum."""
    fig, axes = figure(runs[0].env, "environment steps")
    grid, mean, low, high = curve(runs, "steps")
    axes.fill_between(grid, low, high, color="C0", alpha=0.2, linewidth=0, label="least to greatest")
    axes.plot(grid, mean, color="C0", label=f"mean of {len(runs)} seeds")
    axes.set_xlim(left=0)
    axes.legend(loc="lower right", frameon=False)
    axes.set_title(f"{name} on {runs[0].env}")
    save(fig, name)


def draw_comparison(name, env, lines, out):
    """Plots the mean over seeds of every line, against steps and against seconds."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    runs = {label: found for key, label in lines.items() if (found := load(key, out))}
    if not runs:
        return
    for axis, xlabel in [("steps", "environment steps"), ("seconds", "processor seconds")]:
        fig, axes = figure(env, xlabel)
        for label, runs_of in runs.items():
            grid, mean, _, _ = curve(runs_of, axis)
            algo, _, memory = label.partition(", ")
            style = {"GRU": ":", "no memory": "--"}.get(memory, "-")
            axes.plot(grid, mean, style, color=COLOURS[algo], linewidth=1.4, label=label)
        axes.set(xscale="log", xlim=(0.3 if axis == "seconds" else 5_000, None))
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_locator(NullLocator())
        text = (lambda x, _: f"{x:g}") if axis == "seconds" else thousands
        axes.xaxis.set_major_formatter(FuncFormatter(text))
        fig.legend(loc="outside right upper", frameon=False, fontsize=8)
        save(fig, f"compare-{name}-{axis}")


def number(x):
    return f"{x:,.1f}".replace("-", "−")


def reached_text(run):
    return f"{run.reached:,}" if run.reached else "never"


def seeds_table(runs):
    """Table with one row per seed."""
    threshold = number(TASKS[runs[0].env][0]).removesuffix(".0")
    lines = [f"| seed | {threshold} reached at step | final return | processor seconds |", "|---|---|---|---|"]
    lines += [
        f"| {r.seed} | {reached_text(r)} | {number(r.returns[-1])} | {r.processor_s:.0f} |" for r in runs
    ]
    return lines


def span(values, text):
    """Text: median (minimum to maximum)."""
    low, middle, high = text(min(values)), text(statistics.median(values)), text(max(values))
    return middle if low == high else f"{middle} ({low} to {high})"


def summary_row(first, runs):
    """Cells: `first`, number of seeds that reached the threshold and when, final returns, seconds."""
    reached = [r.reached for r in runs if r.reached]
    steps = span(reached, lambda x: f"{x / 1000:.0f}k") if reached else "–"
    seconds = span([r.processor_s for r in runs], lambda x: f"{x:.0f}")
    final = span([r.returns[-1] for r in runs], lambda x: f"{x:.0f}".replace("-", "−"))
    return f"| {first} | {runs[0].steps[-1] / 1000:.0f}k | {len(reached)} of {len(runs)} | {steps} | {final} | {seconds} |"


HEADING = [
    "| {} | steps | seeds that reached {} | at step | final return | processor seconds |",
    "|---|---|---|---|---|---|",
]


def heading(first, what):
    return [HEADING[0].format(first, what), HEADING[1]]


def write_block(path, key, lines):
    """Replaces the text between the two comments with this key."""
    start, end = f"<!-- results: {key} -->", "<!-- end of results -->"
    text = path.read_text()
    if start not in text:
        print(f"{path.relative_to(ROOT)} has no place for {key}")
        return
    before, rest = text.split(start, 1)
    after = rest.split(end, 1)[1]
    path.write_text(before + "\n".join([start, "", *lines, "", end]) + after)


def report(out):
    rows = {}
    for name in PRESETS:
        runs = load(name, out)
        if not runs:
            print(f"{name}: no runs")
            continue
        draw_preset(name, runs)
        threshold, _ = TASKS[runs[0].env]
        page = re.sub(r"-(cartpole|pendulum|positions|positions-frames)$", "", name)
        page = ROOT / ("docs/memory.md" if "positions" in name else f"docs/algorithms/{page}.md")
        picture = os.path.relpath(IMAGES / f"{name}.png", page.parent)
        command = f"`uphill train {name} --seed N`, {runs[0].steps[-1]:,} steps of {runs[0].env}:"
        write_block(page, name, [command, "", *seeds_table(runs), "", f"![{name}]({picture})"])
        rows[name] = summary_row(f"`{name}`", runs)
    first_rows = heading("preset", "475, or −200 on Pendulum")
    write_block(ROOT / "docs/results.md", "presets", [*first_rows, *rows.values()])
    highlights = [rows[name] for name in HIGHLIGHTS if name in rows]
    write_block(ROOT / "README.md", "highlights", [*first_rows, *highlights])
    for name, (env, lines) in COMPARISONS.items():
        draw_comparison(name, env, lines, out)
        rows = [summary_row(label, runs) for n, label in lines.items() if (runs := load(n, out))]
        threshold = number(TASKS[env][0]).removesuffix(".0")
        write_block(ROOT / "docs/comparison.md", name, heading("algorithm", threshold) + rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["run", "report"])
    parser.add_argument("names", nargs="*", help="presets or variants, otherwise all")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--out", type=Path, default=ROOT / "runs/results")
    parser.add_argument("--program", default=str(ROOT / "target/release/uphill"))
    args = parser.parse_intermixed_args()
    if args.what == "report":
        return report(args.out)
    names, seeds = args.names or [*PRESETS, *VARIANTS], range(1, args.seeds + 1)
    with ThreadPoolExecutor(args.jobs) as pool:
        jobs = [pool.submit(train, name, seed, args.out, args.program) for name in names for seed in seeds]
        for job in jobs:
            job.result()


if __name__ == "__main__":
    main()
