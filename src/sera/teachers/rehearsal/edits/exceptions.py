"""Kinds that make failures honest: what is caught, what is chained, what is said."""

import ast

from sera.teachers.rehearsal.edits.base import UNIT, Edit, names_bound, names_read, plain_words
from sera.teachers.rehearsal.source import Change, Code


def narrow_except(code: Code, flavour: int) -> Edit | None:
    """A bare `except:` no longer stops the interpreter's own exits."""
    handlers = [n for n in code.nodes if isinstance(n, ast.ExceptHandler) and n.type is None]
    if not handlers:
        return None
    caught = ("Exception", "(Exception,)")[flavour]
    position = code.at(handlers[0].lineno, handlers[0].col_offset) + len("except")
    return Edit((Change(position, position, f" {caught}"),), "except")


def chain_exceptions(code: Code, flavour: int) -> Edit | None:
    """`raise New(...)` in a handler says what it came from."""
    for handler in (n for n in code.nodes if isinstance(n, ast.ExceptHandler) and n.type is not None):
        for statement in handler.body:
            if (
                isinstance(statement, ast.Raise)
                and isinstance(statement.exc, ast.Call)
                and not statement.cause
            ):
                return _chained(code, handler, statement, flavour)
    return None


def _chained(code: Code, handler: ast.ExceptHandler, statement: ast.Raise, flavour: int) -> Edit | None:
    assert handler.type is not None
    changes = [Change(code.end(statement), code.end(statement), f" from {handler.name or 'None'}")]
    if not handler.name:
        name = ("error", "cause")[flavour]
        if name in names_bound(code):
            return None
        changes = [
            Change(code.end(handler.type), code.end(handler.type), f" as {name}"),
            Change(code.end(statement), code.end(statement), f" from {name}"),
        ]
    return Edit(tuple(changes), code.segment(handler.type))


def assert_to_raise(code: Code, flavour: int) -> Edit | None:
    """A check that also works under `python -O`."""
    for node in code.nodes:
        if isinstance(node, ast.Assert) and (margin := code.margin(node)) is not None:
            test = code.segment(node.test)
            if "\n" in code.segment(node):
                continue
            fallback = (f'"{plain_words(code.name)}: precondition violated"', '"precondition violated"')[
                flavour
            ]
            message = code.segment(node.msg) if node.msg else fallback
            text = f"if not ({test}):\n{margin}{UNIT}raise AssertionError({message})"
            return Edit((Change(code.start(node), code.end(node), text),), test)
    return None


def log_branch(code: Code, flavour: int) -> Edit | None:
    """A way out that was silent leaves a trace in the log."""
    for node in code.nodes:
        if not isinstance(node, ast.ExceptHandler | ast.If) or isinstance(node.body[0], ast.Raise):
            continue
        first, last = node.body[0], node.body[-1]
        leaves = isinstance(last, ast.Return | ast.Continue | ast.Break | ast.Pass)
        margin = code.margin(first)
        if not leaves or margin is None or isinstance(first, ast.FunctionDef | ast.ClassDef):
            continue
        what = "giving up after an error" if isinstance(node, ast.ExceptHandler) else "leaving early"
        message = (f"{code.name}: {what}", f"{what} in {code.name}")[flavour]
        if {"logging", "log"} & names_bound(code) or "log" in names_read(code.node):
            continue
        offset = code.line_start(first)
        lines = f'{margin}log = logging.getLogger(__name__)\n{margin}log.debug("{message}")\n'
        return Edit((Change(offset, offset, lines),), what, imports="logging")
    return None
