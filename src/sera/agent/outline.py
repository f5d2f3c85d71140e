"""Listings of files: numbered lines, and the outline of a Python file too long to show."""

import ast
import re

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_KEEP = 5
"""Bodies of at most this many lines stay in an outline."""


def split_lines(text: str, keepends: bool = False) -> list[str]:
    """Lines as grep, git and `ast` count them: ended by LF or CRLF and by nothing else."""
    lines = _LINE.findall(text)
    return lines if keepends else [line.removesuffix("\n").removesuffix("\r") for line in lines]


def number(lines: list[str], first: int = 1) -> str:
    """Lines as the agent sees them: the number in six columns, a tab, the text."""
    return "\n".join(f"{n:6d}\t{line}" for n, line in enumerate(lines, first))


def outline(source: str) -> str | None:
    """Numbered lines of a Python file with the bodies of its functions left out; None if it cannot
    be parsed."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    lines = split_lines(source)
    shown, position = [], 1
    for first, last in _long_bodies(tree):
        if first < position:
            continue
        shown += [number(lines[position - 1 : first - 1], position), f"   ...\tlines {first} to {last}"]
        position = last + 1
    shown.append(number(lines[position - 1 :], position))
    return "\n".join(part for part in shown if part)


def _long_bodies(tree: ast.AST) -> list[tuple[int, int]]:
    """First and last line of every function body worth leaving out, in order; the docstring stays."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node, clean=False) else node.body
            if body and (body[-1].end_lineno or 0) - body[0].lineno >= _KEEP:
                found.append((body[0].lineno, body[-1].end_lineno or 0))
    return sorted(found)
