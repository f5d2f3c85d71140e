"""One Python file: whether it is worth reading, and one pass over its syntax tree.

`read_module` never raises for what a file contains: it answers with a reason from the list below
instead, since a repository may hold anything.

    name is not UTF-8, vendored, generated, minified, python 2, too nested,
    bad encoding    coding cookies (PEP 263) and byte-order marks are honoured
    syntax error    for the Python that runs this

`Module` holds what later stages need, names and numbers only: the tree itself is dropped, so that a
large repository fits in memory.
"""

import ast
import io
import re
import tokenize
import warnings
from pathlib import PurePosixPath
from typing import Any

VENDORED = frozenset(
    {"_vendor", "_vendored", "vendor", "vendored", "third_party", "thirdparty", "extern"}
    | {"node_modules", "site-packages", "dist-packages"}
)
"""Directories of other people's code."""
_HEAD_BYTES = 1024
_GENERATED = re.compile(
    rb"^#[^\w@\n]*((this|the) (file|code|module) (was|is|has been) )?"
    rb"(auto(matically)?[- ]?generated|generated (by|from|with)|code generated|@generated)"
    rb"|^#.*do not (edit|modify)\b",
    re.I | re.M,
)
"""In comments at the left margin of a file's head; elsewhere the words are about the code's own output."""
_GENERATED_NAME = re.compile(r"_pb2(_grpc)?\.py$")
_PYTHON_2 = re.compile(
    r"Missing parentheses in call|multiple exception types|leading zeros|invalid .*0o prefix|<>"
)
_MEAN_LINE = 250
_LEAVES = frozenset({ast.Constant, ast.Load, ast.Store, ast.Del, ast.Pass, ast.Break, ast.Continue})
_CONTROL = frozenset(
    {ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.TryStar, ast.With, ast.AsyncWith, ast.Match}
    | {ast.IfExp, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.BoolOp}
)

Call = tuple[str, ...]
"""A call's dotted name; the first part is `?` for a receiver that has no name, and `super()` for that."""


class Scope:
    """What one module, class or function defines and uses, by name."""

    __slots__ = (
        "bases",
        "classes",
        "function",
        "functions",
        "imports",
        "kind",
        "locals",
        "parent",
        "qualname",
        "stars",
    )

    def __init__(self, kind: str, qualname: str, parent: "Scope | None") -> None:
        self.kind = kind
        """`module`, `class` or `function`."""
        self.qualname = qualname
        self.parent = parent
        self.function: RawFunction | None = None
        """The innermost function that this is, or lies in."""
        self.functions: set[str] = set()
        self.classes: dict[str, Scope] = {}
        self.imports: dict[str, tuple[int, str, str]] = {}
        """Local name → (level, module, name in it or empty)."""
        self.stars: list[tuple[int, str]] = []
        self.locals: set[str] = set()
        """Names bound otherwise: arguments, assignments, loop variables."""
        self.bases: list[Call] = []

    def inside(self, name: str) -> str:
        """Qualified name of something defined here."""
        if self.kind == "module":
            return name
        return f"{self.qualname}.<locals>.{name}" if self.kind == "function" else f"{self.qualname}.{name}"


class RawFunction:
    """A function as found; `Function` is made of it once its callers are known."""

    __slots__ = (
        "branches",
        "calls",
        "decorators",
        "docstring",
        "end_line",
        "is_async",
        "kind",
        "line",
        "outer",
        "qualname",
        "scope",
        "self_name",
        "statements",
        "stub",
    )

    def __init__(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope, lines: list[bytes]
    ) -> None:
        outer = scope.parent
        assert outer is not None
        self.qualname = scope.qualname
        self.scope = scope
        self.outer = outer.function
        self.kind = (
            "method" if outer.kind == "class" else "nested" if outer.kind == "function" else "function"
        )
        self.line = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        self.end_line = node.end_lineno or node.lineno
        self.is_async = isinstance(node, ast.AsyncFunctionDef)
        self.docstring = _first_line(ast.get_docstring(node, clean=True))
        self.decorators = tuple(_source(lines, d) for d in node.decorator_list)
        self.statements = -1 if _has_docstring(node) else 0
        self.branches = False
        self.stub = all(_does_nothing(s) for s in node.body)
        self.calls: list[Call] = []
        arguments = [*node.args.posonlyargs, *node.args.args]
        self.self_name = arguments[0].arg if self.kind == "method" and arguments else ""


class Module:
    """A parsed file: its scopes by kind, its functions in order of their first line."""

    __slots__ = ("functions", "path", "scope", "tests_inside")

    def __init__(self, path: str, scope: Scope, functions: list[RawFunction]) -> None:
        self.path = path
        self.scope = scope
        self.functions = functions
        imported = {module.partition(".")[0] for _, module, _ in scope.imports.values()}
        self.tests_inside = bool(imported & {"pytest", "unittest"})


def skip_by_name(path: str) -> str:
    """Reason to leave a file unread, by its path alone; empty to read it."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "name is not UTF-8"
    if VENDORED.intersection(PurePosixPath(path).parts[:-1]):
        return "vendored"
    return "generated" if _GENERATED_NAME.search(path) else ""


def is_minified(content: bytes) -> bool:
    """Whether its lines are too long, on average, to have been written."""
    return len(content) > _MEAN_LINE * (content.count(b"\n") + 1) and len(content) > 4096


def read_module(path: str, content: bytes) -> Module | str:
    """The module, or the reason why it is not to be had."""
    if _GENERATED.search(content[:_HEAD_BYTES]):
        return "generated"
    if is_minified(content):
        return "minified"
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        text = content.decode(encoding)
    except (SyntaxError, UnicodeError, LookupError, ValueError):
        return "bad encoding"
    try:
        return _scan(path, text.replace("\r\n", "\n").replace("\r", "\n"))
    except SyntaxError as error:
        if "too many nested" in (error.msg or ""):
            return "too nested"
        return "python 2" if _PYTHON_2.search(error.msg or "") else "syntax error"
    except ValueError:  # null bytes, on some versions of Python; numbers too long to convert
        return "syntax error"
    except (RecursionError, MemoryError):
        return "too nested"


def _scan(path: str, text: str) -> Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = compile(text, path, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
    scanner = _Scanner(text.encode().split(b"\n"))
    scanner.walk(tree)
    return Module(path, scanner.module, scanner.finished())


class _Scanner:
    """Walks a tree once, with a stack of its own: nesting of any depth is no matter."""

    def __init__(self, lines: list[bytes]) -> None:
        self.module = Scope("module", "", None)
        self.functions: list[RawFunction] = []
        self._lines = lines

    def walk(self, tree: ast.AST) -> None:
        stack: list[tuple[Any, Scope]] = [(tree, self.module)]
        push = stack.append
        while stack:
            node, scope = stack.pop()
            kind = type(node)
            if kind is ast.Name:
                if type(node.ctx) is not ast.Load:
                    scope.locals.add(node.id)
                continue
            function = scope.function
            if function is not None:
                if isinstance(node, ast.stmt):
                    function.statements += 1
                if kind in _CONTROL:
                    function.branches = True
            if kind is ast.Call:
                if function is not None:
                    function.calls.append(dotted(node.func))
            elif kind is ast.FunctionDef or kind is ast.AsyncFunctionDef:
                self._function(node, scope, stack)
                continue
            elif kind is ast.ClassDef:
                self._class(node, scope, stack)
                continue
            elif kind is ast.Import or kind is ast.ImportFrom:
                _imports(node, scope)
                continue
            elif kind is ast.ExceptHandler and node.name:
                scope.locals.add(node.name)
            for field in node._fields:
                value = getattr(node, field)
                if type(value) is list:
                    for item in value:
                        if isinstance(item, ast.AST) and type(item) not in _LEAVES:
                            push((item, scope))
                        elif isinstance(item, ast.stmt) and function is not None:
                            function.statements += 1
                elif isinstance(value, ast.AST) and type(value) not in _LEAVES:
                    push((value, scope))

    def finished(self) -> list[RawFunction]:
        """The functions by line, the statements of nested ones added to those around them."""
        self.functions.sort(key=lambda f: (f.line, f.qualname))
        for function in reversed(self.functions):
            if function.outer is not None:
                function.outer.statements += max(function.statements, 0)
                function.outer.branches |= function.branches
        return self.functions

    def _function(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef, outer: Scope, stack: list[tuple[Any, Scope]]
    ) -> None:
        scope = Scope("function", outer.inside(node.name), outer)
        scope.function = RawFunction(node, scope, self._lines)
        self.functions.append(scope.function)
        outer.functions.add(node.name)
        arguments = node.args
        every = [
            *arguments.posonlyargs,
            *arguments.args,
            *arguments.kwonlyargs,
            arguments.vararg,
            arguments.kwarg,
        ]
        scope.locals.update(argument.arg for argument in every if argument is not None)
        around = [*node.decorator_list, *arguments.defaults, *arguments.kw_defaults]
        stack.extend((part, outer) for part in around if part is not None)
        stack.extend((part, scope) for part in node.body)

    def _class(self, node: ast.ClassDef, outer: Scope, stack: list[tuple[Any, Scope]]) -> None:
        scope = Scope("class", outer.inside(node.name), outer)
        scope.function = outer.function
        scope.bases = [dotted(base.value if isinstance(base, ast.Subscript) else base) for base in node.bases]
        outer.classes[node.name] = scope
        around = [*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)]
        stack.extend((part, outer) for part in around)
        stack.extend((part, scope) for part in node.body)


def dotted(node: ast.expr) -> Call:
    """`a.b.c` as its parts; see `Call` for receivers without a name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        parts.append(node.id)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super":
        parts.append("super()")
    else:
        return ("?", parts[0]) if parts else ("?",)
    return tuple(reversed(parts))


def _imports(node: ast.Import | ast.ImportFrom, scope: Scope) -> None:
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.asname:
                scope.imports[alias.asname] = (0, alias.name, "")
            else:
                top = alias.name.partition(".")[0]
                scope.imports[top] = (0, top, "")
        return
    for alias in node.names:
        if alias.name == "*":
            scope.stars.append((node.level, node.module or ""))
        else:
            scope.imports[alias.asname or alias.name] = (node.level, node.module or "", alias.name)


def _has_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    first = node.body[0]
    return (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )


def _does_nothing(statement: ast.stmt) -> bool:
    """Whether it is `pass`, a constant (`...`, a docstring) or `raise NotImplementedError`."""
    if isinstance(statement, ast.Raise):
        raised = statement.exc.func if isinstance(statement.exc, ast.Call) else statement.exc
        return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    )


def _first_line(docstring: str | None) -> str:
    text = (docstring or "").strip()
    return text.split("\n", 1)[0].strip().encode(errors="replace").decode()


def _source(lines: list[bytes], node: ast.expr) -> str:
    """Text of an expression; columns count bytes of UTF-8. Several lines are joined by one space."""
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    rows = lines[first : last + 1]
    if not rows:
        return ""
    rows[-1] = rows[-1][: node.end_col_offset]
    rows[0] = rows[0][node.col_offset :]
    return b" ".join(row.strip() for row in rows).decode(errors="replace")
