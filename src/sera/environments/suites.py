"""A repository's tests: where they are, what they import, what runs them. Read, never run."""

import ast
import re
import sys
import tomllib
import warnings
from collections import Counter
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from sera.environments.project import Project
from sera.environments.requirements import named
from sera.errors import UsageError
from sera.records import Record

_TEST_FILE = re.compile(r"test_.*\.py|.*_tests?\.py|tests?\.py|conftest\.py|.*_?testcase\.py")
_TEST_FOLDERS = frozenset({"test", "tests", "testing", "unit_tests"})
_SKIPPED = frozenset(
    {".git", "node_modules", "build", "dist", "docs", "doc", "examples", "benchmarks", "_vendor", "vendor"}
)
_MOST_FILES = 1500
"""Test files read at most; a larger suite imports what these import."""
_PYTEST_MARKS = (
    ("pytest.ini", r""), (".pytest.ini", r""), ("pyproject.toml", r"^\[tool\.pytest"),
    ("setup.cfg", r"^\[tool:pytest\]"), ("tox.ini", r"^\[pytest\]|\bpytest\b|\bpy\.test\b"),
    ("conftest.py", r""), ("noxfile.py", r"\bpytest\b"), ("pytest.toml", r""),
)  # fmt: skip
RUNNERS = ("pytest", "unittest", "nose", "django", "sympy", "none")


class Suite(Record, frozen=True):
    """The tests of a repository."""

    runner: str
    """One of `RUNNERS`."""
    reason: str
    paths: tuple[str, ...] = ()
    """What the runner is told to look at; empty: its own default."""
    imports: tuple[str, ...] = ()
    """Well-known distributions that the tests import."""
    files: int = 0
    """Files that are tests by their names, as far as they were counted."""


def read_suite(tree: Path, project: Project, runner: str | None = None, paths: tuple[str, ...] = ()) -> Suite:
    """Find the tests and their runner. `runner` and `paths` are the user's word."""
    if runner is not None and runner not in RUNNERS:
        raise UsageError(f"environment.runner is {runner!r}: choose one of {', '.join(RUNNERS)}")
    files = list(_test_files(tree))
    imported = Counter(name for file in files for name in _imports(file))
    found, reason = (
        (runner, "environment.runner says so") if runner else _runner(tree, project, files, imported)
    )
    return Suite(
        runner=found,
        reason=reason,
        paths=paths or tuple(_paths(tree, found, files)),
        imports=tuple(_distributions(imported, tree)),
        files=len(files),
    )


def known_modules() -> dict[str, str]:
    """Module → distribution, of those that are looked for by name."""
    text = (resources.files("sera.environments") / "known_modules.toml").read_text("utf-8")
    modules: dict[str, str] = tomllib.loads(text)["modules"]
    return modules


def _runner(tree: Path, project: Project, files: list[Path], imported: Counter[str]) -> tuple[str, str]:
    if (tree / "tests/runtests.py").is_file() and (tree / "django/__init__.py").is_file():
        return "django", "tests/runtests.py is Django's own runner"
    if (tree / "sympy/testing/runtests.py").is_file():
        return "sympy", "sympy/testing/runtests.py is SymPy's own runner"
    for name, mark in _PYTEST_MARKS:
        if (tree / name).is_file() and re.search(mark, (tree / name).read_text("utf-8", "replace"), re.M):
            return "pytest", f"{name} names it" if mark else f"there is a {name}"
    wanted = [
        source.name
        for source in project.sources
        if any(named(line) == "pytest" for line in source.requirements)
    ]
    wanted += [
        name for name, lines in project.extras.items() if any(named(line) == "pytest" for line in lines)
    ]
    if wanted:
        return "pytest", f"{wanted[0]} requires it"
    if imported["pytest"]:
        return "pytest", f"{imported['pytest']} test files import it"
    if imported["nose"]:
        return "nose", f"{imported['nose']} test files import it"
    if imported["unittest"]:
        return "unittest", f"{imported['unittest']} test files import it, none imports pytest"
    return (
        ("pytest", "there are test files, of no framework") if files else ("none", "no test file was found")
    )


def _paths(tree: Path, runner: str, files: list[Path]) -> Iterator[str]:
    """For unittest and nose, the folder that holds most of the tests; pytest finds its own."""
    if runner in ("unittest", "nose") and files:
        tops = Counter(_suite_folder(file.relative_to(tree)) for file in files)
        yield tops.most_common(1)[0][0]


def _suite_folder(file: Path) -> str:
    for parent in reversed(file.parents):
        if parent.name in _TEST_FOLDERS:
            return parent.as_posix()
    return file.parent.as_posix()


def _distributions(imported: Counter[str], tree: Path) -> Iterator[str]:
    known = known_modules()
    for name in sorted(imported):
        own = any(
            (tree / place / name).is_dir() or (tree / place / f"{name}.py").is_file()
            for place in (".", "src", "lib")
        )
        if name in known and not own and name not in sys.stdlib_module_names:
            yield known[name]


def _test_files(tree: Path) -> Iterator[Path]:
    waiting, count = [tree], 0
    while waiting and count < _MOST_FILES:
        folder = waiting.pop()
        for entry in sorted(folder.iterdir(), reverse=True):
            if entry.is_symlink() or entry.name in _SKIPPED or entry.name.startswith("."):
                continue
            if entry.is_dir():
                waiting.append(entry)
            elif _TEST_FILE.fullmatch(entry.name) and entry.suffix == ".py":
                count += 1
                yield entry


def _imports(file: Path) -> set[str]:
    """Top-level modules imported at the top of a file, those in a `try` left out: they are optional."""
    try:
        with warnings.catch_warnings(action="ignore"):
            body = ast.parse(file.read_text("utf-8", "replace")).body
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    found = set()
    for node in body:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found
