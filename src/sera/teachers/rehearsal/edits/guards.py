"""Kinds that refuse a bad argument early, where it would have failed later and less clearly."""

import ast

from sera.teachers.rehearsal.edits.base import UNIT, Edit, certain, choose, insertion_point
from sera.teachers.rehearsal.source import Change, Code

_TEXT_METHODS = {
    "split",
    "strip",
    "lower",
    "upper",
    "startswith",
    "endswith",
    "lstrip",
    "rstrip",
    "splitlines",
}


def guard_none(code: Code, flavour: int) -> Edit | None:
    """`None` for an argument that is dereferenced at once: `TypeError` that names it."""
    fitting = _fitting(code, _dereferenced(code) - _tested(code))
    if not fitting:
        return None
    name = choose(code, "guard_none", fitting)
    message = (f"{name} must not be None", f"{code.name}() needs {name}, got None")[flavour]
    return _guard(code, name, f"{name} is None", "TypeError", message)


def guard_empty(code: Code, flavour: int) -> Edit | None:
    """An empty sequence whose first or last item is taken at once: `ValueError`."""
    indexed = {
        node.value.id
        for node in certain(code.body)
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and _is_end(node.slice)
    }
    fitting = _fitting(code, indexed - _tested(code))
    if not fitting:
        return None
    name = choose(code, "guard_empty", fitting)
    message = (f"{name} must not be empty", f"{code.name}() needs at least one item in {name}")[flavour]
    return _guard(code, name, f"len({name}) == 0", "ValueError", message)


def guard_type(code: Code, flavour: int) -> Edit | None:
    """Anything but text where text methods are called at once: `TypeError`."""
    called = {
        node.value.id
        for node in certain(code.body)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in _TEXT_METHODS
    }
    fitting = _fitting(code, called - _tested(code))
    if not fitting:
        return None
    name = choose(code, "guard_type", fitting)
    message = (f"{name} must be text", f"{code.name}() works on text only")[flavour]
    return _guard(code, name, f"not hasattr({name}, 'splitlines')", "TypeError", message)


def guard_negative(code: Code, flavour: int) -> Edit | None:
    """A negative count for `range`: `ValueError` in place of silence."""
    counted = {
        node.args[0].id
        for node in certain(code.body)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range"
        if len(node.args) == 1 and isinstance(node.args[0], ast.Name)
    }
    fitting = _fitting(code, counted - _tested(code))
    if not fitting:
        return None
    name = choose(code, "guard_negative", fitting)
    message = (f"{name} must not be negative", f"{code.name}() cannot count to a negative {name}")[flavour]
    return _guard(code, name, f"{name} < 0", "ValueError", message)


def _guard(code: Code, name: str, test: str, error: str, message: str) -> Edit | None:
    point = insertion_point(code)
    if point is None:
        return None
    offset, margin = point
    lines = f'{margin}if {test}:\n{margin}{UNIT}raise {error}("{message}")\n'
    return Edit((Change(offset, offset, lines),), name)


def _fitting(code: Code, names: set[str]) -> list[str]:
    """Parameters among `names` that are given no default and are not assigned to."""
    arguments = code.node.args
    plain = [*arguments.posonlyargs, *arguments.args]
    required = {a.arg for a in plain[: len(plain) - len(arguments.defaults)]}
    stored = {n.id for n in code.nodes if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    return [p.arg for p in code.parameters if p.arg in names & required - stored]


def _dereferenced(code: Code) -> set[str]:
    names = set()
    for node in certain(code.body):
        match node:
            case ast.Attribute(value=ast.Name(id=name)) | ast.Subscript(value=ast.Name(id=name)):
                names.add(name)
            case ast.For(iter=ast.Name(id=name)):
                names.add(name)
    return names


def _tested(code: Code) -> set[str]:
    """Names whose absence or kind the function already asks about."""
    tested: set[str] = set()
    for node in code.nodes:
        match node:
            case ast.Compare(left=ast.Name(id=name)) | ast.UnaryOp(op=ast.Not(), operand=ast.Name(id=name)):
                tested.add(name)
            case ast.If(test=ast.Name(id=name)) | ast.IfExp(test=ast.Name(id=name)):
                tested.add(name)
            case ast.BoolOp():
                tested |= {value.id for value in node.values if isinstance(value, ast.Name)}
            case ast.Call(func=ast.Name(id="isinstance" | "len" | "hasattr"), args=[ast.Name(id=name), *_]):
                tested.add(name)
    return tested


def _is_end(index: ast.expr) -> bool:
    match index:
        case ast.Constant(value=0) | ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=1)):
            return True
    return False
