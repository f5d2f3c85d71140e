"""What a patch changes: lines, files, functions.

Functions are told from the diff alone: by the heading that git writes behind `@@`, and by the `def` and
`class` lines inside the hunk. A change before any of these counts for its module only.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from unidiff.errors import UnidiffParseError
from unidiff.patch import Hunk, PatchedFile, PatchSet

_NAMED = re.compile(r"\s*(?:async\s+)?(?:def|class)\s+(\w+)")
Place = tuple[str, str]
"""Path of a file, and the last name of a function or class in it."""


class PatchFacts(NamedTuple):
    """What can be said of a patch without the repository."""

    lines: int
    """Added and removed lines, blank ones included; by their sign alone if the diff is malformed."""
    files: frozenset[str]
    """Paths before and after a rename; empty if the diff is malformed."""
    places: frozenset[Place]
    """Functions and classes in which a line is changed."""
    changed: tuple[str, ...]
    """Added and removed lines in their order with their sign, blank ones left out, space at both ends
    removed: a function that moved into a class is the same."""


@lru_cache(maxsize=128)
def read_patch(diff: str) -> PatchFacts:
    """The facts of a unified diff. Any text is accepted. The last ones are remembered."""
    try:
        parsed = PatchSet(diff)
    except UnidiffParseError:
        lines = [line for line in diff.split("\n") if line.startswith(("+", "-"))]
        return PatchFacts(len(lines), frozenset(), frozenset(), _normal(lines))
    changed = [line.line_type + line.value for file in parsed for hunk in file for line in hunk]
    changed = [line for line in changed if line.startswith(("+", "-"))]
    return PatchFacts(
        lines=len(changed),
        files=frozenset(path for file in parsed for path in _paths(file)),
        places=frozenset(place for file in parsed for hunk in file for place in _places(file, hunk)),
        changed=_normal(changed),
    )


def _normal(lines: list[str]) -> tuple[str, ...]:
    return tuple(line[0] + line[1:].strip() for line in lines if line[1:].strip())


def _paths(file: PatchedFile) -> Iterator[str]:
    for path in (file.source_file, file.target_file):
        if path != "/dev/null":
            yield path.removeprefix("a/" if path == file.source_file else "b/")


def _places(file: PatchedFile, hunk: Hunk) -> Iterator[Place]:
    heading = _NAMED.match(hunk.section_header or "")
    name = heading[1] if heading else ""
    for line in hunk:
        if found := _NAMED.match(line.value):
            name = found[1]
        if line.line_type in "+-" and line.value.strip() and name:
            for path in _paths(file):
                yield path, name
