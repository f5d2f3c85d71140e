"""Kinds that move a piece of a function into one of its own: two functions change."""

import ast

from sera.teachers.rehearsal.edits.base import UNIT, Edit, names_bound, names_read
from sera.teachers.rehearsal.source import Change, Code

_FORBIDDEN = (
    ast.Await, ast.NamedExpr, ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp,
    ast.Yield, ast.YieldFrom,
)  # fmt: skip


def extract_condition(code: Code, flavour: int) -> Edit | None:
    """A condition of several parts becomes a function with a name."""
    for node in code.nodes:
        if isinstance(node, ast.If) and isinstance(node.test, ast.BoolOp) and _movable(code, node.test):
            return _extracted(code, node.test, f"_{code.name.strip('_')}_applies", flavour)
    return None


def extract_result(code: Code, flavour: int) -> Edit | None:
    """The computation of the result becomes a function with a name."""
    for node in reversed(code.nodes):
        match node:
            case ast.Return(value=ast.Call() | ast.BinOp() | ast.BoolOp() | ast.Tuple() as value):
                if _movable(code, value):
                    return _extracted(code, value, f"_{code.name.strip('_')}_result", flavour)
    return None


def _movable(code: Code, expression: ast.expr) -> bool:
    nested = any(isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for n in code.nodes)
    free_standing = not code.indent or bool(code.receiver)
    return (
        code.whole
        and free_standing
        and not nested
        and code.receiver != "cls"
        and code.room
        and "\n" not in code.segment(expression)
        and not any(isinstance(n, _FORBIDDEN) for n in ast.walk(expression))
        and not {"super", "locals", "__class__"} & names_read(expression)
    )


def _extracted(code: Code, expression: ast.expr, name: str, flavour: int) -> Edit | None:
    bound = names_bound(code)
    if name in names_read(code.node):
        return None
    taken = sorted((names_read(expression) & bound) - {code.receiver})
    text = code.segment(expression)
    parameters = ", ".join([code.receiver, *taken] if code.receiver else taken)
    caller = f"{code.receiver}." if code.receiver else ""
    separator = "\n" if code.indent else "\n\n"
    returned = (f"return {text}", f"return ({text})")[flavour]
    helper = f"{code.indent}def {name}({parameters}):\n{code.indent}{UNIT}{returned}\n{separator}"
    call = f"{caller}{name}({', '.join(taken)})"
    changes = (Change(0, 0, helper), Change(code.start(expression), code.end(expression), call))
    return Edit(changes, text)
