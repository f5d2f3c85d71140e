"""Tests that tell, taken out of the tree that an agent works in.

As in SWE-bench, the agent sees neither the tests that fail now nor their names; whoever judges puts them
back. A test is taken out as the function that it is, so with all of its cases. One that cannot be found in
its file, as it is inherited or made by a program, stays.
"""

import ast
import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from sera.agent import textfiles

Definition = ast.FunctionDef | ast.AsyncFunctionDef
_END = re.compile(r"\r\n|\r|\n")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
"""Lines as Python counts them."""


def hide(tree: Path, tests: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Path → text of the test file with the tests named, and without them; files that stay are left out."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for name in tests:
        path, _, inner = name.partition("::")
        wanted[path].add(inner.partition("[")[0])
    found = {}
    for path, names in sorted(wanted.items()):
        before = read_within(tree, path)
        after = _without(path, before, names)
        if after != before:
            found[path] = (before, after)
    return found


def find_test(text: str, test: str) -> Definition | None:
    """The function that a test is in its file; None if it cannot be found there."""
    place = test.partition("::")[2].partition("[")[0]
    return next((node for name, node, _ in _functions(text) if name == place), None)


def _without(path: str, text: str, names: set[str]) -> str:
    lines = _LINE.findall(text)
    gone: set[int] = set()
    filled: Mapping[int, str] = {}
    for name, node, body in _functions(readable(path, text)):
        if name in names:
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            gone |= set(range(first, (node.end_lineno or 0) + 1))
            if body and all(set(range(one.lineno, (one.end_lineno or 0) + 1)) <= gone for one in body):
                end = _END.search(lines[first - 1])
                filled = {**filled, first: " " * node.col_offset + "pass" + (end[0] if end else "\n")}
    kept = (filled.get(number, "" if number in gone else line) for number, line in enumerate(lines, 1))
    return "".join(kept)


def _functions(text: str) -> list[tuple[str, Definition, list[ast.stmt]]]:
    """Test functions and methods by the name that follows the path, each with the block it stands in."""
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found: list[tuple[str, Definition, list[ast.stmt]]] = []

    waiting: list[tuple[list[ast.stmt], str, bool]] = [(tree.body, "", False)]
    while waiting:  # an `elif` stands within the one before it, so no depth of calls is enough
        body, prefix, owned = waiting.pop()
        for node in body:
            if isinstance(node, Definition):
                found.append((prefix + node.name, node, body if owned else []))
            elif isinstance(node, ast.ClassDef):
                waiting.append((node.body, f"{prefix}{node.name}::", True))
            elif isinstance(node, ast.If):
                waiting += [(node.body, prefix, True), (node.orelse, prefix, True)]
    return sorted(found, key=lambda one: one[1].lineno)


def read_within(tree: Path, path: str) -> str:
    """A file of a tree as patches hold it: UTF-8, and what is not escaped as by `surrogateescape`. Empty if
    it is none, or a link leads out of the tree."""
    try:
        file = (tree / path).resolve(strict=True)
        inside = file.is_relative_to(tree.resolve())
        return file.read_bytes().decode("utf-8", "surrogateescape") if inside else ""
    except (OSError, ValueError):
        return ""


def readable(path: str, text: str) -> str:
    """A source that `read_within` gave, as people and `ast` read it: in its own encoding, without a byte
    order mark, each line ended by a line feed. Empty if it cannot be read."""
    try:
        return _END.sub("\n", textfiles.read(path, text.encode("utf-8", "surrogateescape")).text)
    except UnicodeError:
        return ""
