"""Bugs in what is computed: constants, operators, names, bounds, defaults, results."""

import ast
from collections.abc import Iterator

from sera.evaluation.tasks.bugs.base import Change, Scope

_SIGNS: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "+"),
    ast.FloorDiv: ("//", "/"),
    ast.Div: ("/", "//"),
    ast.Mod: ("%", "//"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
}
_LARGEST = 1000
_NARROWER = {
    "Exception": "ValueError",
    "LookupError": "IndexError",
    "OSError": "FileNotFoundError",
    "ValueError": "UnicodeError",
    "ArithmeticError": "OverflowError",
}


def constant_off_by_one(scope: Scope) -> Iterator[Change]:
    """One more."""
    for node in scope.of(ast.Constant):
        assert isinstance(node, ast.Constant)
        if type(node.value) is int and abs(node.value) <= _LARGEST:
            yield scope.source.replace(node, str(node.value + 1))


def operator_swapped(scope: Scope) -> Iterator[Change]:
    """`+` for `-`, `/` for `//`."""
    for node in scope.of(ast.BinOp, ast.AugAssign):
        assert isinstance(node, ast.BinOp | ast.AugAssign)
        if type(node.op) not in _SIGNS:
            continue
        old, new = _SIGNS[type(node.op)]
        left, right = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.target, node.value)
        start = scope.source.end(left)
        between = scope.source.between(start, scope.source.start(right))
        place = between.find(old)
        if place >= 0 and "#" not in between and not _is_text(left) and not _is_text(right):
            yield Change(start + place, start + place + len(old), new)


def wrong_variable(scope: Scope) -> Iterator[Change]:
    """Another variable of the same function."""
    known = scope.names
    for node in scope.of(ast.Name):
        assert isinstance(node, ast.Name)
        if isinstance(node.ctx, ast.Load) and node.id in known and len(known) > 1:
            others = [name for name in known if name != node.id]
            yield scope.source.replace(node, others[known.index(node.id) % len(others)])


def slice_bound(scope: Scope) -> Iterator[Change]:
    """A bound of a slice is one off, or left out."""
    for node in scope.of(ast.Slice):
        assert isinstance(node, ast.Slice)
        for bound, sign in ((node.lower, "+"), (node.upper, "-")):
            if bound is not None:
                simple = isinstance(bound, ast.Name | ast.Attribute | ast.Call | ast.BinOp)
                if simple:
                    yield scope.source.replace(bound, f"{scope.source.text(bound)} {sign} 1")
                yield scope.source.replace(bound, "")


def wrong_default(scope: Scope) -> Iterator[Change]:
    """Another default of a parameter."""
    arguments = scope.function.args
    for default in (*arguments.defaults, *(one for one in arguments.kw_defaults if one)):
        if not isinstance(default, ast.Constant):
            continue
        if isinstance(default.value, bool):
            yield scope.source.replace(default, str(not default.value))
        elif isinstance(default.value, int):
            yield scope.source.replace(default, str(default.value + 1))
        elif default.value is None:
            yield scope.source.replace(default, "0")


def boolean_inverted(scope: Scope) -> Iterator[Change]:
    """`True` for `False`, where it is returned or stored."""
    for node in scope.of(ast.Return, ast.Assign, ast.keyword):
        assert isinstance(node, ast.Return | ast.Assign | ast.keyword)
        value = node.value
        if isinstance(value, ast.Constant) and isinstance(value.value, bool):
            yield scope.source.replace(value, str(not value.value))
        elif isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.Not):
            yield scope.source.replace(value, scope.source.text(value.operand))


def key_mutated(scope: Scope) -> Iterator[Change]:
    """The key of another entry, or another attribute of the same object, that the function also uses."""
    keys = [node.slice for node in scope.of(ast.Subscript) if isinstance(node, ast.Subscript)]
    texts = [key for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)]
    yield from _others(scope, [(key, str(key.value), repr(key.value)) for key in texts])
    owned: dict[str, list[tuple[ast.AST, str, str]]] = {}
    called = {id(node.func) for node in scope.of(ast.Call) if isinstance(node, ast.Call)}
    for node in scope.of(ast.Attribute):
        assert isinstance(node, ast.Attribute)
        if isinstance(node.value, ast.Name) and isinstance(node.ctx, ast.Load) and id(node) not in called:
            full = f"{node.value.id}.{node.attr}"
            owned.setdefault(node.value.id, []).append((node, full, full))
    for uses in owned.values():
        yield from _others(scope, uses)


def exception_narrowed(scope: Scope) -> Iterator[Change]:
    """Fewer exceptions are caught."""
    for node in scope.of(ast.ExceptHandler):
        assert isinstance(node, ast.ExceptHandler)
        if isinstance(node.type, ast.Tuple) and len(node.type.elts) > 1:
            for kept in node.type.elts:
                yield scope.source.replace(node.type, scope.source.text(kept))
        elif isinstance(node.type, ast.Name) and node.type.id in _NARROWER:
            yield scope.source.replace(node.type, _NARROWER[node.type.id])


def _others(scope: Scope, uses: list[tuple[ast.AST, str, str]]) -> Iterator[Change]:
    """Each use becomes the next one of another name."""
    written = {name: text for _, name, text in uses}
    names = list(written)
    for node, name, _ in uses if len(names) > 1 else ():
        yield scope.source.replace(node, written[names[(names.index(name) + 1) % len(names)]])


def _is_text(node: ast.expr) -> bool:
    """Whether an operand is text for sure: the bug would only be an error of types."""
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    )
