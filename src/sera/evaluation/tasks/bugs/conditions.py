"""Bugs in what is decided: comparisons, conditions, guards, branches."""

import ast
import re
from collections.abc import Iterator

from sera.evaluation.tasks.bugs.base import Change, Scope

_BOUNDARY = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
_OPPOSITE = {
    "==": "!=", "!=": "==", "in": "not in", "not in": "in", "is": "is not", "is not": "is",
}  # fmt: skip
_SYMBOL = re.compile(r"not\s+in|is\s+not|in|is|[<>=!]=|[<>]")
_LEAVING = (ast.Return, ast.Raise, ast.Continue)


def comparison_boundary(scope: Scope) -> Iterator[Change]:
    """`<` for `<=`."""
    yield from _compared(scope, _BOUNDARY)


def comparison_opposite(scope: Scope) -> Iterator[Change]:
    """`==` for `!=`, `in` for `not in`."""
    yield from _compared(scope, _OPPOSITE)


def condition_negated(scope: Scope) -> Iterator[Change]:
    """The other branch is taken. Loops are left alone: they would not end."""
    for node in scope.of(ast.If, ast.IfExp):
        assert isinstance(node, ast.If | ast.IfExp)
        if isinstance(node.test, ast.UnaryOp) and isinstance(node.test.op, ast.Not):
            yield scope.source.replace(node.test, scope.source.text(node.test.operand))
        elif not isinstance(node.test, ast.Compare) or len(node.test.ops) > 1:
            yield scope.source.replace(node.test, _negated(scope, node.test))


def and_or(scope: Scope) -> Iterator[Change]:
    """`and` for `or`."""
    for node in scope.of(ast.BoolOp):
        assert isinstance(node, ast.BoolOp)
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        first, second = node.values[:2]
        start, end = scope.source.end(first), scope.source.start(second)
        between = scope.source.between(start, end)
        if len(node.values) == 2 and (found := re.search(rf"\b{old}\b", between)):
            yield Change(start + _bytes(between, found.start()), start + _bytes(between, found.end()), new)


def clause_dropped(scope: Scope) -> Iterator[Change]:
    """One part of a condition with `and` or `or` is forgotten."""
    for node in scope.of(ast.BoolOp):
        assert isinstance(node, ast.BoolOp)
        last, before = node.values[-1], node.values[-2]
        between = scope.source.between(scope.source.end(before), scope.source.start(last))
        if "(" not in between and ")" not in between:
            yield Change(scope.source.end(before), scope.source.end(last), "")


def guard_removed(scope: Scope) -> Iterator[Change]:
    """`if …: return` at the head of what follows is forgotten."""
    for block in scope.blocks:
        for statement in block[:-1]:
            if not isinstance(statement, ast.If) or statement.orelse or len(statement.body) > 1:
                continue
            if isinstance(statement.body[0], _LEAVING) and scope.source.alone(statement):
                yield scope.source.without(statement)


def else_dropped(scope: Scope) -> Iterator[Change]:
    """What an `else` does is forgotten."""
    for node in scope.of(ast.If, ast.For, ast.Try):
        assert isinstance(node, ast.If | ast.For | ast.Try)
        if node.orelse and not (isinstance(node, ast.Try) and node.finalbody):
            before = node.handlers[-1].body[-1] if isinstance(node, ast.Try) else node.body[-1]
            lines = scope.source.at((before.end_lineno or 0) + 1), scope.source.at((node.end_lineno or 0) + 1)
            if scope.source.between(*lines).lstrip().startswith("else"):
                yield Change(*lines, "")


def break_continue(scope: Scope) -> Iterator[Change]:
    """`break` for `continue`; not the other way in `while`, which would not end."""
    for loop in scope.of(ast.For, ast.AsyncFor, ast.While):
        for node in _own(loop):
            if isinstance(node, ast.Continue):
                yield scope.source.replace(node, "break")
            elif isinstance(node, ast.Break) and not isinstance(loop, ast.While):
                yield scope.source.replace(node, "continue")


def _own(loop: ast.AST) -> Iterator[ast.AST]:
    """Nodes of a loop that are in no loop inside it."""
    waiting = list(ast.iter_child_nodes(loop))
    while waiting:
        node = waiting.pop(0)
        yield node
        if not isinstance(node, ast.For | ast.AsyncFor | ast.While | ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += ast.iter_child_nodes(node)


def _compared(scope: Scope, others: dict[str, str]) -> Iterator[Change]:
    for node in scope.of(ast.Compare):
        assert isinstance(node, ast.Compare)
        left = node.left
        for right in node.comparators:
            start = scope.source.end(left)
            between = scope.source.between(start, scope.source.start(right))
            found = _SYMBOL.search(between)
            if found and "#" not in between and (new := others.get(" ".join(found[0].split()))):
                yield Change(
                    start + _bytes(between, found.start()), start + _bytes(between, found.end()), new
                )
            left = right


def _negated(scope: Scope, test: ast.expr) -> str:
    text = scope.source.text(test)
    simple = isinstance(test, ast.Name | ast.Attribute | ast.Call | ast.Subscript | ast.Constant)
    return f"not {text}" if simple else f"not ({text})"


def _bytes(text: str, characters: int) -> int:
    return len(text[:characters].encode())
