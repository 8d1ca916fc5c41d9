"""Benchmark of Uphill against other stacks: runs the same work in turn on this machine and prints a table.

    cargo build --release
    python3 scripts/bench_peers                             # all workloads and peers, 6 to 7 minutes
    python3 scripts/bench_peers --workloads a,e --peers jax # some of them
    python3 scripts/bench_peers --full --rounds 5           # longer runs, and more of them
    python3 scripts/bench_peers --device cuda,wgpu --peers jax-cuda --workloads b --envs 4096   # on a GPU
    python3 scripts/bench_peers --json > peers.json

Needs Python 3.11 with its module venv and, the first time, a network: pinned versions of the peers go into a virtual
environment of their own, and the one in Rust is built, which takes some minutes more. Workloads are
configs/bench-*.toml; the peers, written for this comparison, are in workers/ and rust_peer/. The machine should be idle
otherwise. Programs that cannot be installed, or fail, are left out and named.

Exit codes: 0 done, 1 something requested failed (the table contains the rest), 2 usage, 130 interrupted.
"""

import argparse
import json
import os
import platform
import re
import sys
from datetime import datetime, timezone
from pathlib import Path

if sys.version_info < (3, 11):
    sys.exit(f"error: this is Python {platform.python_version()}; at least 3.11 is needed")

import rust
from failure import Failure, Misuse
from running import CPU_DEVICES, ENOUGH, PATIENCE, WARM_UP
from running import rate, run_script, run_uphill, run_worker, uphill_on, uphill_trains_many
from stacks import ON_CPU, STACKS, install, make_venv
from table import summary, table
from workloads import ROOT, WORKLOADS, settings

QUIET = 0.5  # load average beyond which others disturb the measurement
DEVICE = re.compile(r"flex|ndarray|(wgpu|cuda)(:\d+)?")


def main():
    args = arguments()
    try:
        check(args)
        builds = uphill_builds(args)
        left_out = LeftOut()
        programs = available(args, left_out)
        results = measure(args, programs, left_out)
    except Misuse as misuse:
        say(f"error: {misuse}")
        return 2
    except Failure as failure:
        say(f"error: {failure}")
        return 1
    except KeyboardInterrupt:
        return 130
    if args.json:
        print(json.dumps(as_json(args, builds, programs, left_out, results), indent=1))
    else:
        print(" · ".join([*machine().values(), *versions(builds, programs)]), end="\n\n")
        if any(results.values()):
            print(table(results))
        for line in left_out.lines:
            print(f"\nLeft out: {line}")
    return 1 if left_out.failed else 0


class LeftOut:
    """Programs that are missing from the table, and whether they were requested."""

    def __init__(self):
        self.lines = []
        self.failed = False

    def skip(self, line):
        self.lines.append(line)

    def fail(self, line):
        say(f"left out: {line}")
        self.lines.append(line)
        self.failed = True


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
    option("--device", metavar="D,..", type=devices, default="flex",
           help="devices of Uphill; the peers compute on the CPU, but for jax-cuda [default: %(default)s]")
    option("--timeout", metavar="S", type=positive, default=PATIENCE,
           help="seconds after which a run is given up [default: %(default)s]")
    option("--venv", metavar="DIR", type=Path, default=ROOT / "target/bench-peers-venv",
           help="where the peers are installed [default: target/bench-peers-venv]")
    option("--json", action="store_true", help="print every run as one JSON object instead of the table")
    return parser.parse_args()


def names_of(known):
    """Parser for names separated by commas."""

    def parse(text):
        names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            problem = f"{', '.join(unknown)}: unknown, there are" if unknown else "name at least one of"
            raise argparse.ArgumentTypeError(f"{problem} {', '.join(known)}")
        return names

    return parse


def devices(text):
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if not DEVICE.fullmatch(name)]
    if unknown or not names:
        problem = f"{', '.join(unknown)}: unknown, there are" if unknown else "name at least one of"
        raise argparse.ArgumentTypeError(f"{problem} {', '.join(CPU_DEVICES)}, wgpu[:N], cuda[:N]")
    return names


def positive(text):
    number = int(text) if text.replace("_", "").isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return number


def check(args):
    """Checks everything that can be wrong before something is installed."""
    if not os.access(args.uphill, os.X_OK) or args.uphill.is_dir():
        raise Failure(f"{args.uphill} is no program: run cargo build --release, or give --uphill PATH")
    for name in args.workloads:
        batch = batch_of(work_of(args, WORKLOADS[name]))
        if warms_up(args) and args.steps and args.steps <= WARM_UP * batch:
            raise Misuse(
                f"workload {name} makes {batch:,} steps in an iteration, and on such a device the first {WARM_UP} are "
                f"warm-up: --steps has to be above {WARM_UP * batch:,}"
            )
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > QUIET:
        say(f"warning: the load average is {os.getloadavg()[0]:.1f}; other programs disturb the measurement")


def say(line):
    print(line, file=sys.stderr, flush=True)


# Measuring


def uphill_builds(args):
    """Uphill on every device, each of which must be usable: a table without Uphill compares nothing."""
    builds = []
    for device in args.device:
        try:
            builds.append(uphill_on(args.uphill, device, WORKLOADS[args.workloads[0]], args.timeout))
        except Failure as failure:
            raise Failure(f"Uphill on {device}: {failure}") from failure
    return builds


def available(args, left_out):
    """Programs that can run here, name → function of (workload, work); adds the others to `left_out`."""
    found = {
        "Uphill" if len(args.device) == 1 else f"Uphill on {device}":
            lambda workload, work, device=device: run_uphill(args.uphill, device, workload, work, args.timeout)
        for device in args.device
    }
    for key in args.peers:
        name = STACKS[key].name if key in STACKS else rust.NAME
        try:
            if key in STACKS:
                python = make_venv(args.venv, say)
                install(python, STACKS[key], say)
                found[name] = lambda _, work, python=python, stack=STACKS[key]: run_script(
                    python, stack, work, args.timeout
                )
            else:
                program = rust.build(ROOT / "target/bench-peers-rust", say)
                found[name] = lambda _, work: run_worker([program, *rust.arguments(work)], args.timeout)
        except Failure as failure:
            left_out.fail(f"{name}, everywhere: {failure}")
    if len(found) == len(args.device):
        raise Failure("there is nothing to compare with")
    return found


def why_not(args, name, workload):
    """Reason why a program cannot run a workload; empty if it can."""
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
                left_out.skip(f"{name}, workload {key}: {reason}")
            else:
                runs[name] = []
        for round_ in range(args.rounds):
            order = list(runs)
            first = round_ % max(1, len(order))
            for name in order[first:] + order[:first]:
                work = work_of(args, workload) | {"seed": round_ + 1, "threads": args.threads}
                work["total_steps"] = steps_of(args, workload, work, name in slow)
                try:
                    run = programs[name](workload, work)
                except Failure as failure:
                    left_out.fail(f"{name}, workload {key}: {failure}")
                    del runs[name]
                    continue
                runs[name].append(run | {key: work[key] for key in ("seed", "num_envs", "total_steps")})
                say(f"{key} round {round_ + 1}: {name} {rate(run):,.0f} env steps/s")
        results[key] = {name: summary(of_program) for name, of_program in runs.items()}
    return results


def work_of(args, workload):
    """Settings of the configuration, with the requested number of copies."""
    work = settings(workload)
    return work | {"num_envs": args.envs or work["num_envs"]}


def batch_of(work):
    """Environment steps of an iteration."""
    return work["num_envs"] * work["steps"]


def warms_up(args):
    """Whether the first iterations do not count because Uphill runs on a device other than a CPU."""
    return any(device not in CPU_DEVICES for device in args.device)


def steps_of(args, workload, work, slow):
    """Environment steps of one run and agent; equal for all programs that may run on a GPU."""
    if args.steps:
        return args.steps
    if slow:
        return workload.slow_steps
    steps = work["total_steps"] if args.full else workload.steps
    on_gpu = warms_up(args) or "jax-cuda" in args.peers
    return max(steps, ENOUGH * batch_of(work)) if on_gpu else steps


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


def versions(builds, programs):
    first = builds[0]
    uphill = f"uphill {first.version} ({first.commit or 'commit unknown'}) on {', '.join(b.device for b in builds)}"
    pins = [pin for stack in STACKS.values() if stack.name in programs for pin in stack.requirements]
    crate = [rust.PIN] if rust.NAME in programs else []
    return [uphill, f"Python {platform.python_version()}", *dict.fromkeys(pins), *crate]


def as_json(args, builds, programs, left_out, results):
    """All data: the request, machine and versions, and every run."""
    works = {key: work_of(args, WORKLOADS[key]) for key in args.workloads}
    return {
        "machine": machine(),
        "uphill": {
            "version": builds[0].version,
            "commit": builds[0].commit,
            "adapters": {build.device: build.adapter for build in builds},
        },
        "versions": versions(builds, programs),
        "rounds": args.rounds,
        "threads": args.threads or None,  # of PyTorch, by its own choice
        # The number of steps of a run differs between programs and is listed with each.
        "settings": {key: {name: work[name] for name in work if name != "total_steps"} for key, work in works.items()},
        "left_out": left_out.lines,
        "workloads": results,
    }


if __name__ == "__main__":
    sys.exit(main())
