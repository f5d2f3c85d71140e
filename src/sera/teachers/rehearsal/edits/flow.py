"""Kinds that untangle branches without changing what is computed."""

import ast

from sera.teachers.rehearsal.edits.base import UNIT, Edit, has_strings_over_lines
from sera.teachers.rehearsal.source import Change, Code

_LONGEST = 10
"""Lines of a block that may be moved to another indentation."""


def boolean_return(code: Code, flavour: int) -> Edit | None:
    """`if c: return True` and `return False` become one return."""
    for block in _blocks(code):
        for first, second in zip(block, [*block[1:], None], strict=False):
            if not isinstance(first, ast.If) or len(first.body) != 1:
                continue
            other = first.orelse[0] if len(first.orelse) == 1 else second if not first.orelse else None
            values = _truth(first.body[0]), _truth(other)
            if values in ((True, False), (False, True)) and other is not None:
                test = code.segment(first.test)
                plain = values[0] and isinstance(first.test, ast.Compare)
                simple = test if plain else f"bool({test})" if values[0] else f"not ({test})"
                text = ("return " + simple, f"return True if {test} else False")[flavour and bool(values[0])]
                if code.margin(first) is not None and "\n" not in test:
                    return Edit((Change(code.start(first), code.end(other), text),), test)
    return None


def drop_else(code: Code, flavour: int) -> Edit | None:
    """The `else` behind a branch that has left the block already goes, its body moves out."""
    del flavour
    for block in _blocks(code):
        for node in block:
            fits = (
                isinstance(node, ast.If) and node.orelse and _leaves(node.body) and not _is_elif(code, node)
            )
            if fits and isinstance(node, ast.If) and (edit := _without_else(code, node)):
                return edit
    return None


def _without_else(code: Code, node: ast.If) -> Edit | None:
    margin, inner = code.margin(node), code.margin(node.orelse[0])
    if margin is None or inner is None or node.orelse[0].lineno == node.body[-1].end_lineno:
        return None
    first, last = node.orelse[0].lineno, node.orelse[-1].end_lineno or 0
    between = code.text[code.line_after(node.body[-1]) : code.line_start(node.orelse[0])]
    if between.strip() != "else:" or last - first >= _LONGEST or has_strings_over_lines(code, first, last):
        return None
    moved = _moved(code, first, last, inner, margin)
    end = code.line_after(node.orelse[-1])
    return (
        Edit((Change(code.line_after(node.body[-1]), end, moved),), code.segment(node.test))
        if moved
        else None
    )


def invert_if(code: Code, flavour: int) -> Edit | None:
    """A body that stands wholly under one `if` comes out of it; the other case leaves at once."""
    for block, way_out in _endings(code):
        node = block[-1]
        if not isinstance(node, ast.If) or node.orelse or len(node.body) < 2:
            continue
        margin, inner = code.margin(node), code.margin(node.body[0])
        test = code.segment(node.test)
        first, last = node.body[0].lineno, node.body[-1].end_lineno or 0
        fits = margin is not None and inner is not None and "\n" not in test and last - first < _LONGEST
        if not fits or first == node.lineno or has_strings_over_lines(code, first, last):
            continue
        assert margin is not None
        assert inner is not None
        moved = _moved(code, first, last, inner, margin)
        start = code.line_start(node.body[0])
        if moved and not code.text[code.end(node.test) : start].strip(": \n"):
            opposite = _opposite(code, node.test, test, flavour)
            head = f"{margin}if {opposite}:\n{margin}{UNIT}{way_out}\n"
            changes = Change(code.line_start(node), code.line_after(node.body[-1]), head + moved)
            return Edit((changes,), test)
    return None


def _opposite(code: Code, test: ast.expr, text: str, flavour: int) -> str:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not) and not flavour:
        return code.segment(test.operand)
    return (
        f"not {text}"
        if isinstance(test, ast.Name | ast.Attribute | ast.Call) and not flavour
        else f"not ({text})"
    )


def _moved(code: Code, first: int, last: int, inner: str, margin: str) -> str:
    """Source lines `first` to `last` with `margin` where `inner` was; empty if one stands further left."""
    lines = code.lines[first - 2 : last - 1]
    if any(line.strip() and not line.startswith(inner) for line in lines):
        return ""
    return "".join((margin + line.removeprefix(inner) if line.strip() else "") + "\n" for line in lines)


def _blocks(code: Code) -> list[list[ast.stmt]]:
    """Every list of statements, outermost first."""
    found = [code.body]
    for node in code.nodes:
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list) and block:
                found.append(block)
    return found


def _endings(code: Code) -> list[tuple[list[ast.stmt], str]]:
    """Blocks whose end nothing follows, with the statement that leaves them."""
    loops = [(n.body, "continue") for n in code.nodes if isinstance(n, ast.For | ast.While)]
    return [(code.body, "return"), *loops] if code.whole and code.body else loops


def _truth(statement: ast.stmt | None) -> bool | None:
    match statement:
        case ast.Return(value=ast.Constant(value=bool(value))):
            return value
    return None


def _leaves(body: list[ast.stmt]) -> bool:
    return isinstance(body[-1], ast.Return | ast.Raise | ast.Continue | ast.Break)


def _is_elif(code: Code, node: ast.If) -> bool:
    return code.text.startswith("elif", code.start(node))
