"""Settings as they are stored: without what is secret in them.

The value of a variable of the sandbox, a token in an address, and what has the shape of a token become
`sera.settings.REDACTED`, which `load_config` refuses where it is left: it says which key to give again.
None of it decides what data are like, so a run goes on whatever stands there.
"""

import re
from collections.abc import Mapping
from typing import Any

from sera.redaction.addresses import has_shape, looks_secret, secrets_in, shown
from sera.redaction.shapes import shapes
from sera.redaction.values import sounds_secret
from sera.settings import REDACTED

_VARIABLES = ("sandbox", "environment")
"""The table whose values are variables."""
_PLAIN = re.compile(
    r"[A-Za-z]*|[A-Za-z]{0,4}\d*|\w{1,5}"
    r"|(?!\w*[bcdfghjklmnpqrstvwxz]{5})(?:[A-Z]?[a-z]{2,}|[A-Z]{2,})\d{1,3}[a-z]{0,3}|\d{1,3}[a-z]{2,8}"
)
"""A word of a variable's value that is no part of a password: letters, a number, a version, or one with the
other, as in `xterm-256color`, `py311-django42` and `-Xmx512m`."""
_PATH = re.compile(r"/(?:bin|etc|home|lib|mnt|nix|opt|root|run|srv|tmp|usr|var|work|workspace)/|(?:~|\.\.?)/")
"""How a path begins, and hardly any key: base64 has slashes as well."""
_WORD = re.compile(r"[a-z]{1,15}|[A-Z][a-z]{1,14}|[A-Z]{1,15}")
"""What is not looked for in texts, as it would spoil them: `postgres://postgres:postgres@db/x`."""
_SHORTEST = 8
"""Shorter ones are not stored, and not looked for in texts."""


def stored(tree: Any, path: tuple[str, ...] = ()) -> Any:
    """A tree of settings for a record."""
    match tree:
        case dict():
            return {key: stored(value, (*path, key)) for key, value in tree.items()}
        case list() | tuple():
            return [stored(value, path) for value in tree]
        case str() if path[-3:-1] == _VARIABLES and not _is_plain(path[-1], tree):
            return REDACTED
        case str() if path[-2:] == _VARIABLES:
            return REDACTED  # a whole table as one text
        case str():
            return _without_tokens(shown(tree, REDACTED))
        case _:
            return tree


def secrets_of(variables: Mapping[str, str]) -> tuple[str, ...]:
    """The values of a sandbox's variables that are secret: commands may print them."""
    hidden = {value for name, value in variables.items() if not _is_plain(name, value)}
    own = {part for value in hidden for part in secrets_in(value) or (value,)}
    return tuple(sorted(value for value in own if len(value) >= _SHORTEST and not _WORD.fullmatch(value)))


def _is_plain(name: str, value: str) -> bool:
    if sounds_secret(name) or shown(value) != value or has_shape(value):
        return False
    if _PATH.match(value):
        return True
    plain = value.startswith(("/", "~", ".")) or all(map(_PLAIN.fullmatch, re.split(r"[\W_]+", value)))
    return plain and not looks_secret(value)


def _without_tokens(text: str) -> str:
    for shape in shapes():
        text = shape.hide(text, lambda _secret, _untagged: REDACTED)
    return text
