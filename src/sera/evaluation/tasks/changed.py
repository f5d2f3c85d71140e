"""Which functions a patch changes, told from the source that it applies to."""

import ast
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

from unidiff.patch import PatchedFile, PatchSet

from sera.evaluation.tasks.bugs.base import Definition, first_line
from sera.evaluation.tasks.hiding import read_within, readable

_DEFINED = re.compile(r"\s*(?:async\s+)?def\s+(\w+)")


def changed_functions(tree: Path, patch: str) -> tuple[str, ...]:
    """`path:function` of each, by the last part of its name, those that it adds included; the path alone of
    a file in which no function is changed. In the order of the patch, Python only."""
    found: dict[str, None] = {}
    for file in PatchSet(patch):
        if file.path.endswith(".py"):
            names = [*_names(readable(file.path, read_within(tree, file.path)), _lines(file)), *_added(file)]
            found.update(dict.fromkeys([f"{file.path}:{name}" for name in names] or [file.path]))
    return tuple(found)


def _lines(file: PatchedFile) -> Iterator[int]:
    """Lines of the old file that are removed, or after which something is added."""
    for hunk in file:
        last = hunk.source_start
        for line in hunk:
            if line.is_added:
                yield last
            elif line.source_line_no is not None:
                last = line.source_line_no
                if line.is_removed:
                    yield last


def _names(text: str, lines: Iterator[int]) -> Iterator[str]:
    try:
        with warnings.catch_warnings(action="ignore"):
            nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, Definition)]
    except (SyntaxError, ValueError, RecursionError):
        nodes = []
    for line in lines:
        around = [node for node in nodes if first_line(node) <= line <= (node.end_lineno or 0)]
        if around:
            yield max(around, key=first_line).name


def _added(file: PatchedFile) -> Iterator[str]:
    for hunk in file:
        for line in hunk:
            if line.is_added and (defined := _DEFINED.match(line.value)):
                yield defined[1]
