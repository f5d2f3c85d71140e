"""Bugs in what is called, returned or done at all."""

import ast
from collections.abc import Iterator

from sera.evaluation.tasks.bugs.base import Change, Scope

_CLEANING = frozenset(
    {"strip", "lstrip", "rstrip", "lower", "upper", "casefold", "title", "splitlines", "expandtabs"}
    | {"copy", "items", "values", "flush", "decode", "encode", "resolve", "absolute"}
)
_COPIES = frozenset(
    {"list", "tuple", "dict", "set", "sorted", "reversed", "deepcopy", "copy", "iter", "frozenset"}
)
_TYPED = ("isinstance", "issubclass", "getattr", "hasattr", "setattr")
"""Whose arguments nobody mixes up without being told at once."""
_TWINS = {
    "min": "max", "max": "min", "any": "all", "all": "any", "floor": "ceil", "ceil": "floor",
    "startswith": "endswith", "endswith": "startswith", "lstrip": "rstrip", "rstrip": "lstrip",
    "find": "rfind", "rfind": "find", "append": "appendleft", "appendleft": "append", "pop": "popleft",
    "popleft": "pop", "partition": "rpartition", "rpartition": "partition", "split": "rsplit",
    "rsplit": "split", "upper": "lower", "lower": "upper", "union": "intersection",
    "intersection": "union", "extend": "append",
}  # fmt: skip


def arguments_swapped(scope: Scope) -> Iterator[Change]:
    """Two neighbouring arguments have changed places."""
    for node in scope.of(ast.Call):
        assert isinstance(node, ast.Call)
        if isinstance(node.func, ast.Name) and node.func.id in _TYPED:
            continue
        for first, second in zip(node.args, node.args[1:], strict=False):
            a, b = scope.source.text(first), scope.source.text(second)
            if (
                not isinstance(first, ast.Starred | ast.GeneratorExp)
                and not isinstance(second, ast.Starred)
                and a != b
            ):
                start, end = scope.source.start(first), scope.source.end(second)
                between = scope.source.between(scope.source.end(first), scope.source.start(second))
                yield Change(start, end, b + between + a)


def argument_dropped(scope: Scope) -> Iterator[Change]:
    """A keyword argument is not handed on."""
    for node in scope.of(ast.Call):
        assert isinstance(node, ast.Call)
        for keyword in node.keywords:
            before = [*node.args, *(one for one in node.keywords if one is not keyword)]
            ends = [
                scope.source.end(one) for one in before if scope.source.end(one) < scope.source.start(keyword)
            ]
            if keyword.arg and ends:
                yield Change(max(ends), scope.source.end(keyword), "")


def call_dropped(scope: Scope) -> Iterator[Change]:
    """`text.strip()` becomes `text`."""
    for node in scope.of(ast.Call):
        assert isinstance(node, ast.Call)
        function = node.func
        plain = not node.keywords and not node.args
        if isinstance(function, ast.Attribute) and function.attr in _CLEANING and plain:
            yield scope.source.replace(node, scope.source.text(function.value))


def copy_missing(scope: Scope) -> Iterator[Change]:
    """`list(values)` becomes `values`: not copied, not sorted, not held."""
    for node in scope.of(ast.Call):
        assert isinstance(node, ast.Call)
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if (
            name in _COPIES
            and len(node.args) == 1
            and isinstance(node.args[0], ast.Name | ast.Attribute | ast.Call)
        ):
            yield scope.source.replace(node, scope.source.text(node.args[0]))


def twin_called(scope: Scope) -> Iterator[Change]:
    """`min` for `max`, `startswith` for `endswith`."""
    for node in scope.of(ast.Call):
        assert isinstance(node, ast.Call)
        if isinstance(node.func, ast.Name) and node.func.id in _TWINS:
            yield scope.source.replace(node.func, _TWINS[node.func.id])
        elif isinstance(node.func, ast.Attribute) and node.func.attr in _TWINS:
            end = scope.source.end(node.func)
            yield Change(end - len(node.func.attr.encode()), end, _TWINS[node.func.attr])


def return_dropped(scope: Scope) -> Iterator[Change]:
    """A result is computed and not returned."""
    for node in scope.of(ast.Return):
        assert isinstance(node, ast.Return)
        if isinstance(
            node.value, ast.Call | ast.BinOp | ast.Subscript | ast.Attribute | ast.Compare | ast.IfExp
        ):
            yield Change(scope.source.start(node), scope.source.start(node.value), "")


def await_dropped(scope: Scope) -> Iterator[Change]:
    """A coroutine is made and not waited for."""
    for node in scope.of(ast.Await):
        assert isinstance(node, ast.Await)
        yield scope.source.replace(node, scope.source.text(node.value))


def statement_removed(scope: Scope) -> Iterator[Change]:
    """Something that should happen does not."""
    for block in scope.blocks:
        for statement in block if len(block) > 1 else ():
            acts = isinstance(statement, ast.AugAssign | ast.Delete) or (
                isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call | ast.Await)
            )
            stores = isinstance(statement, ast.Assign) and isinstance(
                statement.targets[0], ast.Subscript | ast.Attribute
            )
            if (acts or stores) and scope.source.alone(statement):
                yield scope.source.without(statement)
