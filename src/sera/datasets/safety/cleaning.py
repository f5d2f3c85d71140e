"""Secrets and personal data out of a sample, before it is rendered.

    every text ─► values ─► what is done about each ─► placeholders, everywhere alike

The recorded messages are cleaned, not the rendered ones: calls are written, masks drawn and tokens counted
from what is left, so they are right by construction. A value that was found once is replaced wherever it
stands in the sample, in every spelling, also where no rule would have seen it.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import msgspec

from sera.datasets.safety.arguments import clean_arguments, texts_of
from sera.datasets.safety.config import Action, SafetyConfig
from sera.datasets.safety.finder import BREAK, PLACEHOLDER, Finder, Hit
from sera.datasets.safety.rules import KNOWN, PRIVATE_KEY, Group
from sera.datasets.sample import Sample
from sera.records import Message, Record, ToolCall
from sera.redaction.known import Known
from sera.redaction.private_keys import MARK, hide_private_keys
from sera.redaction.values import spellings

_KEY_LINE = f"[redacted {PRIVATE_KEY}]"
_TAG_DIGITS = 4
Clean = Callable[[str], str]
_ROUNDS = 4
"""One replacement may uncover another value; it has never taken more than two."""


class Spotted(Record, frozen=True, kw_only=True):
    """One value of a sample, without the value."""

    kind: str
    group: Group
    action: Action
    places: tuple[str, ...]
    """`system`, `user`, `assistant`, `reasoning`, `arguments`, `tool`, `tools`, `patch`; sorted."""


class Cleaned(NamedTuple):
    """A sample after the scan."""

    sample: Sample
    spotted: tuple[Spotted, ...]
    """What was found in the sample as it was recorded, and in later rounds, by first appearance."""

    @property
    def dropped(self) -> bool:
        """Whether the settings want the whole sample left out."""
        return any(found.action == "drop" for found in self.spotted)


class Cleaner:
    """Cleans samples as the settings say. Cleaning twice changes no more."""

    def __init__(self, config: SafetyConfig, finder: Finder) -> None:
        self._config = config
        self._finder = finder

    def clean(self, sample: Sample) -> Cleaned:
        """The sample with placeholders, the very same one if nothing is to be replaced."""
        names: dict[str, str] = {}
        spotted: dict[str, Spotted] = {}
        sample = self._without_keys(sample, spotted)
        for _ in range(_ROUNDS):
            found = self._find(sample, spotted)
            redacted = [hit for hit, seen in found if seen.action == "redact"]
            if not redacted:
                break
            for hit in redacted:
                names.setdefault(hit.value, _placeholder(hit, len(names) + 1))
            sample = _rewrite(sample, Replacer(redacted, names))
        return Cleaned(sample, tuple(spotted.values()))

    def _find(self, sample: Sample, spotted: dict[str, Spotted]) -> list[tuple[Hit, Spotted]]:
        """What the texts hold now, each value once; what is new is added to `spotted`."""
        hits: dict[tuple[str, ...], Hit] = {}
        places: dict[str, set[str]] = {}
        for place, text in _texts(sample):
            for hit in self._finder.find(text):
                hits.setdefault(hit.pieces, hit)
                places.setdefault(hit.value, set()).add(place)
        for hit in hits.values():
            where = places[hit.value]
            action = self._config.action(hit.kind, hit.group, "tool" in where)
            found = Spotted(kind=hit.kind, group=hit.group, action=action, places=tuple(sorted(where)))
            spotted.setdefault(hit.value, found)
        return [(hit, spotted[hit.value]) for hit in hits.values()]

    def _without_keys(self, sample: Sample, spotted: dict[str, Spotted]) -> Sample:
        """Private keys are told by their frame, line by line, and so come first."""
        texts = [(place, text) for place, text in _texts(sample) if MARK in text]
        action = self._config.action(PRIVATE_KEY, Group.SECRET, shown=True)
        places = {place for place, text in texts if _keys_hidden(text) != text}
        if not places or action == "ignore":
            return sample
        spotted[_KEY_LINE] = Spotted(
            kind=PRIVATE_KEY, group=Group.SECRET, action=action, places=tuple(sorted(places))
        )
        return _rewrite(sample, _keys_hidden) if action == "redact" else sample


class Replacer:
    """Puts placeholders in the place of values, the longest first, in every spelling they may have; known
    values first, in every way that `sera.redaction.known` knows."""

    def __init__(self, hits: Iterable[Hit], names: Mapping[str, str]) -> None:
        self._names: dict[str, str] = {}
        self._pieces: dict[str, str] = {}
        self._ways: dict[str, tuple[str, str]] = {}
        """Spelling → a part that a text must hold, and the pattern that is looked for then."""
        self._known: list[tuple[Known, str]] = []
        for hit in hits:
            name = names[hit.value]
            if hit.kind == KNOWN:
                self._known.append((Known([hit.value]), name))
                continue
            for spelling in spellings([hit.value]):
                self._names[spelling] = name
                self._ways[spelling] = spelling, _bounded(re.escape(spelling), hit.group)
            if len(hit.pieces) > 1:
                self._pieces |= dict.fromkeys(hit.pieces, name)
                broken = f"(?:{BREAK})".join(map(re.escape, hit.pieces))
                self._ways["\n".join(hit.pieces)] = hit.pieces[0], broken
        self._order = sorted(self._ways, key=lambda value: (-len(value), value))
        self._patterns: dict[str, re.Pattern[str]] = {}

    def __call__(self, text: str) -> str:
        for known, name in self._known:
            text = _outside(text, partial(known.hide, placeholder=name))
        held = [self._ways[value][1] for value in self._order if self._ways[value][0] in text]
        if not held:
            return text
        source = "|".join(held)
        pattern = self._patterns.setdefault(source, re.compile(source))
        return _outside(text, lambda part: pattern.sub(self._replace, part))

    def _replace(self, found: re.Match[str]) -> str:
        if name := self._names.get(found[0]):
            return name
        pieces = re.split(f"({BREAK})", found[0])
        return "".join(self._pieces.get(piece, piece) for piece in pieces)


def _outside(text: str, clean: Clean) -> str:
    """The text with `clean` applied to what is no placeholder."""
    parts = re.split(f"({PLACEHOLDER.pattern})", text)
    return "".join(part if n % 2 else clean(part) for n, part in enumerate(parts))


def _bounded(pattern: str, group: Group) -> str:
    """Personal data are short words at times: those inside longer ones are something else."""
    return rf"(?<!\w){pattern}(?!\w)" if group is Group.PERSONAL else pattern


def _placeholder(hit: Hit, number: int) -> str:
    """Of a long random value the same everywhere, by its hash; of any other its number in the sample, because
    a hash would let a guess be checked."""
    tag = hashlib.sha256(hit.value.encode(errors="replace")).hexdigest()[:_TAG_DIGITS]
    return f"[redacted {hit.kind} {tag if hit.tagged else f'{number:04x}'}]"


def _keys_hidden(text: str) -> str:
    return hide_private_keys(text, _KEY_LINE) if MARK in text else text


def _texts(sample: Sample) -> Iterator[tuple[str, str]]:
    """Every text of a sample with its place."""
    for message in sample.messages:
        yield message.role, message.content
        yield "reasoning", message.reasoning
        yield message.role, message.tool_call_id
        for call in message.tool_calls:
            yield "arguments", call.id
            yield "arguments", call.name
            for text in texts_of(call.arguments):
                yield "arguments", text
    yield "user", sample.issue
    yield "patch", sample.patch
    for text in _strings(sample.tools):
        yield "tools", text


def _strings(tree: Any) -> Iterator[str]:
    match tree:
        case str():
            yield tree
        case list():
            for item in tree:
                yield from _strings(item)
        case dict():
            for value in tree.values():
                yield from _strings(value)


def _rewrite(sample: Sample, clean: Clean) -> Sample:
    return msgspec.structs.replace(
        sample,
        messages=tuple(_rewrite_message(message, clean) for message in sample.messages),
        patch=clean(sample.patch),
        issue=clean(sample.issue),
        tools=_rewrite_tree(sample.tools, clean),
    )


def _rewrite_message(message: Message, clean: Clean) -> Message:
    return msgspec.structs.replace(
        message,
        content=clean(message.content),
        reasoning=clean(message.reasoning),
        tool_call_id=clean(message.tool_call_id),
        tool_calls=tuple(_rewrite_call(call, clean) for call in message.tool_calls),
    )


def _rewrite_call(call: ToolCall, clean: Clean) -> ToolCall:
    return msgspec.structs.replace(
        call,
        id=clean(call.id),
        name=clean(call.name),
        arguments=clean_arguments(call.arguments, clean),
    )


def _rewrite_tree(tree: Any, clean: Clean) -> Any:
    match tree:
        case str():
            return clean(tree)
        case list():
            return [_rewrite_tree(item, clean) for item in tree]
        case dict():
            return {key: _rewrite_tree(value, clean) for key, value in tree.items()}
        case _:
            return tree
