"""Parting samples into rows and rejections, one at a time.

A row that passes the filters goes to a spool file at once, and only its figures stay in memory, until all
samples have been seen and the duplicates and the order are known.
"""

from collections.abc import Sequence
from typing import IO, Any, NamedTuple

import msgspec

from sera.datasets.candidate import Candidate, Figures
from sera.datasets.config import DatasetConfig
from sera.datasets.formats import find_format
from sera.datasets.sample import Sample, Source
from sera.datasets.select import Duplicates, Reason, TaskKey, filters, first_reason, task_key
from sera.datasets.tokens import TokenCounter
from sera.errors import DatasetError
from sera.records import Agreement

_NONE = Agreement(recall=0, precision=0, f1=0, file_recall=0, lines_a=0, lines_b=0, common=0)


class Row(NamedTuple):
    """A row in the spool, and what must be known of it there."""

    figures: Figures
    task: TaskKey
    start: int
    """Place and size in the spool, in bytes."""
    size: int
    tokens: int
    """Length after the cut; `figures.tokens` is that before it."""
    untrained: int
    """Assistant turns not trained on."""
    teacher: str
    """Its settings as JSON."""


class Sieve:
    """Parts samples into rows, which go to the spool, and rejections."""

    def __init__(
        self, config: DatasetConfig, counter: TokenCounter, sources: Sequence[Source], spool: IO[bytes]
    ) -> None:
        self.config = config
        self.counter = counter
        self.sources = sources
        self.profile = ""
        self._style = find_format(config.format)
        self._chain = filters(config)
        self._spool = spool
        self._seen: set[tuple[str, str]] = set()
        self._duplicates = Duplicates()
        self._rows: list[Row] = []
        self._rejected: list[Figures] = []

    def take(self, sample: Sample) -> None:
        """Read one sample."""
        self._check(sample)
        self._duplicates.see(sample)
        candidate = Candidate(sample, self._style, self.counter, self.config)
        if reason := first_reason(candidate, self._chain):
            self._rejected.append(candidate.figures(reason))
        else:
            self._rows.append(self._keep(candidate))

    def settle(self) -> tuple[list[Row], list[Figures]]:
        """All rows in the order of the dataset, and all rejections by index."""
        lost = self._duplicates.tasks()
        rows, rejected = [], list(self._rejected)
        for row in self._rows:
            if row.task in lost:
                rejected.append(msgspec.structs.replace(row.figures, reason=Reason.DUPLICATE))
            else:
                rows.append(row)
        rows.sort(key=lambda row: (-(row.figures.ratio or 0), *row.figures.sequence))
        rejected.sort(key=lambda figures: figures.sequence)
        return rows, rejected

    def _check(self, sample: Sample) -> None:
        if sample.source not in self.sources:
            raise DatasetError(f"sample {sample.id} is of {sample.source}, which is not among the sources")
        identity = sample.source.run, sample.id
        if identity in self._seen:
            raise DatasetError(
                f"sample {sample.id} of run {sample.source.run} comes twice: give each run once"
            )
        self._seen.add(identity)
        self.profile = self.profile or sample.profile
        if sample.profile != self.profile:
            first, second = sorted((self.profile, sample.profile))
            raise DatasetError(
                f"the runs were made with two harness profiles, {first} and {second}, and a student can be "
                f"served with one only: build a dataset from each"
            )

    def _keep(self, candidate: Candidate) -> Row:
        row = json_line(_columns(candidate, self._style.tools_column))
        start = self._spool.tell()
        self._spool.write(row)
        return Row(
            figures=candidate.figures(),
            task=task_key(candidate.sample),
            start=start,
            size=len(row),
            tokens=candidate.fit.tokens,
            untrained=sum(turn.origin == "assistant" and not turn.train for turn in candidate.kept),
            teacher=msgspec.json.encode(candidate.sample.teacher, order="sorted").decode(),
        )


def _columns(candidate: Candidate, tools_column: bool) -> dict[str, Any]:
    """One row: the same keys and types in every row of a dataset, nothing null."""
    sample, agreement = candidate.sample, candidate.sample.agreement or _NONE
    tools = {"tools": msgspec.json.encode(sample.tools).decode()} if tools_column else {}
    return {
        "id": sample.id,
        "messages": [turn.row for turn in candidate.kept],
        **tools,
        "task": sample.task,
        "index": sample.index,
        "stage": sample.stage,
        "recall": float(agreement.recall),
        "f1": float(agreement.f1),
        "file_recall": float(agreement.file_recall),
        "ratio": candidate.fit.ratio,
        "tokens": candidate.fit.tokens,
        "category": sample.category,
        "function": sample.function,
        "path": sample.path,
        "repository": sample.source.repository,
        "commit": sample.source.commit,
        "run": sample.source.run,
        "teacher": str(sample.teacher.get("model", "")),
    }


def json_line(value: object) -> bytes:
    """One line of a JSON Lines file."""
    return msgspec.json.encode(value) + b"\n"
