"""Runs the same work in Uphill and in other stacks, in turn, on this machine, and prints one table.

    cargo build --release
    python3 scripts/bench_peers                             # all workloads and peers, 6 to 7 minutes
    python3 scripts/bench_peers --workloads a,e --peers jax # some of them
    python3 scripts/bench_peers --full --rounds 5           # longer runs, and more of them
    python3 scripts/bench_peers --device cuda,wgpu --peers jax-cuda --workloads b --envs 4096   # on a GPU
    python3 scripts/bench_peers --json > peers.json

Needs Python 3.11 with its module venv and, the first time, a network: pinned versions of the peers go into a virtual
environment of their own, and the one in Rust is built, which takes some minutes more. Workloads are
configs/bench-*.toml; the peers, written for this comparison, are in workers/ and rust_peer/. Leave the machine alone
meanwhile. What cannot be installed, or fails, is left out and said so.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

if sys.version_info < (3, 11):
    sys.exit(f"error: this is Python {platform.python_version()}; at least 3.11 is needed")

import rust
from failure import Failure
from running import run_script, run_uphill, run_worker, uphill_trains_many
from stacks import ON_CPU, STACKS, install, make_venv
from table import summary, table
from workloads import ROOT, WORKLOADS, settings

QUIET = 0.5  # load average beyond which others disturb the measurement


def main():
    args = arguments()
    try:
        check(args)
        left_out = []
        programs = available(args, left_out)
        results = measure(args, programs, left_out)
    except Failure as failure:
        say(f"error: {failure}")
        return 1
    except KeyboardInterrupt:
        return 130
    if args.json:
        report = {"machine": machine(), "versions": versions(args, programs), "left_out": left_out}
        print(json.dumps(report | {"workloads": results}, indent=1))
    else:
        print(" · ".join([*machine().values(), *versions(args, programs)]), end="\n\n")
        print(table(results))
        for line in left_out:
            print(f"\nLeft out: {line}")
    return 0


# Command line


def arguments():
    about, _, more = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python3 scripts/bench_peers",
        description=about,
        epilog=more,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    peers = [*STACKS, rust.KEY]
    option = parser.add_argument
    option("--workloads", metavar="A,..", type=names_of(WORKLOADS), default=",".join(WORKLOADS),
           help=f"some of {', '.join(WORKLOADS)} [default: %(default)s]")
    option("--peers", metavar="A,..", type=names_of(peers),
           default=",".join([*ON_CPU, rust.KEY]),
           help=f"some of {', '.join(peers)} [default: %(default)s]")
    option("--rounds", metavar="N", type=positive, default=3,
           help="runs of every program, in turn [default: %(default)s]")
    option("--steps", metavar="N", type=positive,
           help="environment steps per run and agent [default: as many as take seconds, fewer for slow peers]")
    option("--full", action="store_true", help="as many steps as the configuration has, but for slow peers")
    option("--threads", metavar="N", type=positive, default=0,
           help="threads of PyTorch [default: its own choice]")
    option("--uphill", metavar="PATH", type=Path, default=ROOT / "target/release/uphill",
           help="program to compare [default: target/release/uphill]")
    option("--envs", metavar="N", type=positive, help="copies of the environment [default: the configuration's]")
    option("--device", metavar="D,..", default="flex",
           help="devices of Uphill; the peers compute on the CPU, but for jax-cuda [default: %(default)s]")
    option("--venv", metavar="DIR", type=Path, default=ROOT / "target/bench-peers-venv",
           help="where the peers are installed [default: target/bench-peers-venv]")
    option("--json", action="store_true", help="print every run as one JSON object instead of the table")
    return parser.parse_args()


def names_of(known):
    """A parser of names separated by commas."""

    def parse(text):
        names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            problem = f"{', '.join(unknown)}: unknown, there are" if unknown else "name at least one of"
            raise argparse.ArgumentTypeError(f"{problem} {', '.join(known)}")
        return names

    return parse


def positive(text):
    number = int(text) if text.replace("_", "").isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return number


def check(args):
    """Everything that can be wrong before something is installed."""
    if not os.access(args.uphill, os.X_OK) or args.uphill.is_dir():
        raise Failure(f"{args.uphill} is no program: run cargo build --release, or give --uphill PATH")
    for name in args.workloads:
        settings(WORKLOADS[name])
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > QUIET:
        say(f"warning: the load average is {os.getloadavg()[0]:.1f}; other programs disturb the measurement")


def say(line):
    print(line, file=sys.stderr, flush=True)


# Measuring


def available(args, left_out):
    """What can run here, name → function of (workload, work); adds what cannot to `left_out`."""
    devices = args.device.split(",")
    found = {
        "Uphill" if len(devices) == 1 else f"Uphill on {device}":
            lambda workload, work, device=device: run_uphill(args.uphill, device, workload, work)
        for device in devices
    }
    for key in args.peers:
        name = STACKS[key].name if key in STACKS else rust.NAME
        try:
            if key in STACKS:
                python = make_venv(args.venv, say)
                install(python, STACKS[key], say)
                found[name] = lambda _, work, python=python, stack=STACKS[key]: run_script(python, stack, work)
            else:
                program = rust.build(ROOT / "target/bench-peers-rust", say)
                found[name] = lambda _, work: run_worker([program, *rust.arguments(work)])
        except Failure as failure:
            left_out.append(f"{name}, everywhere: {failure}")
            say(f"left out: {left_out[-1]}")
    if len(found) == len(devices):
        raise Failure("there is nothing to compare with")
    return found


def why_not(args, name, workload):
    """Why a program does not do a workload; empty if it does."""
    stack = next((stack for stack in STACKS.values() if stack.name == name), None)
    if name.startswith("Uphill"):
        many = workload.agents == 1 or uphill_trains_many(args.uphill)
        return "" if many else "this build has no train --seeds"
    if stack is None:
        return rust.why_not(workload, settings(workload))
    return "" if workload.agents == 1 or stack.many_agents else "trains one agent at a time"


def measure(args, programs, left_out):
    """All runs, programs taking turns: workload → program → summary."""
    slow = {stack.name for stack in STACKS.values() if stack.slow} | {rust.NAME}
    results = {}
    for key in args.workloads:
        workload = WORKLOADS[key]
        runs = {}
        for name in programs:
            reason = why_not(args, name, workload)
            if reason:
                left_out.append(f"{name}, workload {key}: {reason}")
            else:
                runs[name] = []
        for round_ in range(args.rounds):
            order = list(runs)
            for name in order[round_ % len(order):] + order[: round_ % len(order)]:
                work = settings(workload) | {"seed": round_ + 1, "threads": args.threads}
                work["num_envs"] = args.envs or work["num_envs"]
                work["total_steps"] = steps_of(args, workload, work, name in slow)
                try:
                    run = programs[name](workload, work)
                except Failure as failure:
                    left_out.append(f"{name}, workload {key}: {failure}")
                    say(f"left out: {left_out[-1]}")
                    del runs[name]
                    continue
                runs[name].append(run)
                rate = run["env_steps"] / run["run_s"][-1]
                say(f"{key} round {round_ + 1}: {name} {rate:,.0f} env steps/s")
        results[key] = {name: summary(of_program) for name, of_program in runs.items()}
    return results


def steps_of(args, workload, work, slow):
    """Environment steps of one run and agent."""
    if args.steps:
        return args.steps
    if slow:
        return workload.slow_steps
    return work["total_steps"] if args.full else workload.steps


# Circumstances


def machine():
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "processor": f"{processor()}, {os.cpu_count()} logical CPUs",
        "system": platform.platform(),
    }


def processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def versions(args, programs):
    uphill = subprocess.run([args.uphill, "--version"], capture_output=True, text=True).stdout.strip()
    pins = [pin for stack in STACKS.values() if stack.name in programs for pin in stack.requirements]
    crate = [rust.PIN] if rust.NAME in programs else []
    return [f"{uphill} on {args.device}", f"Python {platform.python_version()}", *dict.fromkeys(pins), *crate]


if __name__ == "__main__":
    sys.exit(main())
