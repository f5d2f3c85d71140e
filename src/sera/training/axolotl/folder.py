"""The folder that Axolotl runs in: its configuration, the rows, and the command that starts it."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import msgspec

from sera.datasets.lines import json_line
from sera.errors import TrainError, boundary
from sera.training.axolotl.settings import (
    CONFIG,
    DEEPSPEED,
    HELD_OUT,
    OUTPUT,
    ROWS,
    TOKENIZER,
    Tree,
    axolotl_settings,
    deepspeed_settings,
    to_yaml,
)
from sera.training.config import DeviceConfig
from sera.training.contract import Job, Plan
from sera.training.rows import parted
from sera.training.tokenizer_files import write_tokenizer

LAUNCH = "launch.sh"
WHOLE = "whole"
_PORT = 29500
_LAUNCH = """\
#!/bin/sh
# Run in Axolotl's own environment, on {where}. Then run `sera train` again: it finishes the checkpoint.
set -eu
cd "$(dirname "$0")"
export AXOLOTL_DO_NOT_TRACK=1 HF_HUB_DISABLE_TELEMETRY=1
{command}
touch {output}/{whole}
"""


def write_folder(job: Job, plan: Plan, folder: Path) -> None:
    """Everything, written anew. Raises `TrainError` if the dataset's calls are not in its text: Axolotl's own
    way with structured ones is not proven."""
    if job.dataset.format == "raw":
        raise TrainError(
            "the dataset has structured calls, which Axolotl would lose: build it with --format hermes or xml"
        )
    settings = axolotl_settings(job, plan)
    with boundary(TrainError, f"Axolotl's files cannot be written to {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        write_config(folder / CONFIG, settings)
        (folder / TOKENIZER).mkdir(exist_ok=True)
        write_tokenizer(job, folder / TOKENIZER)
        if job.config.zero:
            text = msgspec.json.format(msgspec.json.encode(deepspeed_settings(job.config.zero)), indent=2)
            (folder / DEEPSPEED).write_bytes(text + b"\n")
        write_rows(folder / ROWS, parted(job, held_out=False))
        if job.config.held_out:
            write_rows(folder / HELD_OUT, parted(job, held_out=True))
        (folder / LAUNCH).write_text(_script(job.config.device), "utf-8")


def write_config(file: Path, settings: Tree) -> None:
    """As YAML."""
    file.write_text(to_yaml(settings), "utf-8")


def write_rows(file: Path, rows: Iterator[Tree]) -> None:
    """As JSON Lines: role, content and whether it is trained."""
    with file.open("wb") as opened:
        for row in rows:
            turns = [{key: turn[key] for key in ("role", "content", "train")} for turn in row["messages"]]
            opened.write(json_line({"messages": turns}))


def launch_command(device: DeviceConfig) -> str:
    """Of one machine, or of each of several, which find each other at `$HEAD`, the address of the first."""
    words = ["axolotl", "train", CONFIG]
    if device.gpus * device.nodes == 1:
        return shlex.join([*words, "--launcher", "python"])
    words += ["--launcher", "torchrun", "--", f"--nproc_per_node={device.gpus}"]
    if device.nodes == 1:
        return shlex.join(words)
    meeting = [f"--nnodes={device.nodes}", "--rdzv_id=sera", "--rdzv_backend=c10d"]
    return f'{shlex.join([*words, *meeting])} --rdzv_endpoint="$HEAD:{_PORT}"'


def _script(device: DeviceConfig) -> str:
    where = (
        f"each of {device.nodes} machines that share this folder, with HEAD=<address of the first>"
        if device.nodes > 1
        else "one machine"
    )
    return _LAUNCH.format(where=where, command=launch_command(device), output=OUTPUT, whole=WHOLE)
