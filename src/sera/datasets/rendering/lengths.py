"""Tokens of each turn under a template that is not known to write turns one by one."""

from collections.abc import Sequence
from itertools import pairwise

from sera.datasets.rendering.render import Rendered, Row, render_rows
from sera.datasets.rendering.student import Student

_BATCH = 16


def turn_lengths(rows: Sequence[Row], student: Student) -> list[list[int]]:
    """For each row the tokens of each of its messages, as in the whole conversation; they add up to it.

    An assistant's turn is counted exactly, with what the template puts around it, also where the conversation
    would end with it. Of other turns that follow each other the first has the tokens of all.
    """
    lengths = []
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        pairs = zip(batch, render_rows(batch, student), strict=True)
        lengths += [_lengths(len(row["messages"]), rendered, student) for row, rendered in pairs]
    return lengths


def _lengths(count: int, rendered: Rendered, student: Student) -> list[int]:
    frame, total = student.frame, len(rendered.ids)
    # Counted behind the mark, which may take white space in.
    texts = frame.prompt, frame.end, frame.end + frame.tail, frame.end + frame.tail + frame.last
    head, end, behind, all_ = (len(ids) for ids in student.encode(list(texts)))
    tail, last = behind - end, all_ - behind
    begins = {turn.message: turn.first - head for turn in rendered.turns}
    ends = {
        # A template that marks turns itself may have the white space in them.
        turn.message + 1: min(
            turn.stop + (tail if rendered.text.startswith(frame.tail, turn.end) else 0) + last, total
        )
        for turn in rendered.turns
    }
    places = {0: 0} | begins | ends | {count: total}
    lengths = [0] * count
    for here, there in pairwise(sorted(places)):
        lengths[here] = places[there] - places[here]
    return lengths
