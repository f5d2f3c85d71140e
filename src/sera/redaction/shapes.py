"""Token shapes: what a secret of a well-known kind looks like. The table is `shapes.toml`."""

import re
import tomllib
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec


class Shape(msgspec.Struct, frozen=True):
    """One kind of token. See the head of `shapes.toml`."""

    kind: str
    patterns: tuple[re.Pattern[str], ...]
    untagged: bool
    example: str

    def hide(self, text: str, placeholder: Callable[[str, bool], str]) -> str:
        """`text` with every token of this kind replaced by `placeholder(token, untagged)`."""
        for pattern in self.patterns:
            if pattern.search(text):
                text = pattern.sub(lambda found: self._replace(found, placeholder), text)
        return text

    def _replace(self, found: re.Match[str], placeholder: Callable[[str, bool], str]) -> str:
        group = "secret" if found.re.groupindex else 0
        start, end = (place - found.start() for place in found.span(group))
        return found[0][:start] + placeholder(found[group], self.untagged) + found[0][end:]


@cache
def shapes() -> tuple[Shape, ...]:
    """All shapes, in the order in which they are tried."""
    text = (files("sera.redaction") / "shapes.toml").read_text("utf-8")
    return tuple(_shape(kind, entry) for kind, entry in tomllib.loads(text).items())


def _shape(kind: str, entry: dict[str, Any]) -> Shape:
    return Shape(
        kind=kind,
        patterns=tuple(map(re.compile, entry["patterns"])),
        untagged=entry.get("untagged", False),
        example="".join(entry["example"]),
    )
