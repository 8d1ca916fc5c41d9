"""The peers in Python and their virtual environment."""

import importlib.util
import os
import subprocess
import sys
from typing import NamedTuple

from failure import Failure, last_words

NUMPY = "numpy==2.4.6"
TORCH = "torch==2.15.0"
JAX = ["jax==0.10.2", "jaxlib==0.10.2", NUMPY]
# The error is the last line of a program's output, not a note about tracebacks.
LAST_LINE = {"JAX_TRACEBACK_FILTERING": "off"}


class Stack(NamedTuple):
    """Another way to do the work: a script in workers/ and the packages that it needs."""

    name: str
    script: str
    requirements: list[str]
    slow: bool = False  # does a workload's `slow_steps`
    many_agents: bool = False  # can train several at once
    environment: dict[str, str] = {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""} | LAST_LINE


STACKS = {
    "sb3": Stack(
        "Stable-Baselines3",
        "ppo_sb3.py",
        [TORCH, NUMPY, "gymnasium==1.4.0", "stable-baselines3==2.9.2"],
        slow=True,
    ),
    "torch": Stack("PyTorch", "ppo_torch.py", [TORCH, NUMPY], slow=True),
    "jax": Stack("JAX", "ppo_jax.py", JAX, many_agents=True),
    "jax-cuda": Stack(
        "JAX on CUDA",
        "ppo_jax.py",
        [*JAX, "jax-cuda12-plugin[with-cuda]==0.10.2"],
        many_agents=True,
        # JAX's default there is TF32, which has 10 of float's 23 bits.
        environment={"JAX_PLATFORMS": "cuda", "JAX_DEFAULT_MATMUL_PRECISION": "highest"} | LAST_LINE,
    ),
}
# Stacks that need a GPU run only on request.
ON_CPU = [key for key in STACKS if key != "jax-cuda"]


def make_venv(folder, say):
    """The interpreter of the virtual environment in `folder`, which is created if it does not exist."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
            raise Failure("this Python has no venv module; on Debian and Ubuntu it is the package python3-venv")
        say(f"making a virtual environment in {folder}")
        run([sys.executable, "-m", "venv", folder], "making a virtual environment")
    return python


def install(python, stack, say):
    """Installs missing requirements of a stack."""
    missing = [r for r in stack.requirements if installed_version(python, r) != r.partition("==")[2]]
    if not missing:
        return
    say(f"installing {' '.join(missing)}")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, *missing], f"installing {' '.join(missing)}", why_not_installed)


def why_not_installed(output):
    """Meaning of pip's output: it reports an unreachable server in warnings, and in the end that it found nothing."""
    words = last_words(output)
    lost = ("connection broken", "Could not fetch URL", "timed out", "name resolution")
    if any(sign in output for sign in lost):
        return f"the package registry could not be reached; is there a network? ({words})"
    if "No matching distribution" in words:
        return f"{words}; either the package registry could not be reached or it has none for this Python and system"
    return words


def installed_version(python, requirement):
    """The version of a requirement's package without what follows a plus sign; empty if it is not there."""
    package = requirement.partition("==")[0].partition("[")[0]
    code = f"import importlib.metadata as m; print(m.version({package!r}).partition('+')[0])"
    return subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip()


def run(command, what, why=last_words):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise Failure(f"{what} failed: {why(done.stdout)}")
