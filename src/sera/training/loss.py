"""The loss of a student on conversations: what a training is compared by, whoever trained it and on what.

It looks at a dataset that was built apart, with other functions than those that were trained on, so that many
students can be asked about the very same conversations. Rows pass the proofs and are masked as in a training.
The model computes in 32 bits, one conversation at a time.

The loss of a conversation is the mean over its trained tokens, and that of a dataset the mean over its
conversations: these are what can be drawn anew, since the tokens of one are not independent of each other.
The mean over all trained tokens, which is what a trainer prints, stands beside it.
"""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec

from sera.datasets.exchange.contract import open_dataset
from sera.datasets.manifest import MANIFEST, sha256
from sera.errors import ModelError, TrainError, UsageError, boundary
from sera.records import SCHEMA, Record
from sera.training.checks import proven_dataset, refuse_unlike
from sera.training.folder import replace
from sera.training.rows import IGNORED, Encoded, encode
from sera.training.student import open_student

_TILE = 1024
"""Positions whose logits exist at once: 600 MB with the largest vocabularies."""


class Conversation(Record, frozen=True, kw_only=True):
    """One row."""

    id: str
    tokens: int
    trained: int
    """Tokens that count."""
    loss: float


class Loss(Record, frozen=True, kw_only=True):
    """A student on a dataset."""

    student: str
    dataset: str
    """SHA-256 of its manifest: losses compare only on the same one."""
    loss: float
    """Mean over the conversations."""
    by_token: float | None = None
    """Mean over all trained tokens, in which long conversations weigh more; None in older files."""
    conversations: tuple[Conversation, ...]
    seconds: float
    schema: int = SCHEMA


def measure_loss(dataset: Path, model: str, told: Callable[[int, int], None] = lambda *_: None) -> Loss:
    """The loss of a student, named as in `sera train`, on all rows of a dataset; nothing is trained.

    `told` hears how many of how many rows are done. Raises `ModelError`, `DatasetError` or `TrainError` with
    what is wrong.
    """
    began = time.monotonic()
    student = open_student(model)
    names, reading = student.reading("", open_dataset(dataset).manifest.template)
    refuse_unlike(student, reading)
    built = proven_dataset(dataset, names)
    rows = list(built.rows())
    if (longest := max(int(row["tokens"]) for row in rows)) > student.shape.context:
        raise TrainError(
            f"the longest row has {longest:,} tokens, and {student.name} reads {student.shape.context:,}: "
            f"build the dataset with --max-row-tokens {student.shape.context}"
        )
    with boundary(UsageError, 'a loss needs libraries, pip install "sera[train]"', ImportError):
        from sera.training.trl.loading import load_whole, quiet

        quiet()
    loaded = _placed(load_whole(student))
    found = []
    for row, encoded in zip(rows, encode(rows, reading), strict=True):
        found.append(_conversation(loaded, str(row["id"]), encoded))
        told(len(found), len(rows))
    return Loss(
        student=student.name,
        dataset=sha256(dataset / MANIFEST),
        loss=fmean(one.loss for one in found),
        by_token=fmean((one.loss for one in found), weights=[one.trained for one in found]),
        conversations=tuple(found),
        seconds=round(time.monotonic() - began, 1),
    )


def write_loss(loss: Loss, file: Path) -> None:
    """Keep it, whole or not at all."""
    with boundary(TrainError, f"the loss cannot be written to {file}"):
        file.parent.mkdir(parents=True, exist_ok=True)
        replace(file, msgspec.json.format(msgspec.json.encode(loss)) + b"\n")


def read_loss(file: Path) -> Loss:
    """What `write_loss` has written; `TrainError` if it is none."""
    with boundary(TrainError, f"{file} holds no loss", OSError, msgspec.DecodeError):
        return msgspec.json.decode(file.read_bytes(), type=Loss)


def _placed(model: Any) -> Any:
    """On the GPU if there is one."""
    import torch

    with boundary(ModelError, "the model does not fit on the GPU", RuntimeError):
        return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def _conversation(model: Any, name: str, row: Encoded) -> Conversation:
    """Only the logits of positions that count are computed, a tile at a time."""
    import torch

    with torch.inference_mode():
        labels = torch.tensor(row.labels[1:], device=model.device)
        hidden = model.base_model(torch.tensor([row.ids], device=model.device)).last_hidden_state[0, :-1]
        counted = labels != IGNORED
        hidden, labels, total = hidden[counted], labels[counted], 0.0
        head = model.get_output_embeddings()
        for states, wanted in zip(hidden.split(_TILE), labels.split(_TILE), strict=True):
            total += float(torch.nn.functional.cross_entropy(head(states).float(), wanted, reduction="sum"))
    return Conversation(id=name, tokens=len(row.ids), trained=len(labels), loss=round(total / len(labels), 6))
