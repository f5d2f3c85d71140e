"""What lies in and around the functions of a file: statements, branches, calls, comments, decorators."""

import re
from bisect import bisect_left
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from tree_sitter import Node

    from sera.repositories.languages.parsing import Captures

_WORDS = re.compile(rb"[\w\s.$#=:]*")
"""What may stand between the beginning of a line and a definition that takes up the line."""
_MARKER = re.compile(r"^\s*(?:/\*+!?|//[/!]*|\*+/?)?\s*|\s*\*+/\s*$")
_NO_WORDS = re.compile(
    r"[\W_]*$|[@#]|eslint|tslint|prettier|istanbul|c8 |v8 |nolint|go:|lint:|noinspection|ts-|webpack"
)
"""Lines of a comment that say nothing about the function, such as orders to tools."""

_ABOUT_FILE = ("//!", "/*!")
"""Comments on what they stand in, not on what follows."""


class Lead(msgspec.Struct, frozen=True):
    """What stands before a function."""

    start: int
    """Offset in its first line, decorators included."""
    summary: str
    """First line of the comment that ends right above it, or empty."""
    decorators: tuple[str, ...]


class Marks:
    """The marks of one file, by their offsets."""

    def __init__(self, content: bytes, captures: "Captures") -> None:
        self._content = content
        self._statements = sorted(node.start_byte for node in captures.get("statement", ()))
        self._branches = sorted(node.start_byte for node in captures.get("branch", ()))
        self._decorators = sorted(self._extent(node) for node in captures.get("decorator", ()))
        self._decorator_ends = {end: start for start, end in self._decorators}
        self._comment_ends = {
            end: start for start, end in (self._extent(node) for node in captures.get("comment", ()))
        }
        self.calls = sorted(
            (node.start_byte, content[node.start_byte : node.end_byte].decode())
            for node in captures.get("call", ())
        )
        """(offset, name) of every call."""

    def statements(self, node: "Node") -> int:
        """Statements that begin in a node."""
        return _within(self._statements, node.start_byte, node.end_byte)

    def branches(self, node: "Node") -> int:
        """Control flow that begins in a node."""
        return _within(self._branches, node.start_byte, node.end_byte)

    def lead(self, head: int, name: int) -> Lead:
        """What stands before a definition that begins at `head` and has its name at `name`."""
        inside = self._decorators[
            bisect_left(self._decorators, (head, 0)) : bisect_left(self._decorators, (name, 0))
        ]
        decorators = [self._one_line(*extent) for extent in inside]
        comments: list[str] = []
        first = place = self._line_of(head)
        while True:
            end = self._behind(place)
            if (start := self._decorator_ends.get(end)) is not None:
                decorators.insert(0, self._one_line(start, end))
                first = place = start
            elif (start := self._comment_ends.get(end)) is not None and self._is_above(start, end, place):
                comments.insert(0, self._content[start:end].decode())
                place = start
            else:
                return Lead(first, _summary(comments), tuple(decorators))

    def _extent(self, node: "Node") -> tuple[int, int]:
        """A node without the line end that some grammars count to a comment."""
        end = node.end_byte
        return node.start_byte, end - 1 if self._content[end - 1 : end] == b"\n" else end

    def _margin(self, place: int) -> int:
        return self._content.rfind(b"\n", 0, place) + 1

    def _line_of(self, head: int) -> int:
        """`head`, or the beginning of its line if only words of the same definition stand there."""
        margin = self._margin(head)
        return margin if _WORDS.fullmatch(self._content, margin, head) else head

    def _behind(self, place: int) -> int:
        """The end of what stands before, white space left out."""
        while place and self._content[place - 1] in b" \t\n\f":
            place -= 1
        return place

    def _is_above(self, start: int, end: int, place: int) -> bool:
        """Whether a comment begins its line and no empty line separates it from `place`."""
        adjoining = self._content.count(b"\n", end, place) <= 1
        return adjoining and not self._content[self._margin(start) : start].strip()

    def _one_line(self, start: int, end: int) -> str:
        return " ".join(self._content[start:end].decode().split())


def _within(positions: list[int], start: int, end: int) -> int:
    return bisect_left(positions, end) - bisect_left(positions, start)


def _summary(comments: list[str]) -> str:
    outer = (comment for comment in comments if not comment.startswith(_ABOUT_FILE))
    lines = (_MARKER.sub("", line) for comment in outer for line in comment.split("\n"))
    return next((line for line in lines if not _NO_WORDS.match(line)), "")
