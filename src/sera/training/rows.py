"""Rows as the trainer gets them: token ids, and the same ids as labels where they are in the loss.

They are rendered and masked by the code whose masks the proofs have checked, and written to Arrow files once,
so that no template or tokenizer of a trainer has a say. `proven` renders a row again from the dataset, to
compare with what comes out of a trainer's loader.
"""

import hashlib
from array import array
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from sera.datasets.rendering import Student, render_rows
from sera.errors import TrainError, UsageError, boundary
from sera.records import content_id
from sera.training.config import TrainConfig
from sera.training.contract import Job

IGNORED = -100
"""The label of what is not in the loss."""
_BATCH = 16
Row = dict[str, Any]


class Encoded(NamedTuple):
    """One row."""

    ids: list[int]
    labels: list[int]


class Files(NamedTuple):
    """What `write_rows` has written."""

    train: Path
    held_out: Path | None


def held_out_tasks(tasks: Iterable[str], config: TrainConfig) -> frozenset[str]:
    """The tasks whose rows are kept from training: drawn by the seed, each by itself, so that they stay the
    same whatever else there is. A share of few tasks holds at least one."""
    drawn = {task: int(content_id(config.seed, task)[:8], 16) for task in tasks} if config.held_out else {}
    within = frozenset(task for task, number in drawn.items() if number < config.held_out * 16**8)
    return within or frozenset(sorted(drawn, key=lambda task: (drawn[task], task))[:1])


def parted(job: Job, held_out: bool) -> Iterator[Row]:
    """The rows that are held out, or those that are trained on, in the order of the dataset."""
    kept = held_out_tasks((row["task"] for row in job.dataset.rows()), job.config)
    return (row for row in job.dataset.rows() if (row["task"] in kept) is held_out)


def split(job: Job) -> tuple[list[int], list[int]]:
    """Tokens of each row that is trained on, and of each that is held out, as the dataset counts them.

    Raises `UsageError` if nothing is left for one of both.
    """
    train, kept = ([int(row["tokens"]) for row in parted(job, held_out)] for held_out in (False, True))
    if not train and not kept:
        raise UsageError(f"there is no row in {job.dataset.path}: build it from a run that has some")
    if not train:
        raise UsageError(
            "every row is held out, and none is left to train on: take a smaller --held-out, or 0 where all "
            "rows are of one task"
        )
    return train, kept


def encode(rows: Iterable[Row], student: Student) -> Iterator[Encoded]:
    """Rows in order, a few at a time in memory."""
    for batch in _in_batches(rows):
        for found in render_rows(batch, student):
            labels = [
                number if inside else IGNORED for number, inside in zip(found.ids, found.mask, strict=True)
            ]
            yield Encoded(found.ids, labels)


def digest(ids: Sequence[int], labels: Sequence[int]) -> bytes:
    """A row in sixteen bytes."""
    data = array("q", ids).tobytes() + array("q", labels).tobytes()
    return hashlib.blake2b(data, digest_size=16).digest()


def proven(job: Job, held_out: bool, most: int) -> list[bytes]:
    """Digests of the first rows, rendered from the dataset's file."""
    chosen = islice(parted(job, held_out), most)
    return [digest(row.ids, _apart(row)) for row in encode(chosen, job.reading)]


def write_rows(job: Job, folder: Path) -> Files:
    """All rows as Arrow files, unless they are there. Raises `TrainError` if the disk fails."""
    train, held_out = folder / "train.arrow", folder / "held_out.arrow"
    wanted = Files(train, held_out if job.config.held_out else None)
    if (folder / "whole").exists():
        return wanted
    with boundary(TrainError, f"the rows cannot be written to {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        for path, kept in ((train, False), (held_out, True)):
            if kept and not wanted.held_out:
                continue
            write_arrow(path, ([row] for row in encode(parted(job, kept), job.reading)))
        if job.config.packing:
            single = train.rename(folder / "single.arrow")
            write_arrow(train, _packed(single, job.config))
            single.unlink()
        (folder / "whole").touch()
    return wanted


def gather(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Numbers of rows that share a sequence of `room` tokens: the longest first, each where it fits best."""
    bins: list[list[int]] = []
    left: list[tuple[int, int]] = []
    for number in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        size = lengths[number]
        place = bisect_left(left, (size, -1))
        if place < len(left):
            free, chosen = left.pop(place)
        else:
            free, chosen = room, len(bins)
            bins.append([])
        bins[chosen].append(number)
        insort(left, (free - size, chosen))
    return bins


def _packed(rows: Path, config: TrainConfig) -> Iterator[list[Encoded]]:
    """The rows of a file, gathered into sequences; only one sequence is in memory at a time."""
    import pyarrow as pa

    with pa.memory_map(str(rows)) as file:
        table = pa.ipc.open_stream(file).read_all()
        lengths = [sizes[0] for sizes in table["seq_lengths"].to_pylist()]
        for numbers in gather(lengths, config.sequence):
            yield [Encoded(table["input_ids"][n].as_py(), table["labels"][n].as_py()) for n in numbers]


def write_arrow(path: Path, groups: Iterable[list[Encoded]]) -> None:
    """One record a group: its rows behind each other, and the length of each."""
    import pyarrow as pa

    numbers = pa.list_(pa.int32())
    schema = pa.schema([("input_ids", numbers), ("labels", numbers), ("seq_lengths", numbers)])
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as stream:
        for batch in _in_batches(groups):
            columns = {
                "input_ids": [[number for row in group for number in row.ids] for group in batch],
                "labels": [[number for row in group for number in _apart(row)] for group in batch],
                "seq_lengths": [[len(row.ids) for row in group] for group in batch],
            }
            stream.write_batch(pa.record_batch(columns, schema=schema))


def _apart(row: Encoded) -> list[int]:
    """The labels of a row that follows another: its first token is nobody's to foretell."""
    return [IGNORED, *row.labels[1:]]


def _in_batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(islice(iterator, _BATCH)):
        yield batch
