"""Patterns of paths, as a line of `.gitignore` has them: what is sampled from, or left out of a snapshot.

docs            whatever has this name, at any depth, and all below it
*.csv           the same of a pattern
/noxfile.py     only at the root; so is every pattern with a slash inside
data/**/*.npz   `*` and `?` stay within a name, `**/` is any number of directories, `[ab]` one of these
"""

import re
from collections.abc import Iterable

from sera.errors import ConfigError

_LONGEST = 1_000
"""Characters of a pattern."""


class Globs:
    """What any of some patterns matches."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Raises `ConfigError` for what is no pattern."""
        self._compiled = {pattern: _compiled(pattern) for pattern in patterns}

    def __bool__(self) -> bool:
        return bool(self._compiled)

    def match(self, path: str) -> bool:
        """Whether a path, relative to the root, or a directory that it lies in, is matched."""
        return any(pattern.match(path) for pattern in self._compiled.values())

    def idle(self, paths: Iterable[str]) -> tuple[str, ...]:
        """The patterns that match none of these."""
        left = dict(self._compiled)
        for path in paths if left else ():
            for pattern in [text for text, compiled in left.items() if compiled.match(path)]:
                del left[pattern]
        return tuple(left)


def _compiled(pattern: str) -> re.Pattern[str]:
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    if not parts or ".." in parts or pattern.startswith("!") or len(pattern) > _LONGEST:
        raise ConfigError(
            f"{pattern[:100]!r} is no pattern of paths: write it as in .gitignore, such as docs/ or *.csv"
        )
    anchored = "/" in pattern.rstrip("/")
    inner = "".join("(?:[^/]+/)*" if part == "**" else _part(part) + "/" for part in parts[:-1])
    last = "[^/]+" if parts[-1] == "**" else _part(parts[-1])
    try:
        return re.compile(f"{'' if anchored else '(?:[^/]+/)*'}{inner}{last}(?:/|$)", re.DOTALL)
    except re.error:
        raise ConfigError(
            f"{pattern!r} is no pattern of paths: its brackets do not close, or hold nothing"
        ) from None


def _part(part: str) -> str:
    """One name between slashes as a regular expression."""
    words = re.split(r"(\*+|\?|\[!?\]?[^\]/]*\])", part)
    return "".join(_word(word) for word in words)


def _word(word: str) -> str:
    if word.startswith("*"):
        return "[^/]*"
    if word == "?":
        return "[^/]"
    if word.startswith("[") and word.endswith("]") and len(word) > 2:
        inner = word[1:-1].replace("\\", r"\\").replace("[", r"\[")
        return f"(?!/)[{'^' + inner[1:] if inner.startswith('!') else inner}]"
    return re.escape(word)
