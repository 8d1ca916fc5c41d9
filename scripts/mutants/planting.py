"""A copy of the tree with all mistakes in one program, and its tests."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from listing import CRATES, ROOT

WORK = ROOT / "target" / "mutants"
TREE = WORK / "tree"
HERE = Path(__file__).parent
# Mistakes are many more branches; optimising them much takes longer than it saves.
FLAGS = ["--release", "--no-default-features", "--features", "flex"]
for crate in CRATES:
    FLAGS += ["--config", f"profile.release.package.uphill-{crate}.opt-level=1"]
ENVIRONMENT = os.environ | {"CARGO_TARGET_DIR": str(WORK / "build"), "CARGO_INCREMENTAL": "1", "RUSTFLAGS": "-Awarnings"}


def plant(mutants):
    """Plants all that compile; returns the place of each by its number. Several mistakes share a place."""
    planter = WORK / "planter" / "debug" / "plant"
    command = ["cargo", "build", "--quiet", "--manifest-path", HERE / "plant" / "Cargo.toml"]
    subprocess.run(command, check=True, env=os.environ | {"CARGO_TARGET_DIR": str(WORK / "planter")})
    while True:
        copy_tree()
        chosen = WORK / "chosen.json"
        chosen.write_text(json.dumps(mutants))
        placed = subprocess.run([planter, TREE, chosen], check=True, text=True, stdout=subprocess.PIPE).stdout
        places = {int(number): int(place) for number, place in (line.split() for line in placed.splitlines())}
        checked = cargo("check", "--keep-going")
        if checked.returncode == 0:
            return places
        bad = set()
        for message in messages(checked, "compiler-message"):
            if message["message"]["level"] == "error":
                bad |= culprits(message["message"], places)
        if not bad:
            sys.exit("what was planted does not compile, for a reason that was not understood: see cargo check in " + str(TREE))
        print(f"{len(places)} planted, {len(bad)} of them do not compile", flush=True)
        mutants = [mutant for mutant in mutants if mutant["id"] not in bad]


def build():
    """Crate, name and path of the programs that test."""
    built = cargo("test", "--no-run", "--lib", "--tests")
    if built.returncode:
        sys.exit("the tests do not compile")
    artifacts = [a for a in messages(built, "compiler-artifact") if a.get("executable") and a["profile"]["test"]]
    return [(Path(a["manifest_path"]).parent.name, a["target"]["name"], a["executable"]) for a in artifacts]


def copy_tree():
    """The tracked files of the four crates and what they need, with the switch at the end of the lowest crate."""
    shutil.rmtree(TREE / "crates", ignore_errors=True)
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE).stdout
    for file in filter(None, files.split("\0")):
        if (ROOT / file).is_file():
            (TREE / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, TREE / file)
    workspace = TREE / "Cargo.toml"
    workspace.write_text(workspace.read_text().replace(', "crates/runner", "examples"', ""))
    algos = TREE / "crates" / "algos" / "Cargo.toml"
    core = "uphill-core.workspace = true\n"
    algos.write_text(algos.read_text().replace(core, core + "uphill-cpu.workspace = true\n"))
    with open(TREE / "crates" / "cpu" / "src" / "lib.rs", "a") as lib:
        lib.write("\n" + (HERE / "switch.rs").read_text())


def cargo(command, *arguments):
    return subprocess.run(
        ["cargo", command, "--workspace", "--message-format", "json", *FLAGS, *arguments],
        cwd=TREE,
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def messages(run, reason):
    lines = (json.loads(line) for line in run.stdout.splitlines() if line.startswith("{"))
    return [line for line in lines if line["reason"] == reason]


def culprits(message, places):
    """Numbers of the mistakes that an error points at: the one on its line, or all of the nearest place before it."""
    spans = [span for span in message["spans"] if span["is_primary"]] + message["spans"]
    spans += [span for child in message["children"] for span in child["spans"]]
    if message["code"] and message["code"]["code"] == "E0004":
        # A match whose last arm is left out.
        return arms_after(spans[0], places)
    for span in spans:
        # What a macro made stands where the macro was called.
        while span["expansion"] and not span["file_name"].startswith("crates/"):
            span = span["expansion"]["span"]
        file = TREE / span["file_name"]
        if not file.is_file():
            continue
        lines = file.read_text().splitlines()
        for line in lines[span["line_start"] - 1 : span["line_end"]]:
            marked = re.match(r"/\*M(\d+)\*/", line)
            if marked and span["line_end"] - span["line_start"] < 3:
                return {int(marked[1])}
        before = [*lines[: span["line_start"] - 1], lines[span["line_start"] - 1][: span["column_start"] - 1]]
        for line in reversed(before[-30:]):
            marked = re.findall(r"/\*[SM](\d+)\*/", line)
            if marked:
                place = places.get(int(marked[-1]), int(marked[-1]))
                return {number for number, own in places.items() if own == place}
    return set()


def arms_after(span, places):
    """All mistakes at arms of the match that begins at `span`."""
    lines = (TREE / span["file_name"]).read_text().splitlines()[span["line_start"] - 1 :]
    indent = len(lines[0]) - len(lines[0].lstrip())
    found = set()
    for line in lines[1:]:
        if line.startswith(" " * indent + "}"):
            break
        found |= {int(number) for number in re.findall(r"/\*A(\d+)\*/", line)}
    return {number for number, place in places.items() if place in found}
