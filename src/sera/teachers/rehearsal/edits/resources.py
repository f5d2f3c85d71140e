"""Kinds about files and about the order in which things come."""

import ast

from sera.teachers.rehearsal.edits.base import UNIT, Edit, has_strings_over_lines
from sera.teachers.rehearsal.source import Change, Code

_LISTINGS = {("os", "listdir"), ("glob", "glob"), ("os", "scandir")}


def open_encoding(code: Code, flavour: int) -> Edit | None:
    """Text files are read the same way whatever the locale."""
    encoding = ('"utf-8"', "'utf8'")[flavour]
    for node in code.nodes:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id != "open":
            continue
        modes = [*node.args[1:2], *(k.value for k in node.keywords if k.arg == "mode")]
        binary = any(not isinstance(m, ast.Constant) or "b" in str(m.value) for m in modes)
        given = any(k.arg in ("encoding", None) for k in node.keywords) or len(node.args) not in (1, 2)
        if not binary and not given:
            last = max(
                (code.end(part) for part in [*node.args, *(k.value for k in node.keywords)]), default=0
            )
            return Edit((Change(last, last, f", encoding={encoding}"),), code.segment(node.args[0]))
    return None


def with_open(code: Code, flavour: int) -> Edit | None:
    """A file that is opened and closed by hand is closed on every way out."""
    for block in [
        code.body,
        *(n.body for n in code.nodes if isinstance(n, ast.If | ast.For | ast.With | ast.Try)),
    ]:
        for start, statement in enumerate(block):
            match statement:
                case ast.Assign(
                    targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id="open")) as opened
                ):
                    if edit := _as_with(code, block[start:], name, opened, flavour):
                        return edit
    return None


def _as_with(code: Code, block: list[ast.stmt], name: str, opened: ast.Call, flavour: int) -> Edit | None:
    closing = next((n for n, s in enumerate(block) if _closes(s, name)), 0)
    margin = code.margin(block[0])
    if closing < 2 or margin is None or code.margin(block[closing]) is None:
        return None
    first, last = block[1].lineno, block[closing - 1].end_lineno or 0
    if last - first > 8 or has_strings_over_lines(code, first, last):
        return None
    indented = "".join(
        (UNIT + line if line.strip() else "") + "\n" for line in code.lines[first - 2 : last - 1]
    )
    note = ("", "  # closed on every way out")[flavour]
    text = f"{margin}with {code.segment(opened)} as {name}:{note}\n{indented}"
    return Edit((Change(code.line_start(block[0]), code.line_after(block[closing]), text),), name)


def _closes(statement: ast.stmt, name: str) -> bool:
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr="close"))):
            return owner == name
    return False


def sort_iteration(code: Code, flavour: int) -> Edit | None:
    """What comes in the file system's or the hash's order comes sorted."""
    for node in code.nodes:
        if isinstance(node, ast.For | ast.comprehension) and _is_unordered(node.iter):
            text = code.segment(node.iter)
            sortable = f"sorted({text})" if _is_listing(node.iter) else f"sorted({text}, key=repr)"
            other = f"sorted(list({text}), key=str)"
            return Edit(
                (Change(code.start(node.iter), code.end(node.iter), (sortable, other)[flavour]),), text
            )
    return None


def _is_unordered(node: ast.expr) -> bool:
    match node:
        case ast.Call(func=ast.Name(id="set" | "frozenset")) | ast.Set() | ast.SetComp():
            return True
    return _is_listing(node)


def _is_listing(node: ast.expr) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr=name)):
            return (module, name) in _LISTINGS and name != "scandir"
    return False
