"""The redactor: a pure function from text to text, and the placeholders it leaves."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from sera.redaction.config import RedactionConfig
from sera.redaction.known import Known
from sera.redaction.private_keys import MARK, hide_private_keys
from sera.redaction.shapes import Shape, shapes
from sera.redaction.values import known_values, lines_of

_OPENING = "[redacted "
_PLACEHOLDER = re.compile(r"(\[redacted [a-z][a-z-]*(?: [0-9a-f]{4})?\])")
_KIND = re.compile(r"\[redacted ([a-z-]+)")
_PRIVATE_KEY = "private-key"
_SHORTEST_KEY = 8
_ROUNDS = 16
"""Searches for what another secret hid, each as long as the text; an ordinary one takes two."""
_TAG_DIGITS = 4
"""Hex digits of a tag: enough to tell a run's secrets apart, far too few to check a guess of a random one."""


class Redactor:
    """Takes secrets out of texts. `clean` keeps the number of lines, and cleaning twice changes no more."""

    def __init__(
        self,
        values: Sequence[str] = (),
        kinds: Sequence[Shape] = (),
        keys: bool = False,
        refuses: bool = False,
    ) -> None:
        self.refuses = refuses
        """Whether an observation that holds a placeholder is to be withheld whole."""
        self._known = Known(values)
        self._shapes = tuple(kinds)
        self._keys = keys

    def __repr__(self) -> str:
        return f"Redactor({len(self._known)} values, {len(self._shapes)} shapes)"

    def clean(self, text: str) -> str:
        """`text` with a placeholder in the place of every secret. Where one is found there may be another
        that it hid, so the search is repeated until it finds none. What still holds some after `_ROUNDS` is
        secrets behind one another without end, and replaced whole."""
        for _ in range(_ROUNDS):
            if (cleaned := self._clean(text, self._clean_part)) == text:
                return text
            text = cleaned
        return self._clean(text, self._clean_whole)

    def _clean(self, text: str, clean: Callable[[str], str]) -> str:
        if _OPENING not in text:
            return clean(text)
        parts = _PLACEHOLDER.split(text)
        return "".join(part if n % 2 else clean(part) for n, part in enumerate(parts))

    def _clean_whole(self, text: str) -> str:
        if self._clean_part(text) == text:
            return text
        return "\n".join(f"{_OPENING}secret]" if line.strip() else line for line in text.split("\n"))

    def _clean_part(self, text: str) -> str:
        text = self._known.hide(text, f"{_OPENING}secret]")
        for shape in self._shapes:
            text = shape.hide(text, partial(_placeholder, shape.kind))
        if self._keys and MARK in text:
            text = hide_private_keys(text, f"{_OPENING}{_PRIVATE_KEY}]")
        return text


OFF = Redactor()
"""Lets everything through."""


def make_redactor(
    config: RedactionConfig, keys: Iterable[str] = (), environment: Mapping[str, str] = os.environ
) -> Redactor:
    """The redactor that the settings describe. `keys` are further secrets: the teacher's, whatever their
    variables are called; short ones are placeholders such as `EMPTY` and left out. Raises `ConfigError` as
    `known_values` does.
    """
    if config.mode == "off":
        return OFF
    own = {line for key in keys if len(key) >= _SHORTEST_KEY for line in lines_of(key)}
    return Redactor(
        [*known_values(config, environment), *own],
        [shape for shape in shapes() if shape.kind not in config.ignore],
        _PRIVATE_KEY not in config.ignore,
        config.mode == "refuse",
    )


def placeholders(texts: Iterable[str]) -> dict[str, int]:
    """How often each kind of secret was redacted in these texts, by the placeholders in them."""
    found = Counter(
        match[1]
        for text in texts
        if _OPENING in text
        for match in map(_KIND.match, _PLACEHOLDER.findall(text))
        if match
    )
    return dict(sorted(found.items()))


def _placeholder(kind: str, secret: str, untagged: bool) -> str:
    tag = "" if untagged else " " + hashlib.sha256(secret.encode(errors="replace")).hexdigest()[:_TAG_DIGITS]
    return f"{_OPENING}{kind}{tag}]"
