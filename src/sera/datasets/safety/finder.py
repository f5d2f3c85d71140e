"""Finding in one text: known values, rules, and tokens that were broken over lines.

token = "ghp_16C7e42F292c6912      one value in two pieces: both lose their half,
         E7710c838347Ae178B4a"     and the line break stays
"""

import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from sera.datasets.safety.config import SafetyConfig, known
from sera.datasets.safety.rules import KNOWN, Group, Rule, rules
from sera.redaction.known import Known

PLACEHOLDER = re.compile(r"\[redacted [a-z][a-z-]*(?: [0-9a-f]{4})?\]")
BREAK = r"""\\?["'`]?[ \t]*[+\\]?\r?\n(?:[ \t]*\d{1,7}\t|[+-](?=[ \t"'`A-Za-z0-9]))?[ \t]*(?:[bfru]?["'`])?"""
"""What parts two pieces of a broken value: quotes, a line break, a line's number or sign, a margin."""
_BREAK = re.compile(rf"(?<=[A-Za-z0-9+/=_-]{{8}}){BREAK}(?=[A-Za-z0-9+/=_-])")
_REMEMBERED, _LARGE = 2048, 65_536
"""Texts whose findings are remembered, because conversations repeat them, and the size of those not."""
_TAIL, _AROUND = 8, 512
"""Characters before a break by which a token is told from words, and characters taken on either side."""
_RANDOM = re.compile(r"\d|[a-z][A-Z]")
_MIXED = re.compile(r"(?=.*\d)(?=.*[A-Za-z])")


class Hit(NamedTuple):
    """One value that was found."""

    kind: str
    group: Group
    pieces: tuple[str, ...]
    """The value; more than one where it was broken over lines."""
    tagged: bool

    @property
    def value(self) -> str:
        return "".join(self.pieces)


class Finder:
    """Finds in texts what the rules and the settings name. A pure function of the text."""

    def __init__(self, config: SafetyConfig, known: Sequence[str]) -> None:
        self._known = Known(known)
        self._rules = tuple(rule for rule in rules() if config.kinds.get(rule.kind) != "ignore")
        self._tokens = tuple(rule for rule in self._rules if rule.tagged)
        self._allowed = re.compile("|".join(f"(?:{way})" for way in config.allow) or r"\Z.", re.IGNORECASE)
        self._remembered = lru_cache(_REMEMBERED)(self._search)

    def find(self, text: str) -> tuple[Hit, ...]:
        """Everything in `text`, placeholders left out, in no order."""
        return self._remembered(text) if len(text) < _LARGE else self._search(text)

    def _search(self, text: str) -> tuple[Hit, ...]:
        taken = _Taken()
        if "[redacted " in text:
            for found in PLACEHOLDER.finditer(text):
                taken.claim(*found.span())
        hits = [*self._values(text, taken), *self._whole(text, taken)]
        hits += self._broken(text)
        return tuple(hit for hit in hits if not self._allowed.fullmatch(hit.value))

    def _values(self, text: str, taken: "_Taken") -> Iterator[Hit]:
        """Known values, however they are written; a hit holds the value itself."""
        for value, places in self._known.find(text):
            for start, end in places:
                taken.claim(start, end)
            yield Hit(KNOWN, Group.SECRET, (value,), False)

    def _whole(self, text: str, taken: "_Taken") -> Iterator[Hit]:
        """By the rules, each place counted for the first that applies."""
        for rule in self._rules:
            for start, end in rule.spans(text):
                if taken.claim(start, end):
                    yield Hit(rule.kind, rule.group, (text[start:end],), rule.tagged)

    def _broken(self, text: str) -> Iterator[Hit]:
        """Tokens that read as such once line breaks are taken out."""
        for joined in _joined(text):
            for rule in self._tokens:
                for span in rule.spans(joined.text):
                    pieces = _own_pieces(joined.pieces(*span), rule)
                    if len(pieces) > 1:
                        yield Hit(rule.kind, rule.group, pieces, rule.tagged)


def make_finder(config: SafetyConfig, environment: Mapping[str, str] = os.environ) -> Finder:
    """The finder that the settings describe. Raises `ConfigError` as `known` does."""
    return Finder(config, known(config, environment))


class _Taken:
    """Places of a text that something was found in, none overlapping another."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def claim(self, start: int, end: int) -> bool:
        """Take a place; False if some of it is taken."""
        place = bisect_right(self._starts, start)
        before = place and self._ends[place - 1] > start
        after = place < len(self._starts) and self._starts[place] < end
        if before or after:
            return False
        self._starts.insert(place, start)
        self._ends.insert(place, end)
        return True


class _Joined:
    """A part of a text without the breaks inside it, and the way back."""

    def __init__(self, text: str, start: int, end: int, breaks: Sequence[tuple[int, int]]) -> None:
        parts: list[str] = []
        self._cuts: list[int] = []
        """Where in the joined text a break was."""
        for a, b in breaks:
            parts.append(text[start:a])
            self._cuts.append((self._cuts[-1] if self._cuts else 0) + a - start)
            start = b
        self.text = "".join((*parts, text[start:end]))

    def pieces(self, start: int, end: int) -> tuple[str, ...]:
        """What is between two places, parted where the breaks were."""
        inside = self._cuts[bisect_right(self._cuts, start) : bisect_right(self._cuts, end - 1)]
        places = [start, *inside, end]
        return tuple(self.text[a:b] for a, b in pairwise(places))


def _joined(text: str) -> Iterator[_Joined]:
    """The surroundings of every break that may be inside a token, neighbouring breaks together."""
    group: list[tuple[int, int]] = []
    for found in _BREAK.finditer(text):
        if not _RANDOM.search(text, found.start() - _TAIL, found.start()):
            continue
        if group and found.start() - group[-1][1] > _AROUND:
            yield _Joined(text, max(0, group[0][0] - _AROUND), group[-1][1] + _AROUND, group)
            group = []
        group.append(found.span())
    if group:
        yield _Joined(text, max(0, group[0][0] - _AROUND), group[-1][1] + _AROUND, group)


def _own_pieces(pieces: tuple[str, ...], rule: Rule) -> tuple[str, ...]:
    """Without the words of later lines that a pattern without an end has run into."""
    while len(pieces) > 1 and not _MIXED.match(pieces[-1]) and next(rule.spans("".join(pieces[:-1])), None):
        pieces = pieces[:-1]
    return pieces
