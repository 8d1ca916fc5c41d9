"""The mistakes that there are, and those known to be none."""

import fnmatch
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# Folders of crates, and those whose tests have to notice a mistake there.
CRATES = {"cpu": ["cpu", "core"], "core": ["core"], "envs": ["envs"], "algos": ["algos"]}
# What runs on GPUs, where it is tested.
LEFT_OUT = ["*/device/*", "*/device_*.rs", "*/cohort.rs"]
# Wording of messages.
LEFT_OUT_FUNCTIONS = re.compile(r"\bfmt\b")


def mutants():
    """Every mistake that cargo-mutants can make here, with a number, its crate, and its key in equivalent.toml."""
    globs = [argument for crate in CRATES for argument in ("--file", f"crates/{crate}/src/**/*.rs")]
    command = ["cargo", "mutants", "--no-config", "--colors", "never", "--list", "--json", *globs]
    listed = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE)
    if listed.returncode:
        sys.exit("needs cargo-mutants: cargo install --locked cargo-mutants")
    found = []
    for mutant in json.loads(listed.stdout):
        left_out = any(fnmatch.fnmatch(mutant["file"], pattern) for pattern in LEFT_OUT)
        if not left_out and not LEFT_OUT_FUNCTIONS.search(mutant["name"]):
            crate = mutant["file"].split("/")[1]
            found.append(mutant | {"id": len(found) + 1, "crate": crate, "key": key(mutant)})
    return found


def key(mutant):
    """File, change, and the line with the place of the change in «»: all that stays when lines move."""
    start, end = mutant["span"]["start"], mutant["span"]["end"]
    line = (ROOT / mutant["file"]).read_text().splitlines()[start["line"] - 1]
    first = start["column"] - 1
    last = end["column"] - 1 if end["line"] == start["line"] else len(line)
    marked = f"{line[:first]}«{line[first:last]}»{line[last:]}".strip()
    return mutant["file"], mutant["name"].split(": ", 1)[1], marked


def equivalents():
    """Keys of the mistakes that are none."""
    groups = tomllib.loads((Path(__file__).parent / "equivalent.toml").read_text())["equivalent"]
    return {(group["file"], change, line) for group in groups for change, line in group["mutants"]}
