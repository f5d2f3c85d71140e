"""A dataset in figures: one pass over its rows, a few numbers kept of each.

Lengths and ratios are kept in compact arrays, about 24 bytes a row, so that quantiles are exact; everything
else is counted by name. Tokens in the loss need a tokenizer and are measured only with one.
"""

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sera.datasets.look.find import decode, lines
from sera.datasets.look.view import message_text
from sera.records import Record

if TYPE_CHECKING:
    from sera.datasets.rendering import Student

Row = Mapping[str, Any]
_BATCH = 16
"""Rows rendered together."""
_NAME = re.compile(r'<tool_call>\s*(?:\{\s*"name":\s*"([^"\n]{1,80})"|<function=([^>\n]{1,80})>)')
_QUANTILES = (0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1)
_BINS = 10


class Spread(Record, frozen=True, kw_only=True):
    """How one figure is spread over the rows."""

    mean: float
    quantiles: dict[str, float]
    """`0` is the least, `1` the greatest."""


class Loss(Record, frozen=True, kw_only=True):
    """How much of the rows is trained on."""

    trained_turns: int
    untrained_turns: int
    """Assistant turns that are context only."""
    characters: int
    trained_characters: int
    """Of messages with `train`."""
    tokens: int | None = None
    trained_tokens: int | None = None
    """As rendered for a student; None without one."""


class Statistics(Record, frozen=True, kw_only=True):
    """The figures of a dataset."""

    rows: int
    stages: dict[str, int]
    repositories: dict[str, int]
    categories: dict[str, int]
    modules: dict[str, int]
    teachers: dict[str, int]
    tools: dict[str, int]
    """Name → calls."""
    tokens: Spread
    steps: Spread
    """Assistant turns of a row."""
    recall: Spread
    recall_bins: list[int]
    """Rows by recall in ten equal bins, the last one closed."""
    ratio: Spread
    cut_rows: int
    """Rows that are not the whole conversation."""
    patch_lines: Spread | None = None
    """Changed lines of a patch; None where the rows do not say."""
    loss: Loss


class Series:
    """The figures that are kept of each row, in its order."""

    def __init__(self) -> None:
        self.tokens = array("I")
        self.steps = array("I")
        self.recall = array("f")
        self.ratio = array("f")
        self.patch_lines = array("I")


class Survey:
    """Adds rows up."""

    def __init__(self) -> None:
        self.series = Series()
        self._names: dict[str, Counter[str]] = {
            key: Counter() for key in ("stage", "repository", "category", "path", "teacher", "tools")
        }
        self._loss: Counter[str] = Counter()

    def add(self, row: Row) -> None:
        """Count one row."""
        series = self.series
        series.tokens.append(int(row.get("tokens", 0)))
        series.recall.append(float(row.get("recall", 0)))
        series.ratio.append(float(row.get("ratio", 1)))
        if "patch_lines" in row:
            series.patch_lines.append(int(row["patch_lines"]))
        for key in ("stage", "repository", "category", "path", "teacher"):
            self._names[key][str(row.get(key, ""))] += 1
        spoken = [message for message in row["messages"] if message["role"] == "assistant"]
        series.steps.append(len(spoken))
        for message in spoken:
            self._names["tools"].update(called(message))
        self._weigh(row["messages"])

    def add_tokens(self, total: int, trained: int) -> None:
        """Count what a student sees of a row."""
        self._loss["tokens"] += total
        self._loss["trained_tokens"] += trained

    def result(self) -> Statistics:
        """The figures of all rows so far."""
        series, names, loss = self.series, self._names, self._loss
        return Statistics(
            rows=len(series.tokens),
            stages=_ranked(names["stage"]),
            repositories=_ranked(names["repository"]),
            categories=_ranked(names["category"]),
            modules=_ranked(names["path"]),
            teachers=_ranked(names["teacher"]),
            tools=_ranked(names["tools"]),
            tokens=spread(series.tokens),
            steps=spread(series.steps),
            recall=spread(series.recall),
            recall_bins=bins(series.recall),
            ratio=spread(series.ratio),
            cut_rows=sum(ratio < 1 for ratio in series.ratio),
            patch_lines=spread(series.patch_lines) if series.patch_lines else None,
            loss=Loss(
                trained_turns=loss["trained_turns"],
                untrained_turns=loss["untrained_turns"],
                characters=loss["characters"],
                trained_characters=loss["trained_characters"],
                tokens=loss["tokens"] or None,
                trained_tokens=loss["trained_tokens"] if loss["tokens"] else None,
            ),
        )

    def _weigh(self, messages: Iterable[Row]) -> None:
        for message in messages:
            size = len(message_text(message))
            self._loss["characters"] += size
            if message["role"] == "assistant":
                train = bool(message.get("train"))
                self._loss["trained_turns" if train else "untrained_turns"] += 1
                self._loss["trained_characters"] += size if train else 0


def survey(folder: Path, student: "Student | None" = None) -> Survey:
    """Read every row of a dataset; with a `student` its tokens too, which takes much longer."""
    found = Survey()
    for batch in _batches(decode(line, folder, number) for number, line in lines(folder)):
        for row in batch:
            found.add(row)
        if student is not None:
            from sera.datasets.rendering import render_rows

            for rendered in render_rows(batch, student):
                found.add_tokens(len(rendered.ids), sum(rendered.mask))
    return found


def called(message: Row) -> list[str]:
    """The names of the tools that an assistant's message calls, however the format spells calls."""
    if calls := message.get("tool_calls"):
        return [str((call.get("function") or {}).get("name", "")) for call in calls]
    content = str(message.get("content") or "")
    return [first or second for first, second in _NAME.findall(content.rpartition("</think>")[2])]


def spread(values: "array[int] | array[float]") -> Spread:
    """Mean and quantiles, each the value of a row; zeros if there is none."""
    ordered = sorted(values) or [0]
    last = len(ordered) - 1
    return Spread(
        mean=round(sum(ordered) / len(ordered), 4),
        quantiles={f"{share:g}": round(float(ordered[round(share * last)]), 4) for share in _QUANTILES},
    )


def bins(shares: Sequence[float]) -> list[int]:
    """How many of these shares, 0…1, lie in each tenth."""
    counts = Counter(min(int(share * _BINS + 1e-6), _BINS - 1) for share in shares)
    return [counts[number] for number in range(_BINS)]


def _ranked(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
