"""A row laid out for the eye, before it is known whether a terminal or a page will show it.

With a student a row is shown as rendered: every character in its turn, every token either in the loss or
not. Without one, whole messages are marked by their `train`.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from sera.datasets.rendering import Rendered, Student

Row = Mapping[str, Any]
_FACTS = (
    ("stage", "stage"), ("recall", "r"), ("ratio", "ratio"), ("category", "category"),
    ("repository", "repository"), ("commit", "commit"), ("path", "module"), ("function", "function"),
    ("teacher", "teacher"),
)  # fmt: skip
"""Column → label, in the order of the header."""


class Piece(NamedTuple):
    """Neighbouring characters that are trained on together, or not."""

    text: str
    trained: bool
    tokens: tuple[str, ...] = ()
    """The same text token by token; empty where tokens are not known."""


class TurnView(NamedTuple):
    """One turn."""

    number: int
    """From 1, as it is shown."""
    role: str
    pieces: tuple[Piece, ...]
    train: bool | None
    """Of an assistant's turn: whether the row says to train on it. None: context."""

    @property
    def state(self) -> str:
        """In a word."""
        return {None: "context", True: "trained", False: "not trained"}[self.train]

    @property
    def size(self) -> str:
        """Its length and what of it is in the loss."""
        if any(piece.tokens for piece in self.pieces):
            inside = sum(len(piece.tokens) for piece in self.pieces if piece.trained)
            total = sum(len(piece.tokens) for piece in self.pieces)
            return f"{total:,} tokens" + (f", {inside:,} in the loss" if inside else "")
        return f"{sum(len(piece.text) for piece in self.pieces):,} characters"


class View(NamedTuple):
    """One row."""

    number: int
    """Of its line in the file, from 1."""
    id: str
    facts: tuple[tuple[str, str], ...]
    """Labels and values."""
    turns: tuple[TurnView, ...]


def make_view(row: Row, number: int, student: "Student | None") -> View:
    """Lay out a row. Raises `DatasetError` as `render_row` does."""
    facts = [(label, _fact(row[column])) for column, label in _FACTS if row.get(column) not in (None, "")]
    if student is None:
        turns = tuple(_plain_turns(row))
        facts.append(("tokens", f"{row.get('tokens', 0):,}"))
    else:
        from sera.datasets.rendering import render_row

        rendered = render_row(row, student)
        turns = tuple(_rendered_turns(rendered, student))
        inside = sum(rendered.mask)
        facts.append(("tokens", f"{len(rendered.ids):,}"))
        facts.append(("in the loss", f"{inside:,} ({inside / max(len(rendered.ids), 1):.0%})"))
    facts.append(("turns", f"{len(turns)}"))
    if untrained := sum(turn.train is False for turn in turns):
        facts.append(("turns not trained", f"{untrained}"))
    return View(number, str(row.get("id", "")), tuple(facts), turns)


def _fact(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


# ── without a student ─────────────────────────────────────────────────────────────────────────────


def _plain_turns(row: Row) -> Iterator[TurnView]:
    for number, message in enumerate(row["messages"], 1):
        role = str(message["role"])
        train = bool(message.get("train")) if role == "assistant" else None
        yield TurnView(number, role, (Piece(message_text(message), bool(train)),), train)


def message_text(message: Mapping[str, Any]) -> str:
    """A message as text: its content and, in the raw format, its reasoning and calls."""
    parts = [message.get("reasoning_content") or "", message.get("content") or ""]
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        parts.append(f"→ {function.get('name', '')} {function.get('arguments', '')}")
    return "\n\n".join(part for part in parts if part)


# ── as rendered ───────────────────────────────────────────────────────────────────────────────────


def _rendered_turns(rendered: "Rendered", student: "Student") -> Iterator[TurnView]:
    """The rendering, cut at the mark that begins a turn, but never inside what an assistant said."""
    spans = [(turn.start, turn.end) for turn in rendered.turns]
    trained = {turn.start: turn.train for turn in rendered.turns}
    cuts = [0, *_marks(rendered.text, student.start, spans), len(rendered.text)]
    offsets = student.tokenizer.encode(rendered.text, add_special_tokens=False).offsets
    pieces = _pieces(rendered, offsets, cuts)
    for number, (start, end) in enumerate(_ranges(cuts), 1):
        train = next((trained[begin] for begin, _ in spans if start <= begin < end), None)
        role = "assistant" if train is not None else _role(rendered.text[start:end], student.start)
        yield TurnView(number, role, tuple(pieces[start]), train)


def _marks(text: str, mark: str, spans: Sequence[tuple[int, int]]) -> Iterator[int]:
    place = text.find(mark, 1) if mark else -1
    inside = iter([*spans, (len(text), len(text))])
    start, end = next(inside)
    while place >= 0:
        while place >= end and end < len(text):
            start, end = next(inside)
        if not start <= place < end:
            yield place
        place = text.find(mark, place + 1)


def _ranges(cuts: Sequence[int]) -> Iterator[tuple[int, int]]:
    return ((a, b) for a, b in pairwise(cuts) if a < b)


def _pieces(
    rendered: "Rendered", offsets: Sequence[tuple[int, int]], cuts: Sequence[int]
) -> dict[int, list[Piece]]:
    """Start of a turn → its pieces. A token that begins in a turn belongs to it; of tokens that share a
    character the first shows it."""
    found: dict[int, list[Piece]] = {start: [] for start, _ in _ranges(cuts)}
    starts = sorted(found)
    group: list[str] = []
    key, place = (starts[0], False), 0
    for (start, end), trained in zip(offsets, rendered.mask, strict=True):
        here = starts[bisect_right(starts, max(start, place)) - 1], trained
        if here != key:
            found[key[0]] += _piece(group, key[1])
            group, key = [], here
        group.append(rendered.text[place : max(end, place)])
        place = max(end, place)
    found[key[0]] += _piece([*group, *filter(None, [rendered.text[place:]])], key[1])
    return found


def _piece(tokens: Sequence[str], trained: bool) -> Sequence[Piece]:
    return [Piece("".join(tokens), trained, tuple(tokens))] if tokens else []


def _role(text: str, mark: str) -> str:
    """The word after the mark that begins a turn."""
    return text.removeprefix(mark).split("\n", 1)[0].strip()[:20] or "text"
