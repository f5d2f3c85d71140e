"""Kinds that change what a function takes and says about what it takes and gives."""

import ast

from sera.teachers.rehearsal.edits.base import UNIT, Edit, insertion_point, is_generator, names_bound
from sera.teachers.rehearsal.source import Change, Code

_NAMED = {int: "int", float: "float", str: "str", bool: "bool", bytes: "bytes"}


def mutable_default(code: Code, flavour: int) -> Edit | None:
    """A list or dict that all calls share becomes one for each call."""
    point = insertion_point(code)
    for argument, default in _defaults(code.node.args):
        shared = isinstance(default, ast.List | ast.Dict | ast.Set)
        if shared and argument.annotation is None and point:
            offset, margin = point
            fresh = code.segment(default)
            if "\n" in fresh:
                continue
            name = argument.arg
            lines = (
                f"{margin}if {name} is None:\n{margin}{UNIT}{name} = {fresh}\n",
                f"{margin}{name} = {fresh} if {name} is None else {name}\n",
            )[flavour]
            signature = Change(code.start(default), code.end(default), "None")
            return Edit((signature, Change(offset, offset, lines)), name)
    return None


def annotate(code: Code, flavour: int) -> Edit | None:
    """Types that follow from the defaults and from the absence of a result are written down."""
    changes = []
    for argument, default in _defaults(code.node.args):
        plain = isinstance(default, ast.Constant) and type(default.value) in _NAMED
        if plain and argument.annotation is None:
            assert isinstance(default, ast.Constant)
            gap = code.text[code.end(argument) : code.start(default)]
            if gap == "=":
                named = f": {_NAMED[type(default.value)]} = "
                changes.append(Change(code.end(argument), code.start(default), named))
    if code.node.returns is None and code.whole and not is_generator(code) and _returns_nothing(code):
        closing = _closing_bracket(code)
        if closing is not None:
            changes.append(Change(closing + 1, closing + 1, (" -> None", " -> 'None'")[flavour]))
    targets = [argument.arg for argument, _ in _defaults(code.node.args)]
    return Edit(tuple(changes), targets[0] if targets else code.name) if changes else None


def keyword_parameter(code: Code, flavour: int) -> Edit | None:
    """A number fixed in the body becomes a keyword parameter with that default."""
    if code.node.args.kwarg or code.name.startswith("__"):
        return None
    taken = names_bound(code) | {node.id for node in code.nodes if isinstance(node, ast.Name)}
    for name, constant in fixed_numbers(code):
        if name not in taken:
            closing = _closing_bracket(code)
            if closing is None or code.text[:closing].rstrip().endswith(","):
                return None
            star = "" if code.node.args.kwonlyargs or code.node.args.vararg else "*, "
            comma = ", " if _has_parameters(code) else ""
            added = f"{comma}{star}{name}={code.segment(constant)}"
            used = (name, f"({name})")[flavour]
            changes = (
                Change(closing, closing, added),
                Change(code.start(constant), code.end(constant), used),
            )
            return Edit(changes, name)
    return None


def fixed_numbers(code: Code) -> list[tuple[str, ast.Constant]]:
    """Numbers in the body that carry meaning, each with a name for it."""
    found = []
    for node in code.nodes:
        match node:
            case ast.keyword(arg=str(name), value=ast.Constant() as constant):
                found.append((name, constant))
            case ast.Compare(left=left, comparators=[ast.Constant() as constant]):
                subject = left.id if isinstance(left, ast.Name) else "size"
                found.append((f"{subject}_limit", constant))
            case ast.BinOp(right=ast.Constant() as constant, op=ast.Mult() | ast.Div() | ast.FloorDiv()):
                found.append(("factor", constant))
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant() as constant):
                found.append((f"initial_{name}", constant))
    body = code.body[0].lineno if code.body else 0
    return [
        (name, c)
        for name, c in found
        if _has_meaning(c.value) and c.lineno >= body and not _in_default(code, c)
    ]


def _has_meaning(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value not in (0, 1, -1)


def _in_default(code: Code, constant: ast.Constant) -> bool:
    """Whether a number stands in the signature of this or of an inner function."""
    inner = (n.args for n in code.nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))
    return any(n is constant for a in (code.node.args, *inner) for n in ast.walk(a))


def _defaults(arguments: ast.arguments) -> list[tuple[ast.arg, ast.expr]]:
    plain = [*arguments.posonlyargs, *arguments.args]
    tail = plain[len(plain) - len(arguments.defaults) :]
    pairs = list(zip(tail, arguments.defaults, strict=True))
    named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    return pairs + [(argument, default) for argument, default in named if default is not None]


def _returns_nothing(code: Code) -> bool:
    return not any(isinstance(n, ast.Return) and n.value is not None for n in code.nodes) and not any(
        isinstance(n, ast.Raise | ast.FunctionDef | ast.Lambda) for n in code.nodes
    )


def _has_parameters(code: Code) -> bool:
    arguments = code.node.args
    return bool(arguments.posonlyargs or arguments.args or arguments.kwonlyargs or arguments.vararg)


def _closing_bracket(code: Code) -> int | None:
    """Offset of the bracket that ends the parameters; None if comments make that uncertain."""
    start = code.text.find("(", code.at(code.node.lineno, code.node.col_offset))
    signature = code.text[start : code.start(code.node.body[0])]
    returns = code.start(code.node.returns) if code.node.returns else start + len(signature)
    head = code.text[start:returns]
    if "#" in head or "'" in head or '"' in head:
        return None
    depth = 0
    for position, character in enumerate(head, start):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0:
            return position
    return None
