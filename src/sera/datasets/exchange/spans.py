"""Finding what stands between two marks in a stranger's text, in one pass: a regular expression with a lazy
middle looks through the whole rest for each opening mark that is never closed.
"""

from collections.abc import Iterator
from typing import NamedTuple


class Span(NamedTuple):
    """A place in a text."""

    start: int
    """Of the opening mark."""
    stop: int
    """Behind the closing one."""
    inside: str


def spans(text: str, opening: str, closing: str) -> Iterator[Span]:
    """Every part from an opening mark to the next closing one, in order."""
    stop = 0
    while (start := text.find(opening, stop)) >= 0:
        end = text.find(closing, start + len(opening))
        if end < 0:
            return
        stop = end + len(closing)
        yield Span(start, stop, text[start + len(opening) : end])


def without(text: str, found: list[Span]) -> str:
    """The text between and around these."""
    edges = [0, *(edge for span in found for edge in (span.start, span.stop)), len(text)]
    return "".join(text[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True))
