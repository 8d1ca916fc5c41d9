"""The peer in Rust: rl4burn, a crate of reinforcement learning on an earlier Burn, with its own CartPole."""

import json
import shutil
import subprocess
from pathlib import Path

from failure import Failure, last_words

KEY = "rust"
NAME = "rl4burn"
PIN = "rl4burn==0.1.1"
PACKAGE = Path(__file__).resolve().parent / "rust_peer"


def build(folder, say):
    """The program, built in `folder` from a copy of the package, which is not part of this workspace."""
    if shutil.which("cargo") is None:
        raise Failure("cargo is not there")
    say(f"building {PIN} in {folder}; the first time takes minutes")
    source = folder / "source"
    shutil.copytree(PACKAGE, source, dirs_exist_ok=True)
    command = ["cargo", "build", "--locked", "--release", "--quiet", "--manifest-path", source / "Cargo.toml"]
    done = subprocess.run([*command, "--target-dir", folder], stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise Failure(f"it does not build: {last_words(done.stderr)}")
    return folder / "release/rust_peer"


def arguments(work):
    return [json.dumps(work)]


def why_not(workload, work):
    """Reason why it cannot run a workload; empty if it can."""
    if work["env"] != "CartPole-v1":
        return "its PPO is for choices, and CartPole is what it has of them"
    return "trains one agent at a time" if workload.agents > 1 else ""
