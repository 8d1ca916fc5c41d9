"""Which tests come by a mistake, and whether one of them notices it."""

import os
import re
import subprocess
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

from listing import CRATES
from planting import TREE, WORK

# Whole trainings take too long to be repeated for every mistake.
LEFT_OUT = re.compile(r"solves::|probe_matrix::")
WORKERS = os.cpu_count() or 1


def run(program, tests, limit, **environment):
    """Exit code of tests of one program; None if they do not end."""
    crate, _, executable = program
    try:
        return subprocess.run(
            [executable, "--exact", "--test-threads=1", *tests],
            cwd=TREE / "crates" / crate,
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=limit,
        ).returncode
    except subprocess.TimeoutExpired:
        return None


def coverage(programs, crates):
    """Tests for mistakes in `crates`, with the places that they come by and the seconds that they take, quickest first."""
    wanted = {by for crate in crates for by in CRATES[crate]}
    tests = []
    for program in programs:
        if program[0] not in wanted:
            continue
        listed = subprocess.run([program[2], "--list", "--format", "terse"], text=True, stdout=subprocess.PIPE).stdout
        names = [line.removesuffix(": test") for line in listed.splitlines() if line.endswith(": test")]
        tests += [(program, name) for name in names if not LEFT_OUT.search(name)]
    print(f"{len(tests)} tests", flush=True)

    def alone(numbered):
        number, (program, name) = numbered
        record = WORK / f"places-{number}"
        record.unlink(missing_ok=True)
        begin = time.monotonic()
        code = run(program, [name], 600, MISTAKES_SEEN=str(record))
        if code != 0:
            print(f"fails without a mistake, left out: {name}", flush=True)
            return None
        places = set(map(int, record.read_text().split())) if record.exists() else set()
        return {"program": program, "name": name, "places": places, "seconds": time.monotonic() - begin}

    with ThreadPoolExecutor(WORKERS) as pool:
        return sorted(filter(None, pool.map(alone, enumerate(tests))), key=lambda test: test["seconds"])


def outcomes(mutants, tests):
    """What became of each mistake: found, endless, missed, or no test comes by."""
    by_place = defaultdict(list)
    for test in tests:
        for place in test["places"]:
            by_place[place].append(test)

    def outcome(mutant):
        may_notice = [t for t in by_place[mutant["place"]] if t["program"][0] in CRATES[mutant["crate"]]]
        for group in groups(may_notice):
            seconds = sum(test["seconds"] for test in group)
            names = [test["name"] for test in group]
            code = run(group[0]["program"], names, 15 + 8 * seconds, MISTAKE=str(mutant["id"]))
            if code != 0:
                return "endless" if code is None else "found"
        return "missed" if may_notice else "no test comes by"

    became = {}
    with ThreadPoolExecutor(WORKERS) as pool:
        for mutant, what in zip(mutants, pool.map(outcome, mutants)):
            became[mutant["id"]] = what
            if len(became) % 100 == 0:
                print(f"{len(became)} of {len(mutants)}", flush=True)
    return became


def groups(tests):
    """Tests of one program to run together: few quick ones first, then more and more seconds at a time."""
    seconds, most = 0, 0.5
    group = []
    for test in tests:
        together = group and group[0]["program"] == test["program"] and seconds + test["seconds"] <= most
        if group and not together:
            yield group
            group, seconds, most = [], 0, min(1.5 * most, 15)
        group.append(test)
        seconds += test["seconds"]
    if group:
        yield group
