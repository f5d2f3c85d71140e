"""One parse and any number of queries, each bounded in time. The only module that knows tree-sitter's API.

The parser recovers from any error and neither it nor a query recurses, so no file can make either
crash. A parser that takes longer than `_SECONDS` is stopped. A query cannot be stopped (its callback
crashes version 0.26.1 of the bindings), so what would take it long is kept from it: its time grows with
the depth of what it looks into, and with the square of a run of signs without a word between them.

Nodes are asked for types and offsets only, never for their text: what they were parsed from is read
through a callback, which bindings have handled badly before.
"""

import re
import time
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tree_sitter import Language, Node, Query, QueryCursor

_SECONDS = 20.0
_CHUNK = 1 << 16
_DEPTH = 500
"""Levels of syntax below which nothing is looked for: a level that a person sees is up to six of them."""

Captures = dict[str, "list[Node]"]
"""Capture → nodes."""


_SIGNS = re.compile(rb"(?:[!-/:-@\[-^`{-~]\s*+){5000}")


class TooSlow(Exception):
    """The parser took longer than its time, or a query would."""


class Parsed:
    """A syntax tree. `TooSlow` from its making only."""

    def __init__(self, content: bytes, module: str, dialect: str) -> None:
        from tree_sitter import Parser

        if _SIGNS.search(content):
            raise TooSlow
        self._grammar = (module, dialect)
        deadline = time.monotonic() + _SECONDS
        try:
            tree = Parser(_language(module, dialect)).parse(
                lambda offset, _: content[offset : offset + _CHUNK],
                progress_callback=lambda *_: time.monotonic() > deadline,
            )
        except ValueError as error:  # how the parser says that it was told to stop
            raise TooSlow from error
        self.root = tree.root_node

    @property
    def hopeless(self) -> bool:
        """Whether nothing in the file could be made sense of."""
        return self.root.type == "ERROR"

    def matches(self, query: str) -> list[tuple[int, Captures]]:
        """(number of the pattern, what it captured), for every place that fits."""
        return self._cursor(query).matches(self.root)

    def captures(self, query: str) -> Captures:
        """Everything captured, whatever the pattern."""
        return self._cursor(query).captures(self.root)

    def _cursor(self, query: str) -> "QueryCursor":
        from tree_sitter import QueryCursor

        cursor = QueryCursor(_query(*self._grammar, query))
        cursor.set_max_start_depth(_DEPTH)
        return cursor

    def errors(self) -> "list[Node]":
        """What could not be parsed."""
        return self.captures("(ERROR) @error").get("error", []) if self.root.has_error else []


@lru_cache(maxsize=16)
def _language(module: str, dialect: str) -> "Language":
    from tree_sitter import Language

    make: Callable[[], Any] = getattr(import_module(module), dialect)
    return Language(make())


@lru_cache(maxsize=64)
def _query(module: str, dialect: str, text: str) -> "Query":
    from tree_sitter import Query

    return Query(_language(module, dialect), text)
