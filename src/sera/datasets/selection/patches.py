"""What a patch changes: lines, files, functions.

Functions are told from the diff alone: by the heading that git writes behind `@@`, and by the `def` and
`class` lines inside the hunk. A heading is a method's own line only where git was told that the file is
Python, as in our sandboxes; else it may be that of the class, or of the function around. What the diff leaves
open is said of the file: see `PatchFacts.unplaced`.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from unidiff.errors import UnidiffParseError
from unidiff.patch import Hunk, PatchedFile, PatchSet

_DEFINED = re.compile(
    r"(?P<space>\s*)(?:async\s+)?(?P<kind>def|class)\s+(?P<name>\w+)(?:\[.*\])?\s*(?P<method>\(\s*(?:self|cls)\b)?"
)
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
    unplaced: frozenset[str]
    """Files with a change that may be in yet another function: outside of what the diff names, or in what may
    lie inside a function that it does not name; and files that are not Python, or changed without a line."""
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
        return PatchFacts(len(lines), frozenset(), frozenset(), frozenset(), _normal(lines))
    changed = [line.line_type + line.value for file in parsed for hunk in file for line in hunk]
    changed = [line for line in changed if line.startswith(("+", "-"))]
    return PatchFacts(
        lines=len(changed),
        files=frozenset(path for file in parsed for path in _paths(file)),
        places=frozenset(place for file in parsed for place in _places(file)),
        unplaced=frozenset(path for file in parsed if _is_unplaced(file) for path in _paths(file)),
        changed=_normal(changed),
    )


def _normal(lines: list[str]) -> tuple[str, ...]:
    return tuple(line[0] + line[1:].strip() for line in lines if line[1:].strip())


def _paths(file: PatchedFile) -> Iterator[str]:
    for path in (file.source_file, file.target_file):
        if path != "/dev/null":
            yield path.removeprefix("a/" if path == file.source_file else "b/")


class _Definition(NamedTuple):
    name: str
    depth: int
    """Of its indentation."""
    is_outermost: bool
    """Whether it lies in no function, as far as its line tells: at the margin, or a method by its `self`."""


class _Change(NamedTuple):
    """A line added or removed, blank ones left out."""

    definition: _Definition | None
    """The last one before it, or its own."""
    is_placed: bool
    """Whether it surely lies in no function but that."""


def _places(file: PatchedFile) -> Iterator[Place]:
    for hunk in file:
        for change in _changes(hunk):
            if change.definition:
                for path in _paths(file):
                    yield path, change.definition.name


def _is_unplaced(file: PatchedFile) -> bool:
    is_python = all(path.endswith(".py") for path in _paths(file))
    return not (is_python and len(file)) or not all(one.is_placed for hunk in file for one in _changes(hunk))


def _changes(hunk: Hunk) -> Iterator[_Change]:
    """What is removed is placed among the old lines, what is added among the new ones."""
    heading = _defined(hunk.section_header or "", is_heading=True)
    last = dict.fromkeys("-+", heading)
    for line in hunk:
        sides = [line.line_type] if line.line_type in last else [*last]
        own = _defined(line.value)
        if own:
            last.update(dict.fromkeys(sides, own))
        if line.line_type in last and line.value.strip():
            above = last[line.line_type]
            yield _Change(above, own.is_outermost if own else _is_placed(line.value, above, hunk))


def _is_placed(text: str, above: _Definition | None, hunk: Hunk) -> bool:
    if above is None:
        return hunk.source_start <= 1
    depth = _depth(text)
    return above.is_outermost and (depth > above.depth or (depth == 0 and not text.startswith("@")))


def _defined(text: str, is_heading: bool = False) -> _Definition | None:
    """The function or class that a line begins. As a heading, a class tells nothing of the lines under it."""
    found = _DEFINED.match(text)
    if not found:
        return None
    depth = _depth(found["space"] + ".")
    is_outermost = not depth or bool(found["method"])
    return _Definition(found["name"], depth, is_outermost and not (is_heading and found["kind"] == "class"))


def _depth(text: str) -> int:
    spread = text.expandtabs()
    return len(spread) - len(spread.lstrip())
