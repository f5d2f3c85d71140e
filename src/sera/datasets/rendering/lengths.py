"""Tokens of each turn under a template that is not known to write turns one by one."""

from collections.abc import Sequence
from itertools import pairwise

from sera.datasets.rendering.render import Rendered, Row, render_rows
from sera.datasets.rendering.student import Student

_BATCH = 16


def turn_lengths(rows: Sequence[Row], student: Student) -> list[list[int]]:
    """For each row the tokens of each of its messages, as in the whole conversation; they add up to it.

    An assistant's turn is counted exactly, with what the template puts around it. Of other turns that
    follow each other the first has the tokens of all.
    """
    tail = len(student.encode([student.template.marks.after.removeprefix(student.end)])[0])
    head = len(student.encode([student.template.marks.before])[0])
    lengths = []
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        pairs = zip(batch, render_rows(batch, student), strict=True)
        lengths += [_lengths(len(row["messages"]), rendered, head, tail) for row, rendered in pairs]
    return lengths


def _lengths(count: int, rendered: Rendered, head: int, tail: int) -> list[int]:
    total = len(rendered.ids)
    begins = {turn.message: turn.first - head for turn in rendered.turns}
    ends = {turn.message + 1: min(turn.stop + tail, total) for turn in rendered.turns}
    places = {0: 0} | ends | begins | {count: total}
    lengths = [0] * count
    for here, there in pairwise(sorted(places)):
        lengths[here] = places[there] - places[here]
    return lengths
