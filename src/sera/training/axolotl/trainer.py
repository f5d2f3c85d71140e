"""The paper's trainer. It runs in an environment of its own, since its pins are nobody else's.

With `axolotl.python` it is started at once, on this machine. Without, its folder is written, `Halted` tells
the command, and the next call finishes what has been trained by then. A run that was interrupted is gone on
from by Axolotl itself, from its last state.
"""

import json
import os
import signal
import subprocess
from functools import partial
from pathlib import Path

from sera.errors import Halted, TrainError, boundary
from sera.training.axolotl.asking import refuse_without_fork
from sera.training.axolotl.folder import LAUNCH, WHOLE, write_folder
from sera.training.axolotl.settings import OUTPUT
from sera.training.config import TrainConfig
from sera.training.contract import Bytes, Job, Plan, Progress, Step
from sera.training.folder import Metrics

_FOLDER = "axolotl"
_LOG = "axolotl.log"
_LINES = 3
_TILE = (2048, 1 << 20)
"""Positions, and entries of the vocabulary, whose logits Liger has at once: at most."""


class AxolotlTrainer:
    """See the module."""

    name = "axolotl"
    most_devices = 4096

    def bytes_of(self, config: TrainConfig) -> Bytes:
        """Weights in 16 bits; with DeepSpeed gradients too, and a master copy and AdamW's two in 32, spread
        as the stage says; an adapter's are too few for that to matter. Its losses look at a piece of the
        positions, and the whole vocabulary. DeepSpeed's states have the weights twice: as Axolotl saves
        them, and as it does."""
        devices = config.device.gpus * config.device.nodes
        every = partial(
            Bytes, state=16.0 if config.zero else 12.0, activation=2.0, stream=2.0, tile=_TILE, logit=8.0
        )
        if config.lora:
            held = 0.6 if config.lora.quantized else 2.0
            return every(weight=held, gradient=4.0, optimizer=8.0)
        if config.zero == 3:
            spread = [part / devices for part in (2.0, 2.0, 12.0)]
            return every(weight=spread[0], gradient=spread[1], optimizer=spread[2], layers_gathered=2)
        if config.zero == 1:
            return every(weight=2.0, gradient=2.0, optimizer=12.0 / devices)
        return every(weight=4.0, gradient=4.0, optimizer=8.0, stream=4.0, copy=2.0)

    def train(self, job: Job, plan: Plan, out: Path, progress: Progress) -> Path:
        """Write the folder, and run it if there is something to run it with."""
        folder = out / _FOLDER
        output = folder / OUTPUT
        if not (output / WHOLE).exists():
            write_folder(job, plan, folder)
            if not job.config.axolotl.python:
                raise Halted(
                    f"Axolotl's files are in {folder}: run sh {folder / LAUNCH} in its environment, "
                    f"then this "
                    f"command again to finish the checkpoint"
                )
            python = Path(job.config.axolotl.python)
            if job.config.axolotl.cut_cross_entropy:
                refuse_without_fork(python, folder)
            progress.begin(plan, 0)
            _run(python, folder, out / _LOG)
        _read_figures(output, Metrics(out, 0), progress)
        return output


def _run(python: Path, folder: Path, log: Path) -> None:
    """The launch script, with this environment's programs first. An interrupt reaches it, and ends it."""
    environment = {**os.environ, "PATH": f"{python.parent}:{os.environ.get('PATH', '')}"}
    with boundary(TrainError, f"Axolotl cannot be started with {python}"), log.open("ab") as told:
        process = subprocess.Popen(
            ["/bin/sh", LAUNCH], cwd=folder, env=environment, stdout=told, stderr=told, start_new_session=True
        )
        try:
            code = process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            raise
    if code:
        lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()][-_LINES:]
        raise TrainError(f"Axolotl ended with {code}: {' / '.join(lines)}. All it said is in {log}")


def _read_figures(output: Path, metrics: Metrics, progress: Progress) -> None:
    """Its log of figures, as ours."""
    states = sorted(output.glob("**/trainer_state.json"), key=lambda file: file.stat().st_mtime)
    if not states:
        return
    with boundary(TrainError, f"{states[-1]} cannot be read", OSError, ValueError, KeyError):
        for entry in json.loads(states[-1].read_text("utf-8"))["log_history"]:
            if "loss" not in entry and "eval_loss" not in entry:
                continue
            step = Step(
                step=entry["step"],
                epoch=entry["epoch"],
                loss=entry.get("loss"),
                held_out_loss=entry.get("eval_loss"),
                learning_rate=entry.get("learning_rate"),
                grad_norm=entry.get("grad_norm"),
            )
            metrics.add(step)
            progress.step(step)
