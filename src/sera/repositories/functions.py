"""All functions of a tree, and which of them a task may start from.

Every `def` at any depth is in `FunctionIndex.functions`; lambdas are not. A file that cannot or
should not be read is in `skipped` with its reason (see `modules`), a function that makes no good
start is in `refused` with one of these:

    test        by path (`tests/`, `testing/`, a top-level `test/`, test_*.py, *_test.py, tests.py,
                conftest.py), or by name in a file that imports pytest or unittest
    stub        does nothing but `pass`, `...` or `raise NotImplementedError`
    overload, abstract   by decorator
    dunder      a special method without any control flow, such as an `__init__` that only assigns
    too short, too long  by `IndexRules`
"""

import gc
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import msgspec

from sera.errors import SourceError
from sera.records import Function, content_id
from sera.repositories.callers import find_callers
from sera.repositories.modules import Module, RawFunction, read_module, skip_by_name
from sera.repositories.staging import read_regular
from sera.settings import Config, Count

_TEST_DIRECTORIES = frozenset({"tests", "testing"})
_TEST_FILE = re.compile(r"(test_.*|.*_test|tests|conftest)\.py")
_TEST_NAME = re.compile(r"(^|\.)(test_\w*|Test[A-Z]\w*|\w+Tests?|\w+TestCase)(\.|$)")


class IndexRules(Config, frozen=True):
    """What is too small or too large."""

    min_statements: Count = 3
    """Statements a function needs to be sampled, docstring excluded."""
    max_lines: Count = 300
    """Lines a sampled function has at most."""
    max_file_bytes: Count = 1_000_000
    """A larger file is not read."""


class FunctionIndex(msgspec.Struct, frozen=True, kw_only=True):
    """What a tree offers. Functions are ordered by path and line."""

    functions: tuple[Function, ...]
    refused: dict[str, str]
    """Function id → why it is not sampled."""
    skipped: dict[str, tuple[str, ...]]
    """Reason → paths of Python files that were not read."""
    files: int
    """Python files that were read."""

    @property
    def sampleable(self) -> tuple[Function, ...]:
        """The functions a task may start from."""
        return tuple(function for function in self.functions if function.id not in self.refused)

    @property
    def left_out(self) -> dict[str, int]:
        """Reason → number of functions not sampled, commonest first."""
        return dict(Counter(self.refused.values()).most_common())


def index_functions(tree: Path, rules: IndexRules = IndexRules()) -> FunctionIndex:  # noqa: B008  (frozen)
    """Read every Python file below `tree`. Raises `SourceError` only if `tree` is no directory."""
    if not tree.is_dir():
        raise SourceError(f"{tree} is not a directory: functions are read from a snapshot's tree")
    modules: list[Module] = []
    skipped: dict[str, list[str]] = {}
    with _without_collector():
        for path in _python_files(tree):
            found = _read(tree, path, rules)
            if isinstance(found, Module):
                modules.append(found)
            else:
                skipped.setdefault(found, []).append(path.encode(errors="replace").decode())
        functions, refused = _records(modules, rules)
    return FunctionIndex(
        functions=tuple(functions),
        refused=refused,
        skipped={reason: tuple(paths) for reason, paths in sorted(skipped.items())},
        files=len(modules),
    )


def _records(modules: list[Module], rules: IndexRules) -> tuple[list[Function], dict[str, str]]:
    tests = {function for module in modules for function in module.functions if _is_test(module, function)}
    callers = find_callers(modules, tests)
    functions: dict[str, Function] = {}
    refused: dict[str, str] = {}
    for module in modules:
        for raw in module.functions:
            function = _record(module.path, raw, raw in tests, callers.get((module.path, raw.qualname), ()))
            functions[function.id] = function
            if reason := _refusal(raw, function, rules):
                refused[function.id] = reason
    return list(functions.values()), refused


def _record(path: str, raw: RawFunction, is_test: bool, callers: tuple[str, ...]) -> Function:
    return Function(
        id=content_id(path, raw.qualname, raw.line),
        name=raw.qualname,
        path=path,
        line=raw.line,
        end_line=raw.end_line,
        kind=raw.kind,
        is_async=raw.is_async,
        is_test=is_test,
        docstring=raw.docstring,
        decorators=raw.decorators,
        statements=max(raw.statements, 0),
        callers=callers,
    )


def _refusal(raw: RawFunction, function: Function, rules: IndexRules) -> str:
    """Why a function is not sampled, or empty."""
    decorators = {text.partition("(")[0].rpartition(".")[2] for text in raw.decorators}
    name = raw.qualname.rpartition(".")[2]
    reasons = {
        "test": function.is_test,
        "overload": "overload" in decorators,
        "abstract": bool(decorators & {"abstractmethod", "abstractproperty"}),
        "stub": raw.stub,
        "dunder": name.startswith("__") and name.endswith("__") and not raw.branches,
        "too short": function.statements < rules.min_statements,
        "too long": function.lines > rules.max_lines,
    }
    return next((reason for reason, applies in reasons.items() if applies), "")


def _is_test(module: Module, function: RawFunction) -> bool:
    path = PurePosixPath(module.path)
    in_tests = bool(_TEST_DIRECTORIES.intersection(path.parts[:-1])) or path.parts[:-1][:1] == ("test",)
    if in_tests or _TEST_FILE.fullmatch(path.name):
        return True
    return module.tests_inside and bool(_TEST_NAME.search(function.qualname))


def _python_files(tree: Path) -> Iterator[str]:
    """Paths of the tree's own Python files, sorted directory by directory; links are not followed."""
    for directory, below, names in os.walk(tree):
        below[:] = sorted(name for name in below if name != ".git")
        relative = Path(directory).relative_to(tree)
        for name in sorted(names):
            if name.endswith(".py"):
                yield (relative / name).as_posix()


def _read(tree: Path, path: str, rules: IndexRules) -> Module | str:
    if reason := skip_by_name(path):
        return reason
    try:
        facts = (tree / path).lstat()
    except OSError:
        return "unreadable"
    if facts.st_size > rules.max_file_bytes:
        return "too large"
    content = read_regular(tree / path)
    return "link or unreadable" if content is None else read_module(path, content)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Syntax trees are many small objects, freed by their count: looking for cycles doubles the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
