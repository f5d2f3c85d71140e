"""The rules of the scan: token shapes of `sera.redaction`, `rules.toml`, and what a name calls secret."""

import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from functools import cache
from importlib.resources import files
from itertools import product
from typing import Any

import msgspec

from sera.datasets.safety.checks import CHECKS, named_secret
from sera.redaction.shapes import Shape, shapes


class Group(StrEnum):
    """What a kind of finding means; the default of what is done about it hangs on this."""

    SECRET = "secret"
    SUSPICION = "suspicion"
    PERSONAL = "personal"


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """How one kind is recognised. See the head of `rules.toml`."""

    kind: str
    group: Group
    patterns: tuple[re.Pattern[str], ...]
    needs: tuple[str, ...] = ()
    near: str = ""
    check: Callable[[str], bool] | None = None
    allow: re.Pattern[str] | None = None
    behind: re.Pattern[str] | None = None
    """What must stand right before a match."""
    tagged: bool = False
    """Whether its values are long and random, so that a placeholder may show four digits of their hash."""
    example: str = ""

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where in `text` something of this kind stands."""
        if self.needs and not any(piece in text for piece in self.needs):
            return
        windows = _windows(text, self.near) if self.near else ((0, len(text)),)
        for pattern, window in product(self.patterns, windows):
            group = "secret" if pattern.groupindex else 0
            for found in pattern.finditer(text, *window):
                if self._counts(found[group]) and self._follows(
                    text[max(0, found.start() - _BEHIND) : found.start()]
                ):
                    yield found.span(group)

    def _counts(self, value: str) -> bool:
        if self.check and not self.check(value):
            return False
        return not (self.allow and self.allow.fullmatch(value))

    def _follows(self, before: str) -> bool:
        return not self.behind or bool(self.behind.search(before))


def _windows(text: str, piece: str) -> tuple[tuple[int, int], ...]:
    """The parts of a text around each `piece`, none overlapping another."""
    windows: list[tuple[int, int]] = []
    place = text.find(piece)
    while place >= 0:
        start, end = max(0, place - _AROUND), min(len(text), place + _AROUND)
        if windows and start <= windows[-1][1]:
            start = windows.pop()[0]
        windows.append((start, end))
        place = text.find(piece, place + 1)
    return tuple(windows)


_AROUND = 400
"""Characters on either side of what `near` names."""
NAMED = "named-secret"
"""Kind of what stands behind `password =` and its like."""
PRIVATE_KEY = "private-key"
"""Kind of the lines of a key block, which no pattern describes: see `sera.redaction.private_keys`."""
KNOWN = "known-value"
"""Kind of the values that the settings and the environment name."""

_BEHIND = 48
_NAME = re.compile(
    r"(?:key|token|secret|pass(?:word|wd|phrase)?|pwd|cred(?:ential)?)s?(?:_\w{0,16})?"
    r"""\\?["'`]?\]?[ \t]*[:=]?\Z""",
    re.IGNORECASE,
)
_ASSIGNED = re.compile(
    r"""[:=>][ \t]*[bfruBFRU]{0,2}\\?(?P<quote>["'`])?"""
    r"(?P<secret>(?=[^\s\"'`]{0,127}\d)[A-Za-z0-9+/=_.~!@#%^&*?-]{10,128})"
    r"(?(quote)(?=\\?(?P=quote))|(?=[\s,;]|\Z))"
)
_PLACEHOLDERS = (
    r"(?i:.*(?:example|changeme|placeholder|redacted|your[_-]?|dummy|sample|xxxx|1234|abcd|fake|test).*)"
)


@cache
def rules() -> tuple[Rule, ...]:
    """All rules, in the order in which they are tried: what is sure before what is likely."""
    own = tomllib.loads((files("sera.datasets.safety") / "rules.toml").read_text("utf-8"))
    named = Rule(
        kind=NAMED,
        group=Group.SECRET,
        patterns=(_ASSIGNED,),
        behind=_NAME,
        check=named_secret,
        allow=re.compile(_PLACEHOLDERS),
        example="api_key = 'f7Kq2" + "ZxW9mLt4RbV'",
    )
    listed = [_listed(kind, entry) for kind, entry in own.items()]
    secrets = [rule for rule in listed if rule.group is Group.SECRET]
    return (*map(_from_shape, shapes()), *secrets, named, *(r for r in listed if r.group is not Group.SECRET))


def kinds() -> dict[str, Group]:
    """Every kind the scan can find, with its group."""
    return {
        KNOWN: Group.SECRET,
        PRIVATE_KEY: Group.SECRET,
        **{rule.kind: rule.group for rule in rules()},
    }


def _from_shape(shape: Shape) -> Rule:
    return Rule(
        kind=shape.kind,
        group=Group.SECRET,
        patterns=shape.patterns,
        tagged=not shape.untagged,
        example=shape.example,
    )


def _listed(kind: str, entry: dict[str, Any]) -> Rule:
    group = Group(entry["group"])
    return Rule(
        kind=kind,
        group=group,
        patterns=tuple(map(re.compile, entry["patterns"])),
        needs=tuple(entry.get("needs", ())),
        near=entry.get("near", ""),
        check=CHECKS[entry["check"]] if "check" in entry else None,
        allow=_any_of(entry.get("allow", ())),
        tagged=group is Group.SECRET,
        example="".join(entry["example"]),
    )


def _any_of(patterns: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE) if patterns else None
