"""Axolotl's own environment, asked: its program, the probe, and what a configuration needs there."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from sera.errors import TrainError, boundary
from sera.training.axolotl import probe

_SECONDS = 900.0


def find_axolotl(python: Path) -> Path:
    """Its program beside that Python. Raises `TrainError` with how to make such an environment."""
    program = python.parent / "axolotl"
    if not program.is_file() and not shutil.which(str(program)):
        raise TrainError(
            f"there is no Axolotl beside {python}: make it an environment of its own, "
            f"python3 -m venv axo && axo/bin/pip install axolotl"
        )
    return program


def refuse_without_fork(python: Path, folder: Path) -> None:
    """Raises `TrainError` if Cut Cross Entropy is not there as Axolotl wants it, which it would say only once
    it has started on every GPU."""
    if not json.loads(ask(python, folder, "fork")[-1]):
        raise TrainError(
            f"Cut Cross Entropy needs the fork of it that {python} has not: pip install it from "
            f"github.com/axolotl-ai-cloud/ml-cross-entropy as Axolotl's documentation says, or take Liger's "
            f"loss, which computes the same, with --set axolotl.cut_cross_entropy=false"
        )


def ask(python: Path, folder: Path, question: str, *about: str) -> list[str]:
    """What the probe says, line by line. Raises `TrainError` if it fails."""
    said = run([str(python), str(Path(probe.__file__)), question, *about], folder)
    return said.rpartition(f"{probe.MARK}\n")[2].splitlines()


def run(argv: list[str], folder: Path) -> str:
    """What a program there says, without a GPU and a network. Raises `TrainError` with its last lines if it
    fails."""
    quiet = {
        "AXOLOTL_DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "WANDB_DISABLED": "true",
    }
    with boundary(TrainError, f"{argv[0]} cannot be run", OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            argv, cwd=folder, env={**os.environ, **quiet}, capture_output=True, text=True, timeout=_SECONDS
        )
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if line.strip()][-3:]
        raise TrainError(f"{' '.join(argv[:2])} ended with {done.returncode}: {' / '.join(last)}")
    return done.stdout
