"""Test runners that are no module of ours to drive: they are run on a few files, and what they print is read.

They cannot say how many tests there are without running them, so those are counted in the source.
"""

import ast
import re
import warnings
from pathlib import Path
from typing import NamedTuple


class OwnRunner(NamedTuple):
    """How one is called and how its last lines read."""

    command: tuple[str, ...]
    files: str
    """Pattern of the test files."""
    unit: str
    """What is handed to it for a file: its `path`, or its `folder` below `base`."""
    base: str
    most: int
    """Files (or folders) in a sample."""


_SYMPY = "import sys, sympy; sys.exit(not sympy.test(*sys.argv[1:], colors=False))"
OWN_RUNNERS = {
    "django": OwnRunner(
        command=("python", "tests/runtests.py", "--parallel=1", "-v", "0"),
        files="tests/*/test*.py",
        unit="folder",
        base="tests",
        most=6,
    ),
    "sympy": OwnRunner(
        command=("python", "-c", _SYMPY), files="sympy/**/tests/test_*.py", unit="path", base=".", most=4
    ),
    "nose": OwnRunner(command=("python", "-m", "nose"), files="**/test*.py", unit="path", base=".", most=30),
}
_RAN = re.compile(r"^Ran (\d{1,7}) tests? in", re.M)
_TOLD = re.compile(r"\b(failures|errors|skipped|expected failures)=(\d{1,7})\b")
_FINISHED = re.compile(r"tests finished: (.*)|^=+ (.*) in [\d.]+s\b", re.M)
_FINISHED_PART = re.compile(
    r"\b(\d{1,7}) (passed|failed|skipped|xfailed|errors?|exceptions?|expected to fail)"
)
_FAILED = re.compile(r"^(?:FAIL|ERROR): (.+)$|^_+ ([\w/.]+:\w+) _+$", re.M)


def find_files(runner: OwnRunner, tree: Path) -> list[Path]:
    """The test files, sorted."""
    return sorted(file for file in tree.glob(runner.files) if file.is_file())


def sample(runner: OwnRunner, tree: Path) -> list[str]:
    """What to hand to the runner, evenly over all."""
    files = [file.relative_to(tree / runner.base) for file in find_files(runner, tree)]
    units = list(dict.fromkeys(str(file.parent) if runner.unit == "folder" else str(file) for file in files))
    step = max(1, -(-len(units) // runner.most))
    return units[step // 2 :: step]


def count_tests(runner: OwnRunner, tree: Path) -> int:
    """Functions and methods named as tests in the test files."""
    return sum(_tests_in(file) for file in find_files(runner, tree))


def read_summary(output: str) -> dict[str, int] | None:
    """Passed, failed and skipped, as the runner summed them up; None if it did not."""
    if finished := _FINISHED.search(output):
        told = {kind: int(count) for count, kind in _FINISHED_PART.findall(finished[1] or finished[2])}
        return {
            "passed": told.get("passed", 0) + told.get("expected to fail", 0) + told.get("xfailed", 0),
            "failed": sum(
                told.get(kind, 0) for kind in ("failed", "exception", "exceptions", "error", "errors")
            ),
            "skipped": told.get("skipped", 0),
        }
    if not (ran := _RAN.findall(output)):
        return None
    told = {kind: int(count) for kind, count in _TOLD.findall(output)}
    failed, skipped = told.get("failures", 0) + told.get("errors", 0), told.get("skipped", 0)
    return {"passed": max(0, int(ran[-1]) - failed - skipped), "failed": failed, "skipped": skipped}


def read_failures(output: str) -> list[tuple[str, str]]:
    """Names of what failed, each with the text that follows it."""
    found = list(_FAILED.finditer(output))
    ends = [one.start() for one in found[1:]] + [len(output)]
    parts = [output[one.end() : end] for one, end in zip(found, ends, strict=False)]
    return [(one[1] or one[2], part[-1500:]) for one, part in zip(found, parts, strict=True)]


def _tests_in(file: Path) -> int:
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(file.read_text("utf-8", "replace"))
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return 0
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return sum(isinstance(node, kinds) and node.name.startswith("test") for node in ast.walk(tree))
