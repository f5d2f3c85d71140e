"""What a chat template writes around the words of an assistant, found by rendering a short talk.

Nothing is known of a template beforehand. A talk of two rounds with words that stand nowhere else is rendered
whole, and up to each of the assistant's turns: what both have in common, and what stands between the words,
says where a turn begins and ends.
"""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sera.datasets.rendering.template import Row, Template
from sera.errors import DatasetError

_ASKED, _SAID = ("Sera7AskedA", "Sera7AskedB"), ("Sera7SaidA", "Sera7SaidB")
_SYSTEM = "Sera7System"
_WORDS = (_ASKED[0], _SAID[0], _ASKED[1], _SAID[1])


class Frame(NamedTuple):
    """Around an assistant's words."""

    prompt: str
    """What the template adds where the assistant is to go on, e.g. `<|im_start|>assistant`, a line break and
    `<think>`; empty if it adds nothing."""
    opening: str
    """The part of the prompt that stands before every turn, also of an earlier one. Empty if nothing does."""
    closing: str
    """From the last word to the mark that ends the turn, that included, e.g. `<|im_end|>`."""
    end: str
    """The mark: the token that the student stops at. Where there is none, the text in its place."""
    tail: str
    """White space behind the mark."""
    last: str
    """What stands behind all that where the conversation ends, e.g. `<|endoftext|>`."""
    start: str
    """The token that begins a turn, whoever speaks; empty if there is none."""
    marks: tuple[str, ...]
    """The special tokens that the template writes around anybody's words, calls and answers of tools."""

    @property
    def opened(self) -> str:
        """What the prompt says for the assistant, e.g. `<think>` and a line break."""
        return self.prompt[len(self.opening) :] if self.opening else ""


def find_frame(template: Template, tokens: Collection[str], special: Collection[str], eos: str) -> Frame:
    """The frame of a template. `tokens` are those that the tokenizer takes out of a text first, and `special`
    the ones among them that are never part of what somebody says; `eos` ends a turn if it can.

    Raises `DatasetError` with what is in the way: the template loses what is said, or ends no turn.
    """
    talk = _accepted(template)
    whole = template.render(talk)
    places = [whole.find(word) for word in _WORDS]
    if places != sorted(places) or any(whole.count(word) != 1 for word in _WORDS):
        raise DatasetError(_lost(template, talk))
    if talk[0]["role"] == "system" and _SYSTEM not in whole + template.render(talk[:2], prompt=True):
        raise DatasetError(
            f"chat template {template.name} leaves the system prompt out, in which the student is told its "
            f"tools: give --template FILE with one that writes it"
        )
    first, last = ([message["content"] for message in talk].index(said) for said in _SAID)
    earlier, _ = _before(template, talk, first, whole, tokens)
    header, prompt = _before(template, talk, last, whole, tokens)
    opening = prompt[: _common(prompt, whole[earlier : places[1]], tokens)]
    if header < places[2] + len(_ASKED[1]) or not opening.strip():
        prompt = opening = ""
    middle = whole[places[1] + len(_SAID[0]) : places[2]]
    after = whole[places[3] + len(_SAID[1]) :]
    common = middle[: _common(middle, after, tokens)]
    closing, end = _closing(common, tokens, eos)
    if not end:
        raise DatasetError(
            f"chat template {template.name} does not say where an assistant's turn begins and ends: in a "
            f"talk that goes on it writes {middle[:60]!r} after it, and {after[:60]!r} where it is the "
            f"last, which have no token in common at which the student could learn to stop. Give --template "
            f"FILE with one that ends each turn with the same mark"
        )
    rest = common[len(closing) :]
    tail = rest[: len(rest) - len(rest.lstrip())]
    starts = [token for token in tokens if opening.startswith(token) and token in middle[len(closing) :]]
    return Frame(
        prompt=prompt,
        opening=opening,
        closing=closing,
        end=end,
        tail=tail,
        last=after[len(closing) + len(tail) :],
        start=max(starts, key=len, default=""),
        marks=tuple(sorted(mark for mark in special if mark in whole or mark in template.called)),
    )


def shared(some: str, others: str) -> int:
    """How many characters two texts have in common at their beginning."""
    if others.startswith(some):
        return len(some)
    return next(n for n, one in enumerate(some) if others[n : n + 1] != one)


def _accepted(template: Template) -> list[dict[str, Any]]:
    """The talk, with a system prompt unless the template has none."""
    rounds = [
        {"role": role, "content": word} for role, word in zip(("user", "assistant") * 2, _WORDS, strict=True)
    ]
    talk = [{"role": "system", "content": _SYSTEM}, *rounds]
    try:
        template.render(talk)
    except DatasetError:
        return rounds
    return talk


def _before(
    template: Template, talk: Sequence[Row], number: int, whole: str, tokens: Collection[str]
) -> tuple[int, str]:
    """Where the header of an assistant's turn begins, and the header as the prompt has it."""
    plain, shown = (template.render(talk[:number], prompt=prompt) for prompt in (False, True))
    place = _common(whole, plain, tokens)
    return place, shown[place:] if shown != plain and shown.startswith(whole[:place]) else ""


def _common(some: str, others: str, tokens: Collection[str]) -> int:
    """How many characters of a text another begins with, whole tokens of it only."""
    size = shared(some, others)
    if size in (len(some), len(others)):
        return size
    starts = [place for token in tokens if (place := _across(some, token, size)) is not None]
    return min(starts, default=size)


def _across(text: str, token: str, place: int) -> int | None:
    """Where a token begins that reaches over a place of a text."""
    found = text.find(token, max(place - len(token) + 1, 0), place + len(token) - 1)
    return found if 0 <= found < place else None


def _closing(text: str, tokens: Collection[str], eos: str) -> tuple[str, str]:
    """What ends a turn, of a text that begins with it, and the mark in it: `eos`, or else the first token."""
    found = [token for token in tokens if token in text]
    if not found:
        return text.rstrip(), text.strip()
    end = eos if eos in found else min(found, key=lambda token: (text.find(token), -len(token)))
    return text[: text.find(end) + len(end)], end


def _lost(template: Template, talk: Sequence[Row]) -> str:
    parts = [{**message, "content": [{"type": "text", "text": message["content"]}]} for message in talk]
    try:
        found = template.render(parts)
    except DatasetError:
        found = ""
    if all(word in found for word in _WORDS):
        return (
            f"chat template {template.name} takes the content of a message in parts, as templates for images "
            f"do, and not as text: give --template FILE with one for text"
        )
    return (
        f"chat template {template.name} does not write a conversation as it was held: something that a user "
        f"or an assistant says is missing, is said twice, or stands in another place. Give --template FILE "
        f"with another"
    )
