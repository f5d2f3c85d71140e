"""What operators share: the source by byte, a function in it, and a change of some of its bytes.

Positions are bytes of the text as UTF-8, without a byte order mark, as `ast` counts columns. Everything
outside of a change stays as it is in the file: `rewritten` puts the text back in the file's own encoding.
"""

import ast
import io
import tokenize
import warnings
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import NamedTuple

from sera.agent import textfiles

_PYTHON = ".py"
Definition = ast.FunctionDef | ast.AsyncFunctionDef


def first_line(node: Definition) -> int:
    """Line on which a function begins, decorators included."""
    return min([node.lineno, *(one.lineno for one in node.decorator_list)])


class Change(NamedTuple):
    """Bytes from `start` to `end` become `text`."""

    start: int
    end: int
    text: str


class Source:
    """One file."""

    def __init__(self, content: bytes) -> None:
        """Raises `ValueError` or `SyntaxError` for what is no source of this Python in an encoding that keeps
        every byte."""
        self._file = textfiles.read(_PYTHON, content)
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        if content.decode(encoding) != self._file.text:
            raise ValueError(f"Python reads this file as {encoding}, which does not keep every byte")
        self.content = self._file.text.encode()
        with warnings.catch_warnings(action="ignore"):
            self.tree = ast.parse(self._file.text)
        self._lines = [0]
        for line in self.content.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))

    def rewritten(self, start: int, end: int, text: str) -> bytes:
        """The file with other text in place of some bytes."""
        changed = self.content[:start] + text.encode() + self.content[end:]
        return self._file.rewritten(_PYTHON, changed.decode())

    def at(self, line: int, column: int = 0) -> int:
        """Byte of a line, from 1, and a column in bytes."""
        return self._lines[line - 1] + column

    def start(self, node: ast.AST) -> int:
        """First byte of a node."""
        return self.at(node.lineno, node.col_offset)  # type: ignore[attr-defined]

    def end(self, node: ast.AST) -> int:
        """Byte after a node."""
        return self.at(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]

    def text(self, node: ast.AST) -> str:
        """A node's own text."""
        return self.content[self.start(node) : self.end(node)].decode()

    def between(self, start: int, end: int) -> str:
        """Text of some bytes."""
        return self.content[start:end].decode()

    def replace(self, node: ast.AST, text: str) -> Change:
        """A change of a node's text."""
        return Change(self.start(node), self.end(node), text)

    def without(self, statement: ast.stmt) -> Change:
        """A statement taken out, with its lines."""
        return Change(self.at(statement.lineno), self.at((statement.end_lineno or 0) + 1), "")

    def alone(self, statement: ast.stmt) -> bool:
        """Whether a statement has its lines to itself."""
        before = self.between(self.at(statement.lineno), self.start(statement))
        after = self.between(self.end(statement), self.at((statement.end_lineno or 0) + 1))
        return not before.strip() and not after.partition("#")[0].strip()

    def find(self, line: int) -> Definition | None:
        """The function whose first line, decorators included, is that."""
        for node in ast.walk(self.tree):
            if isinstance(node, Definition) and line == first_line(node):
                return node
        return None


class Scope:
    """One function, as operators see it: its own code, that of functions inside it left out."""

    def __init__(self, source: Source, function: Definition) -> None:
        self.source = source
        self.function = function

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Every node of the body, in the order of the source."""
        return list(self._walk(self._body()))

    def of(self, *kinds: type[ast.AST]) -> Iterator[ast.AST]:
        """Nodes of some kinds."""
        return (node for node in self.nodes if isinstance(node, kinds))

    @cached_property
    def names(self) -> list[str]:
        """Parameters and local variables, in the order in which they come."""
        arguments = self.function.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        stored = [n.id for n in self.nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
        return list(dict.fromkeys([one.arg for one in every if one.arg not in ("self", "cls")] + stored))

    @cached_property
    def blocks(self) -> list[list[ast.stmt]]:
        """Every list of statements of the body."""
        lists = [self._body()]
        for node in self.nodes:
            for field in ("body", "orelse", "finalbody"):
                block = getattr(node, field, None)
                if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
                    lists.append(block)
        return lists

    def _body(self) -> list[ast.stmt]:
        body = self.function.body
        first = body[0]
        documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
        return body[1:] if documented and isinstance(first.value.value, str) else body  # type: ignore[attr-defined]

    def _walk(self, nodes: list[ast.stmt]) -> Iterator[ast.AST]:
        waiting: list[ast.AST] = list(reversed(nodes))
        while waiting:
            node = waiting.pop()
            yield node
            if isinstance(node, ast.JoinedStr | ast.FormattedValue):
                continue  # its parts have no places of their own before Python 3.12
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                waiting += reversed(list(ast.iter_child_nodes(node)))


Operator = Callable[[Scope], Iterator[Change]]
