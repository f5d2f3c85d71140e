"""A row of a dataset as tokens with a loss mask.

The mask covers what the assistant says: from the end of the generation prompt to the token that ends the
turn, that token included, in every assistant turn with `train`. Where the template has `{% generation %}`
blocks, they say what is trained on instead, because they do to the trainer. `sera.datasets.proof` derives
the mask a second time in another way.
"""

import hashlib
from collections.abc import Mapping, Sequence
from itertools import accumulate, chain, islice
from typing import Any, NamedTuple

import msgspec

from sera.datasets.rendering.frame import shared
from sera.datasets.rendering.student import Student
from sera.datasets.rendering.template import OTHER, Template
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
    before, (header,) = student.frame.prompt, student.encode([student.frame.prompt])
    numbers = {place: number for number, place in enumerate(accumulate(map(len, pieces), initial=0))}
    places = list(accumulate(map(len, encoded), initial=0))
    found = []
    for start, end in spans:
        number = numbers.get(start - len(before), len(encoded))
        turn = list(encoded[number]) if number < len(encoded) else []
        whole = text.find(student.end, start) == end - len(student.end) and turn[: len(header)] == header
        if not whole or student.end_id not in turn or not text.startswith(before, start - len(before)):
            return _by_offsets(text, spans, student)
        found.append((places[number] + len(header), places[number] + turn.index(student.end_id) + 1))
    return _Tokens(list(chain.from_iterable(encoded)), found)


def _by_offsets(text: str, spans: list[tuple[int, int]], student: Student) -> _Tokens:
    """Tokens of the whole text. Those of a turn begin in it; of what a template marks itself, as transformers
    has it, all that share a character with it."""
    encoded = student.tokenizer.encode(text, add_special_tokens=False)
    offsets, found, place, partly = encoded.offsets, [], 0, student.template.generates
    for start, end in spans:
        while place < len(offsets) and (offsets[place][1] <= start if partly else offsets[place][0] < start):
            place += 1
        first = place
        while place < len(offsets) and offsets[place][0] < end:
            place += 1
        found.append((first, place))
    return _Tokens(encoded.ids, found)


def lay_out(row: Row, student: Student) -> tuple[str, list[tuple[int, int]]]:
    """The text of a row, and where in it the assistant's turns are, in characters."""
    messages, tools = template_messages(row, student.template), template_tools(row)
    text, generated = student.template.generated(messages, tools)
    numbers = [number for number, message in enumerate(messages) if message["role"] == "assistant"]
    if student.template.generates:
        spans = joined(generated) if len(generated) > len(numbers) else generated
    else:
        spans = find_turns(text, student)
        known = len(spans) == len(numbers)
        if known and spans and not student.template.turn_by_turn:
            # The last turn may begin behind more than the mark shows, as where turns are numbered.
            shown = student.template.render(messages[: numbers[-1]], tools, prompt=True)
            known = len(shown) == spans[-1][0] or not text.startswith(shown)
        if not known:
            prompts = [student.template.render(messages[:n], tools, prompt=True) for n in numbers]
            spans = _after_prompts(text, prompts, student)
    if len(spans) != len(numbers):
        raise DatasetError(
            f"sample {row.get('id')}: the template {student.template.name} marks {len(spans)} parts as "
            f"generated where the row has {len(numbers)} assistant turns. {OTHER}"
        )
    return text, spans


def joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans that touch as one."""
    found: list[tuple[int, int]] = []
    for start, end in spans:
        if found and found[-1][1] == start:
            start = found.pop()[0]
        found.append((start, end))
    return found


def find_turns(text: str, student: Student) -> list[tuple[int, int]]:
    """The assistant's turns in a text, by what the template puts around them. A turn begins behind all that a
    prompt says, as far as it stands there."""
    frame, spans = student.frame, []
    place = text.find(frame.opening) if frame.opening else -1
    while place >= 0:
        start = place + len(frame.prompt if text.startswith(frame.prompt, place) else frame.opening)
        end = _end(text, start, student)
        spans.append((start, end))
        place = text.find(frame.opening, end)
    return spans


def _after_prompts(text: str, prompts: Sequence[str], student: Student) -> list[tuple[int, int]]:
    """The assistant's turns where no mark begins them: each behind the conversation up to it, with what the
    template adds for the assistant to go on."""
    for prompt in prompts:
        place = shared(prompt, text)
        if place < len(prompt):
            raise DatasetError(
                f"chat template {student.template.name} writes a conversation otherwise once it goes on: "
                f"{prompt[max(place - 20, 0) : place + 40]!r} becomes "
                f"{text[max(place - 20, 0) : place + 40]!r}. So what a student would be trained on is not "
                f"what it is shown when it is served. {OTHER}"
            )
    return [(len(prompt), _end(text, len(prompt), student)) for prompt in prompts]


def _end(text: str, start: int, student: Student) -> int:
    """Behind the mark that ends the turn; that of the text where it is missing."""
    end = text.find(student.end, start)
    return len(text) if end < 0 else end + len(student.end)


def template_messages(row: Row, template: Template) -> list[dict[str, Any]]:
    """The messages as servers and trainers hand them to this template: without our own column, without
    empty ones, with the arguments of calls as objects if it takes those, and short ids if it wants them."""
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
    if any("tool_calls" in message for message in messages) and template.wants_short_ids:
        _shorten_ids(messages, str(row.get("id")))
    return messages


def _shorten_ids(messages: Sequence[dict[str, Any]], row: str) -> None:
    """Give each call an id of nine letters and digits, as Mistral's servers do, and its answer the same."""
    known: dict[str, str] = {}
    number = 0
    for message in messages:
        for place, call in enumerate(message.get("tool_calls", ())):
            short = hashlib.blake2b(f"{row}/{number}".encode()).hexdigest()[:9]
            known[call.get("id", "")] = short
            message["tool_calls"][place] = {**call, "id": short}
            number += 1
        if "tool_call_id" in message:
            message["tool_call_id"] = known.get(message["tool_call_id"], message["tool_call_id"])


def template_tools(row: Row) -> list[Any]:
    """The tool definitions of a row that carries them in a column."""
    tools = row.get("tools") or "[]"
    found: list[Any] = msgspec.json.decode(tools) if isinstance(tools, str) else tools
    return found


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
