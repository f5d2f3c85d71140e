"""A row of a dataset as tokens with a loss mask.

The mask covers what the assistant says: from the end of the generation prompt to the token that ends the
turn, that token included, in every assistant turn with `train`. Where the template has `{% generation %}`
blocks, they say what is trained on instead, because they do to the trainer. `sera.datasets.proof` derives
the mask a second time in another way.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate, chain, islice
from typing import Any, NamedTuple

import msgspec

from sera.datasets.rendering.student import Student
from sera.datasets.rendering.template import Template
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
    turns: tuple[Span, ...]
    """The assistant's turns."""


def render_row(row: Row, student: Student) -> Rendered:
    """One row as text, tokens and mask. `render_rows` is the quicker way for many.

    Raises `DatasetError` if the template refuses the row, or writes it so that the turns cannot be told
    apart.
    """
    return render_rows([row], student)[0]


def render_rows(rows: Sequence[Row], student: Student) -> list[Rendered]:
    """Rows as text, tokens and masks, tokenised at once; a turn that was seen before not again."""
    laid = [lay_out(row, student) for row in rows]
    cut = [_pieces(text, student) for text, _ in laid]
    ids = iter(student.encoder.encode([piece for pieces in cut for piece in pieces]))
    return [
        _masked(row, text, spans, _tokens(text, spans, pieces, list(islice(ids, len(pieces))), student))
        for row, (text, spans), pieces in zip(rows, laid, cut, strict=True)
    ]


class _Tokens(NamedTuple):
    """A text as tokens."""

    ids: list[int]
    spans: list[tuple[int, int]]
    """The assistant's turns among them."""


def _pieces(text: str, student: Student) -> list[str]:
    """The text cut before every mark that begins a turn, if its tokenizer lets it be cut there."""
    if not student.cuts:
        return [text]
    first, *others = text.split(student.start)
    return [first, *(student.start + other for other in others)]


def _tokens(
    text: str,
    spans: list[tuple[int, int]],
    pieces: Sequence[str],
    encoded: Sequence[Sequence[int]],
    student: Student,
) -> _Tokens:
    """Tokens from those of the pieces. A turn that is not a piece, or whose prompt and end are not tokens of
    their own, needs the whole text tokenised, with the place of each token."""
    before, (header,) = student.template.marks.before, student.encode([student.template.marks.before])
    numbers = {place: number for number, place in enumerate(accumulate(map(len, pieces), initial=0))}
    places = list(accumulate(map(len, encoded), initial=0))
    found = []
    for start, end in spans:
        number = numbers.get(start - len(before), len(encoded))
        turn = list(encoded[number]) if number < len(encoded) else []
        whole = text.find(student.end, start) == end - len(student.end) and turn[: len(header)] == header
        if not whole or student.end_id not in turn:
            return _by_offsets(text, spans, student)
        found.append((places[number] + len(header), places[number] + turn.index(student.end_id) + 1))
    return _Tokens(list(chain.from_iterable(encoded)), found)


def _by_offsets(text: str, spans: list[tuple[int, int]], student: Student) -> _Tokens:
    """Tokens of the whole text. Those of a turn begin in it, and end in it."""
    encoded = student.tokenizer.encode(text, add_special_tokens=False)
    offsets, found, place = encoded.offsets, [], 0
    for start, end in spans:
        while place < len(offsets) and offsets[place][0] < start:
            place += 1
        first = place
        while place < len(offsets) and offsets[place][1] <= end:
            place += 1
        found.append((first, place))
    return _Tokens(encoded.ids, found)


def lay_out(row: Row, student: Student) -> tuple[str, list[tuple[int, int]]]:
    """The text of a row, and where in it the assistant's turns are, in characters."""
    messages, tools = template_messages(row, student.template), template_tools(row)
    text, generated = student.template.generated(messages, tools)
    expected = sum(message["role"] == "assistant" for message in messages)
    spans = generated or find_turns(text, student)
    if len(spans) != expected:
        raise DatasetError(
            f"sample {row.get('id')}: the template {student.template.name} shows {len(spans)} assistant "
            f"turns where the row has {expected}"
        )
    return text, spans


def template_messages(row: Row, template: Template) -> list[dict[str, Any]]:
    """The messages as servers and trainers hand them to this template: without our own column, without
    empty ones, and with the arguments of calls as objects if it takes those."""
    messages = [
        {
            key: value
            for key, value in message.items()
            if key not in _OWN and (value or key in ("role", "content"))
        }
        for message in row["messages"]
    ]
    for message in messages:
        if "tool_calls" in message:
            message["tool_calls"] = [template.call(call) for call in message["tool_calls"]]
    return messages


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


def _masked(row: Row, text: str, spans: list[tuple[int, int]], tokens: _Tokens) -> Rendered:
    messages = row["messages"]
    numbers = [number for number, message in enumerate(messages) if message["role"] == "assistant"]
    mask = [False] * len(tokens.ids)
    turns = []
    for number, (start, end), (first, stop) in zip(numbers, spans, tokens.spans, strict=True):
        train = bool(messages[number].get("train", True))
        if train:
            mask[first:stop] = [True] * (stop - first)
        turns.append(Span(number, start, end, first, stop, train))
    return Rendered(text=text, ids=tokens.ids, mask=mask, turns=tuple(turns))
