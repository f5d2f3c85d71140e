"""One function as text and, in Python, as a tree: analysis by `ast`, changes by splicing, so nothing is
reformatted."""

import ast
from collections.abc import Iterable
from functools import cached_property, lru_cache

import msgspec

from sera.teachers.rehearsal.tongues import Tongue, tongue_of

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
_ENDS_TRIED = 12
_INDENT = 4
_AROUND = 3


class Change(msgspec.Struct, frozen=True):
    """Replace `start` to `end`, offsets into a function's text, by `text`."""

    start: int
    end: int
    text: str


class Hunk(msgspec.Struct, frozen=True):
    """Changed lines: `old` stood from line index `start` of the function, `new` takes its place."""

    start: int
    old: tuple[str, ...]
    new: tuple[str, ...]


class Piece:
    """A function cut out of a file, as lines. Immutable; made by `read_code`."""

    def __init__(
        self,
        path: str,
        first: int,
        lines: tuple[str, ...],
        name: str,
        around: tuple[tuple[str, ...], tuple[str, ...]],
    ) -> None:
        self.path = path
        self.first = first
        """Line number in the file of `lines[0]`: the first decorator, or the line that defines it."""
        self.lines = lines
        self.text = "\n".join(lines) + "\n"
        self.name = name
        """Its own name, without those around it."""
        self.before, self.after = around
        """A few lines of the file on both sides, as far as they were seen."""
        self._offsets = [0]
        for line in lines:
            self._offsets.append(self._offsets[-1] + len(line) + 1)

    @property
    def indent(self) -> str:
        """Whitespace before it."""
        return self.lines[0][: _depth(self.lines[0])]

    def line_of(self, offset: int) -> int:
        """Index of the line that holds an offset."""
        return self.text.count("\n", 0, offset)


class PlainCode(Piece):
    """A function of a language that is not parsed; complete, from its first line to its closing brace."""

    def __init__(
        self,
        path: str,
        first: int,
        lines: tuple[str, ...],
        name: str,
        around: tuple[tuple[str, ...], tuple[str, ...]],
        tongue: Tongue,
    ) -> None:
        super().__init__(path, first, lines, name, around)
        self.tongue = tongue
        self.opening = next((n for n, line in enumerate(lines) if line.rstrip().endswith("{")), 0)
        """Index of the line whose brace opens the body."""

    def line_start(self, number: int) -> int:
        """Offset of a line by its index."""
        return self._offsets[number]


class Code(Piece):
    """A function of Python, parsed."""

    def __init__(
        self,
        path: str,
        first: int,
        lines: tuple[str, ...],
        node: FunctionNode,
        whole: bool,
        around: tuple[tuple[str, ...], tuple[str, ...]],
    ) -> None:
        super().__init__(path, first, lines, node.name, around)
        self.node = node
        self.whole = whole
        """False if only the beginning of the function is here: nothing may be said about all of it."""
        self._ascii = self.text.isascii()

    @property
    def room(self) -> bool:
        """Whether another definition can stand in front of it: an empty line, and no decorator, is there."""
        decorated = self.lines[0].lstrip().startswith("@")
        return bool(self.before) and not self.before[-1].strip() and not decorated

    @property
    def indent(self) -> str:
        """Whitespace before `def`."""
        line = self.lines[self.node.lineno - 2]
        return line[: len(line) - len(line.lstrip())]

    @property
    def body(self) -> list[ast.stmt]:
        """Its statements without the docstring."""
        return self.node.body[1:] if self.docstring else self.node.body

    @property
    def docstring(self) -> ast.Expr | None:
        """The docstring's statement."""
        first = self.node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            return first if isinstance(first.value.value, str) else None
        return None

    @property
    def parameters(self) -> list[ast.arg]:
        """All parameters but `self` and `cls`, and but the starred ones."""
        arguments = self.node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        return [argument for argument in every if argument.arg not in ("self", "cls")]

    @property
    def receiver(self) -> str:
        """`self`, `cls` or nothing."""
        arguments = [*self.node.args.posonlyargs, *self.node.args.args]
        return arguments[0].arg if arguments and arguments[0].arg in ("self", "cls") else ""

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """Every node inside the function."""
        return tuple(ast.walk(self.node))[1:]

    def at(self, line: int, column: int) -> int:
        """Offset of a position as `ast` gives it: columns in UTF-8 bytes."""
        text = self.lines[line - 2]
        if not self._ascii:
            column = len(text.encode()[:column].decode("utf-8", "replace"))
        return self._offsets[line - 2] + column

    def start(self, node: ast.expr | ast.stmt | ast.arg) -> int:
        """Offset of a node's first character."""
        return self.at(node.lineno, node.col_offset)

    def end(self, node: ast.expr | ast.stmt | ast.arg) -> int:
        """Offset behind a node's last character."""
        return self.at(node.end_lineno or node.lineno, node.end_col_offset or 0)

    def line_start(self, node: ast.expr | ast.stmt) -> int:
        """Offset of the line on which a statement begins, its decorators included."""
        decorators: list[ast.expr] = getattr(node, "decorator_list", [])
        return self._offsets[min([node.lineno, *(d.lineno for d in decorators)]) - 2]

    def line_after(self, node: ast.expr | ast.stmt) -> int:
        """Offset of the line behind a statement."""
        return self._offsets[(node.end_lineno or node.lineno) - 1]

    def segment(self, node: ast.expr | ast.stmt | ast.arg) -> str:
        """The text of a node."""
        return self.text[self.start(node) : self.end(node)]

    def margin(self, node: ast.stmt) -> str | None:
        """Whitespace before a statement; None if something else stands before it on its line."""
        before = self.text[self._offsets[node.lineno - 2] : self.start(node)]
        return before if not before.strip() else None


def _parse(text: str) -> list[ast.stmt]:
    """The statements of `text`, at whatever indentation; line numbers begin at 2. Empty if it is wrong."""
    indented = text[:1] in " \t"
    try:
        top: list[ast.stmt] = ast.parse(("if 1:\n" if indented else "\n") + text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return [inner for node in top if isinstance(node, ast.If) for inner in node.body] if indented else top


def parse_function(text: str) -> FunctionNode | None:
    """The function that `text` holds and nothing else does; None if there is none."""
    statements = _parse(text)
    return statements[0] if len(statements) == 1 and isinstance(statements[0], FunctionNode) else None


def parse_module(code: Code, text: str) -> FunctionNode | None:
    """The function of `code` inside `text`, which took its place and may hold more."""
    named = [n for n in _parse(text) if isinstance(n, FunctionNode) and n.name == code.name]
    return named[0] if len(named) == 1 else None


@lru_cache(maxsize=512)
def _read(
    path: str, first: int, before: tuple[str, ...], lines: tuple[str, ...], name: str, ends: bool
) -> Code | None:
    """`lines` begin with the function, and go to the end of the file if `ends`."""
    head = next((n for n, line in enumerate(lines) if line.lstrip().startswith(("def ", "async def "))), 0)
    depth = _depth(lines[head])
    stops = [n for n in range(head + 1, len(lines)) if _closes(lines[n], depth)]
    for stop in [*stops[:_ENDS_TRIED], *([len(lines)] if ends else [])]:
        if code := _cut(path, first, before, lines, stop, name, whole=True):
            return code
    starts = [n for n in range(len(lines) - 1, head + 1, -1) if _depth(lines[n]) == depth + _INDENT]
    for stop in starts[:_ENDS_TRIED]:
        if code := _cut(path, first, before, lines, stop, name, whole=False):
            return code
    return None


def _cut(
    path: str, first: int, before: tuple[str, ...], lines: tuple[str, ...], stop: int, name: str, whole: bool
) -> Code | None:
    while stop and (not lines[stop - 1].strip() or lines[stop - 1].lstrip().startswith("#")):
        stop -= 1
    node = parse_function("\n".join(lines[:stop]) + "\n")
    if node is None or node.name != name:
        return None
    return Code(path, first, lines[:stop], node, whole, (before, lines[stop : stop + _AROUND]))


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def _closes(line: str, depth: int) -> bool:
    """Whether a function indented by `depth` may have ended before this line."""
    return bool(line.strip()) and _depth(line) <= depth and not line.lstrip().startswith(("#", ")", "]"))


def read_code(path: str, seen: dict[int, str], definition: int, name: str, length: int) -> Piece | None:
    """Cut the function `name`, defined on line `definition`, out of the lines seen of a file."""
    if definition not in seen:
        return None
    if tongue := tongue_of(path):
        return _read_plain(path, seen, definition, name, tongue)
    first = definition
    depth = _depth(seen[definition])
    while (above := seen.get(first - 1, "")).lstrip().startswith("@") and _depth(above) == depth:
        first -= 1
    last = definition
    while last + 1 in seen:
        last += 1
    lines = tuple(seen[n] for n in range(first, last + 1))
    before = tuple(seen[n] for n in range(first - _AROUND, first) if n in seen)
    return _read(path, first, before, lines, name, last >= length)


def _read_plain(
    path: str, seen: dict[int, str], definition: int, name: str, tongue: Tongue
) -> PlainCode | None:
    """From its first line to the brace that closes it, by indentation; None unless both are seen."""
    depth = _depth(seen[definition])
    last = definition + 1
    while last in seen and not (_depth(seen[last]) == depth and seen[last].lstrip().startswith("}")):
        last += 1
    lines = tuple(seen.get(n, "") for n in range(definition, last + 1))
    if last not in seen or not any(line.rstrip().endswith("{") for line in lines[:-1]):
        return None
    before = tuple(seen[n] for n in range(definition - _AROUND, definition) if n in seen)
    after = tuple(seen[n] for n in range(last + 1, last + 1 + _AROUND) if n in seen)
    return PlainCode(path, definition, lines, name, (before, after), tongue)


def spliced(text: str, changes: Iterable[Change]) -> str:
    """`text` after `changes`, which must not overlap; those at one place keep their order."""
    parts, position = [], 0
    for change in sorted(changes, key=lambda change: change.start):
        parts += [text[position : change.start], change.text]
        position = change.end
    return "".join(parts) + text[position:]


def hunks(code: Piece, changes: Iterable[Change], gap: int = 3) -> tuple[Hunk, ...]:
    """`changes` as runs of whole lines; runs fewer than `gap` lines apart become one."""
    runs: list[tuple[int, int, list[Change]]] = []
    for change in sorted(changes, key=lambda change: change.start):
        first, last = code.line_of(change.start), _line_behind(code, change)
        if runs and first - runs[-1][1] < gap:
            start, stop, members = runs.pop()
            runs.append((start, max(stop, last), [*members, change]))
        else:
            runs.append((first, last, [change]))
    return tuple(_hunk(code, *run) for run in runs)


def _line_behind(code: Piece, change: Change) -> int:
    """Index of the first line that a change leaves alone."""
    line = code.line_of(change.end)
    at_margin = change.end == 0 or code.text[change.end - 1] == "\n"
    return line if at_margin and (not change.text or change.text.endswith("\n")) else line + 1


def _hunk(code: Piece, first: int, last: int, changes: list[Change]) -> Hunk:
    old = code.lines[first:last]
    offset = sum(len(line) + 1 for line in code.lines[:first])
    shifted = [Change(c.start - offset, c.end - offset, c.text) for c in changes]
    new = spliced("".join(line + "\n" for line in old), shifted)
    return Hunk(first, old, tuple(new.split("\n")[:-1]))
