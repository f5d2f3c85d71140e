"""The folder of a training.

    train.json        what was asked for, written first
    tokens/           the rows as the trainer gets them; removed at the end, as is
    state/            states to go on from; each holds a file `whole` once it is
    metrics.jsonl     a line for each step and each measurement
    checkpoint/       the finished student, put there last

The same command goes on with what it finds; other settings are refused, and so is a folder of something else.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from sera.datasets.manifest import MANIFEST, sha256
from sera.errors import TrainError, UsageError, boundary
from sera.locks import locked
from sera.records import Record
from sera.settings import to_tree
from sera.training.config import TrainConfig
from sera.training.contract import Job, Step
from sera.untrusted import decode

KIND = "sera-training"
ASKED = "train.json"
METRICS = "metrics.jsonl"
CHECKPOINT = "checkpoint"
STATE = "state"
TOKENS = "tokens"
_FREE = ("axolotl", "device", "report", "save_every")
"""Settings that may differ from one call to the next."""


class Asked(Record, frozen=True, kw_only=True):
    """What a training is of."""

    kind: str = KIND
    schema: int = 1
    trainer: str
    dataset: str
    """SHA-256 of the dataset's manifest."""
    student: str
    tokenizer: str
    """SHA-256, as the template."""
    template: str
    settings: dict[str, Any]


def asked_of(job: Job, trainer: str) -> Asked:
    """The record of a job."""
    return Asked(
        trainer=trainer,
        dataset=sha256(job.dataset.path / MANIFEST),
        student=job.student.name,
        tokenizer=job.reading.tokenizer_sha256,
        template=job.reading.template.sha256,
        settings=_fixed(job.config),
    )


def _fixed(config: TrainConfig) -> dict[str, Any]:
    """The settings that may not differ, as they will be read again: lists for tuples."""
    settings = msgspec.json.decode(msgspec.json.encode(to_tree(config)), type=dict[str, Any])
    return {key: value for key, value in settings.items() if key not in _FREE}


def refuse_foreign(out: Path, asked: Asked) -> None:
    """Raises `UsageError` if the folder is of another training, or of something else."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / ASKED).is_file():
        raise UsageError(f"{out} holds something other than a training: choose another folder")
    cure = "restore it from a copy, or choose another folder"
    with boundary(TrainError, f"{out / ASKED} cannot be read ({cure})", OSError, msgspec.DecodeError):
        before: Asked = decode((out / ASKED).read_bytes(), Asked)
        # Settings that are newer than the folder have the defaults that they had then.
        before = msgspec.structs.replace(
            before, settings=_fixed(msgspec.convert(before.settings, TrainConfig))
        )
    if before != asked:
        raise UsageError(
            f"{out} holds a training of other settings ({'; '.join(_differences(before, asked))}): "
            f"give those "
            f"again, or another folder"
        )


def _differences(before: Asked, now: Asked) -> Iterator[str]:
    old, new = (to_tree(one) for one in (before, now))
    old |= old.pop("settings")
    new |= new.pop("settings")
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            yield f"{key}: {old.get(key)!s:.40} → {new.get(key)!s:.40}"


@contextmanager
def opened(out: Path, asked: Asked) -> Iterator[None]:
    """The folder, for this process alone. Raises `TrainError` if another one is at work in it."""
    refuse_foreign(out, asked)
    with boundary(TrainError, f"the folder {out} cannot be used"):
        out.mkdir(parents=True, exist_ok=True)
        if not (out / ASKED).exists():
            replace(out / ASKED, msgspec.json.format(msgspec.json.encode(asked), indent=2) + b"\n")
    busy = f"another process trains in {out}"
    with locked(out / ASKED, TrainError, busy, "wait for it, or choose another folder"):
        yield


def replace(file: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    new = file.with_name(f".{file.name}.new")
    with boundary(TrainError, f"cannot write {file}; free some space and run the same command again"):
        new.write_bytes(content)
        new.replace(file)


class Metrics:
    """The lines of `metrics.jsonl`; what was written after the step that is gone on from is forgotten."""

    def __init__(self, out: Path, after: int) -> None:
        self._file = out / METRICS
        kept = [step for step in read_metrics(out) if after and step.step <= after]
        replace(self._file, b"".join(msgspec.json.encode(step) + b"\n" for step in kept))

    def add(self, step: Step) -> None:
        """One line more."""
        with self._file.open("ab") as file:
            file.write(msgspec.json.encode(step) + b"\n")


def read_metrics(out: Path) -> list[Step]:
    """All lines that are whole. A damaged one is a figure less, and no reason to lose a training."""
    file, steps = out / METRICS, list[Step]()
    if not file.is_file():
        return steps
    with boundary(TrainError, f"metrics {file}", OSError):
        for line in file.read_bytes().split(b"\n")[:-1]:
            with suppress(msgspec.DecodeError):
                steps.append(decode(line, Step))
    return steps
