"""One file through a grammar: two queries, and one sweep over what they captured.

Captures of the query for functions:

    @function   a function, with @name; it is called `default` if an export has none, and `computed` if
                its name is known at run time only
    @owner      the type a function belongs to, where it does not lie in it
    @class      what its functions are methods of; @module: what only adds its name

Names are joined as Python joins them: `Type.method`, `outer.<locals>.inner`. What encloses a
function and has no name itself (a callback, a wrapper that is called at once) adds nothing. The
sweep keeps a stack of its own: nesting of any depth is no matter.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec

from sera.repositories.languages.marks import Marks
from sera.repositories.languages.parsing import Captures, Parsed

if TYPE_CHECKING:
    from tree_sitter import Node

_MOST_NAME = 120
_UNNAMED = ("computed", "default")
"""What is called if its name is an expression, and if there is none."""
_ASYNC = re.compile(rb"\basync\b")


class Syntax(msgspec.Struct, frozen=True, kw_only=True):
    """How a grammar's nodes are read."""

    functions: tuple[str, ...]
    """Names of `queries/*.scm` that capture functions and what they lie in; put together."""
    marks: str
    """Name of the one that captures @statement, @branch, @call (the name called), @comment, @decorator."""
    tests: re.Pattern[str] | None = None
    """Matches a decorator that makes what it stands before, and all inside, test code."""
    constructors: frozenset[str] = frozenset()
    """Types of node, or names of methods."""
    tidy: Callable[[str], str] = str
    """Makes a name of a captured text: parts with dots between, or nothing."""


class Found(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A function as found; compared and hashed by identity."""

    qualname: str
    line: int
    end_line: int
    kind: str
    is_async: bool
    is_test: bool
    docstring: str
    decorators: tuple[str, ...]
    statements: int
    refusal: str
    calls: set[str] = msgspec.field(default_factory=set)
    """Names that it calls, those of functions inside it left out."""

    @property
    def name(self) -> str:
        """Its own name."""
        return self.qualname.rpartition(".")[2]


class _Entry(msgspec.Struct, frozen=True):
    """A captured function, class or module, or a stretch that could not be parsed."""

    kind: str
    node: "Node"
    start: int
    end: int
    head: int = 0
    """Where it begins for a reader: its name may stand before its node."""
    name: str = ""
    owner: str = ""


class _Frame(msgspec.Struct, frozen=True):
    """What the sweep is inside of."""

    end: int
    kind: str
    prefix: str
    is_test: bool = False
    broken: bool = False
    found: Found | None = None
    """The innermost function."""


def scan(content: bytes, parsed: Parsed, syntax: Syntax) -> list[Found]:
    """The functions of a file in order of their first line. `content` is UTF-8 with LF."""
    entries = _entries(content, parsed, syntax)
    sweep = _Sweep(content, Marks(content, parsed.captures(query_text(syntax.marks))), syntax)
    return sorted(sweep.run(entries), key=lambda f: (f.line, f.end_line, f.qualname))


@lru_cache(maxsize=32)
def query_text(*names: str) -> str:
    """Queries of these names, one after another."""
    folder = files("sera.repositories.languages") / "queries"
    return "\n".join((folder / f"{name}.scm").read_text("utf-8") for name in names)


def _entries(content: bytes, parsed: Parsed, syntax: Syntax) -> list[_Entry]:
    """What was captured, in order, the outer before the inner."""
    known: dict[tuple[int, int, bool], tuple[int, _Entry]] = {}
    for pattern, captures in parsed.matches(query_text(*syntax.functions)):
        entry = _entry(content, captures, syntax)
        key = (entry.start, entry.end, entry.kind == "function")
        if key not in known or pattern < known[key][0]:
            known[key] = (pattern, entry)
    broken = [_Entry("error", node, node.start_byte, node.end_byte) for node in parsed.errors()]
    return sorted([*broken, *(entry for _, entry in known.values())], key=lambda e: (e.start, -e.end))


def _entry(content: bytes, captures: Captures, syntax: Syntax) -> _Entry:
    def tidy(node: "Node | None") -> str:
        text = content[node.start_byte : node.end_byte] if node else b""
        return syntax.tidy(text.decode()) if len(text) <= _MOST_NAME else ""

    kind = next(kind for kind in ("function", "class", "module") if kind in captures)
    node = captures[kind][0]
    named = captures["name"][0] if "name" in captures else node
    own = node.child_by_field_name("name")
    return _Entry(
        kind,
        node,
        node.start_byte,
        node.end_byte,
        min(node.start_byte, named.start_byte),
        tidy(named if named is not node else own) or tidy(own) or _UNNAMED[named is node],
        tidy(captures["owner"][0]) if "owner" in captures else "",
    )


class _Sweep:
    """Goes once through entries and calls, in their order in the file."""

    def __init__(self, content: bytes, marks: Marks, syntax: Syntax) -> None:
        self._content = content
        self._marks = marks
        self._syntax = syntax
        self._lines = [0, *(match.end() for match in re.finditer(rb"\n", content))]
        self._frames = [_Frame(len(content) + 1, "module", "")]

    def run(self, entries: list[_Entry]) -> Iterator[Found]:
        """The functions, each as soon as it begins: what it calls is complete when all have come."""
        calls = self._marks.calls
        position = 0
        for entry in entries:
            while position < len(calls) and calls[position][0] < entry.start:
                self._call(*calls[position])
                position += 1
            frame = self._enter(self._around(entry.start), entry)
            self._frames.append(frame)
            if entry.kind == "function" and frame.found is not None:
                yield frame.found
        for call in calls[position:]:
            self._call(*call)

    def _around(self, place: int) -> _Frame:
        while self._frames[-1].end <= place:
            self._frames.pop()
        return self._frames[-1]

    def _call(self, place: int, name: str) -> None:
        found = self._around(place).found
        if found is not None:
            found.calls.add(name)

    def _enter(self, outer: _Frame, entry: _Entry) -> _Frame:
        if entry.kind == "error":
            return msgspec.structs.replace(outer, end=min(entry.end, outer.end), broken=True)
        own = entry.node.child_by_field_name("name")
        lead = self._marks.lead(entry.head, own.start_byte if own else entry.start)
        is_test = outer.is_test or bool(
            self._syntax.tests and any(map(self._syntax.tests.search, lead.decorators))
        )
        qualname = outer.prefix + ".".join(filter(None, (entry.owner, entry.name)))
        if entry.kind != "function":
            return _Frame(entry.end, entry.kind, f"{qualname}.", is_test, outer.broken, outer.found)
        statements, refusal = self._judge(entry)
        found = Found(
            qualname=qualname,
            line=bisect_left(self._lines, lead.start + 1),
            end_line=bisect_left(self._lines, entry.end),
            kind=_kind(outer, entry),
            is_async=self._is_async(entry),
            is_test=is_test,
            docstring=lead.summary,
            decorators=lead.decorators,
            statements=statements,
            refusal="syntax error" if outer.broken or entry.node.has_error else refusal,
        )
        return _Frame(entry.end, "function", f"{qualname}.<locals>.", is_test, outer.broken, found)

    def _is_async(self, entry: _Entry) -> bool:
        """Whether the word stands before its name or, if it has none, before its parameters."""
        own, body = (entry.node.child_by_field_name(field) for field in ("name", "body"))
        end = own.start_byte if own else body.start_byte if body else entry.end
        opening = self._content.find(b"(", entry.start, end) if own is None else -1
        return bool(_ASYNC.search(self._content, entry.start, opening if opening >= 0 else end))

    def _judge(self, entry: _Entry) -> tuple[int, str]:
        """Statements of a function, and what speaks against it."""
        body = entry.node.child_by_field_name("body")
        if body is None:
            return 0, "no body"
        result = entry.node.type == "arrow_function" and body.type != "statement_block"
        statements = self._marks.statements(body) + result
        constructs = not self._syntax.constructors.isdisjoint((entry.node.type, entry.name))
        if constructs and not self._marks.branches(body):
            return statements, "constructor"
        return statements, "" if statements else "stub"


def _kind(outer: _Frame, entry: _Entry) -> str:
    if entry.owner or outer.kind == "class" or "." in entry.name:
        return "method"
    return "function" if outer.found is None else "nested"
