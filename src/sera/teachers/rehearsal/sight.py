"""Reading observations: numbered listings, outlines by grep, and the places a search found.

Nothing here fails on a text of another kind: what cannot be read is simply not there.
"""

import re
from functools import lru_cache

import msgspec

from sera.teachers.rehearsal.tongues import SUFFIX, definitions, tongue_of

_NUMBERED = re.compile(r"^ *(\d+)\t(.*)$", re.MULTILINE)
_ENTRY = re.compile(r"^(\d+):( *)(.*)$", re.MULTILINE)
_LENGTH = re.compile(r"^ *(\d+) \S", re.MULTILINE)
_NAMED = re.compile(r"(?:async +)?(def|class) +(\w+)")
_HIT = re.compile(rf"^(?:\./)?([^:\n]+\.{SUFFIX}):(\d+):(.*)$", re.MULTILINE)
_PLAIN_IMPORT = re.compile(r"import [\w.]+(?: as \w+)?(?:, *[\w.]+)*\s*(?:#.*)?$")
OUTLINE = r"^(import|from) |^ *(async +def|def|class) |^[A-Za-z_]+ *="
"""What `grep -nE` is asked for, so that `read_outline` can read it."""


class Definition(msgspec.Struct, frozen=True):
    """A `def` or `class` line of a file."""

    line: int
    indent: int
    keyword: str
    name: str


class Outline(msgspec.Struct, frozen=True):
    """What a file holds, as far as one grep shows it."""

    length: int
    definitions: tuple[Definition, ...]
    imports: tuple[tuple[int, str], ...]
    """Top-level import lines that are complete on their line."""
    names: tuple[str, ...]
    """Top-level assignments, as written."""

    def find(self, name: str, near: int) -> Definition | None:
        """The function `name` closest to line `near`."""
        matching = [d for d in self.definitions if d.name == name and d.keyword == "def"]
        return min(matching, key=lambda d: abs(d.line - near), default=None)

    def after(self, definition: Definition) -> int:
        """The line before the next definition outside `definition`, or the last of the file."""
        for other in self.definitions:
            if other.line > definition.line and other.indent <= definition.indent:
                return other.line - 1
        return self.length

    def owner(self, definition: Definition) -> str:
        """Names of the definitions around, with a dot behind each: `Parser.` or empty."""
        names, indent = [], definition.indent
        for other in reversed(self.definitions):
            if other.line < definition.line and other.indent < indent:
                names.append(other.name)
                indent = other.indent
        return "".join(f"{name}." for name in reversed(names))

    def ambiguous(self, name: str) -> bool:
        """Whether several functions of the file have this name."""
        return sum(d.name == name and d.keyword == "def" for d in self.definitions) > 1


class Hit(msgspec.Struct, frozen=True):
    """One line that a search found."""

    path: str
    line: int
    text: str


def read_listing(observation: str) -> dict[int, str]:
    """Line number → text of a numbered listing."""
    return {int(number): text for number, text in _NUMBERED.findall(observation)}


@lru_cache(maxsize=256)
def read_outline(observation: str, path: str = "") -> Outline:
    """The answer to `wc -l` and `grep -nE OUTLINE` of one file; of `tongues.OUTLINE` if it is not Python."""
    length = _LENGTH.search(observation)
    if tongue_of(path):
        defined = tuple(Definition(*found) for found in definitions(observation))
        return Outline(
            int(length[1]) if length else max((d.line for d in defined), default=0), defined, (), ()
        )
    found, imports, names = [], [], []
    for number, indent, text in _ENTRY.findall(observation):
        if named := _NAMED.match(text):
            found.append(Definition(int(number), len(indent), named[1], named[2]))
        elif _PLAIN_IMPORT.match(text) and not indent:
            imports.append((int(number), text))
        elif not indent and not text.startswith("from "):
            names.append(text)
    last = found[-1].line if found else 0
    return Outline(int(length[1]) if length else last, tuple(found), tuple(imports), tuple(names))


def read_hits(observation: str) -> list[Hit]:
    """The answer to `grep -rn`."""
    return [Hit(path, int(line), text) for path, line, text in _HIT.findall(observation)]
