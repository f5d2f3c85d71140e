"""A row of a dataset as tokens with a loss mask.

The mask covers what the assistant says: from the end of the generation prompt to the token that ends the
turn, that token included, in every assistant turn with `train`. Where the template has `{% generation %}`
blocks, they say what is trained on instead, because they do to the trainer. `sera.datasets.proof` derives
the mask a second time in another way.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from sera.datasets.rendering.student import Student
from sera.errors import DatasetError

Row = Mapping[str, Any]
"""A row of `train.jsonl`."""
_OWN = {"id", "train"}


class Span(msgspec.Struct, frozen=True):
    """One assistant turn within a rendering."""

    message: int
    """Index into the row's messages."""
    start: int
    """Characters: the first after the generation prompt."""
    end: int
    """One past the mark that ends the turn."""
    first: int
    """Tokens, as `start` and `end`."""
    stop: int
    train: bool


class Rendered(msgspec.Struct, frozen=True, kw_only=True):
    """One row as its student sees it."""

    text: str
    ids: list[int]
    mask: list[bool]
    """Whether a token is in the loss; as long as `ids`."""
    offsets: list[tuple[int, int]]
    """Of each token, in characters of `text`; tokens that share a character overlap."""
    turns: tuple[Span, ...]
    """The assistant's turns."""


def render_row(row: Row, student: Student) -> Rendered:
    """One row as text, tokens and mask. `render_rows` is the quicker way for many.

    Raises `DatasetError` if the template refuses the row, or writes it so that the turns cannot be told
    apart.
    """
    return render_rows([row], student)[0]


def render_rows(rows: Sequence[Row], student: Student) -> list[Rendered]:
    """Rows as text, tokens and masks, tokenised at once; a piece that stands in several only once."""
    laid = [lay_out(row, student) for row in rows]
    cut = [_pieces(text, spans, student) for text, spans in laid]
    pieces = list(dict.fromkeys(piece for pieces in cut for piece in pieces))
    found = student.tokenizer.encode_batch(pieces, add_special_tokens=False)
    encoded = {piece: (one.ids, one.offsets) for piece, one in zip(pieces, found, strict=True)}
    return [
        _masked(row, text, spans, *_joined(pieces, encoded))
        for row, (text, spans), pieces in zip(rows, laid, cut, strict=True)
    ]


def _pieces(text: str, spans: list[tuple[int, int]], student: Student) -> list[str]:
    """The text cut where turns of the assistant begin and end, if its tokenizer lets it be cut there."""
    if not student.cuts:
        return [text]
    before = student.template.marks.before
    if any(not text.startswith(before, start - len(before)) for start, _ in spans):
        return [text]
    edges = [edge for start, end in spans for edge in (start - len(before), end)]
    return [text[a:b] for a, b in pairwise([0, *edges, len(text)])]


def _joined(
    pieces: list[str], encoded: Mapping[str, tuple[list[int], list[tuple[int, int]]]]
) -> tuple[list[int], list[tuple[int, int]]]:
    ids: list[int] = []
    offsets: list[tuple[int, int]] = []
    begin = 0
    for piece in pieces:
        found, places = encoded[piece]
        ids += found
        offsets += [(a + begin, b + begin) for a, b in places]
        begin += len(piece)
    return ids, offsets


def lay_out(row: Row, student: Student) -> tuple[str, list[tuple[int, int]]]:
    """The text of a row, and where in it the assistant's turns are, in characters."""
    messages, tools = template_messages(row), template_tools(row)
    text, generated = student.template.generated(messages, tools)
    expected = sum(message["role"] == "assistant" for message in messages)
    spans = generated or find_turns(text, student)
    if len(spans) != expected:
        raise DatasetError(
            f"sample {row.get('id')}: the template {student.template.name} shows {len(spans)} assistant "
            f"turns where the row has {expected}"
        )
    return text, spans


def template_messages(row: Row) -> list[dict[str, Any]]:
    """The messages as a trainer hands them to a template: without our own column, and without empty ones."""
    return [
        {
            key: value
            for key, value in message.items()
            if key not in _OWN and (value or key in ("role", "content"))
        }
        for message in row["messages"]
    ]


def template_tools(row: Row) -> list[Any]:
    """The tool definitions of a row that carries them in a column."""
    tools = row.get("tools") or "[]"
    found: list[Any] = msgspec.json.decode(tools) if isinstance(tools, str) else tools
    return found


def find_turns(text: str, student: Student) -> list[tuple[int, int]]:
    """The assistant's turns in a text, by the marks that the template puts around them."""
    before = student.template.marks.before
    spans = []
    place = text.find(before)
    while place >= 0:
        start = place + len(before)
        end = text.find(student.end, start)
        if end < 0:
            spans.append((start, len(text)))
            break
        spans.append((start, end + len(student.end)))
        place = text.find(before, end)
    return spans


def _masked(
    row: Row, text: str, spans: list[tuple[int, int]], ids: list[int], offsets: list[tuple[int, int]]
) -> Rendered:
    messages = row["messages"]
    numbers = [number for number, message in enumerate(messages) if message["role"] == "assistant"]
    mask = [False] * len(ids)
    turns = []
    place = 0
    for number, (start, end) in zip(numbers, spans, strict=True):
        while place < len(ids) and offsets[place][0] < start:
            place += 1
        first = place
        while place < len(ids) and offsets[place][1] <= end:
            place += 1
        train = bool(messages[number].get("train", True))
        if train:
            mask[first:place] = [True] * (place - first)
        turns.append(Span(number, start, end, first, place, train))
    return Rendered(text=text, ids=ids, mask=mask, offsets=offsets, turns=tuple(turns))
