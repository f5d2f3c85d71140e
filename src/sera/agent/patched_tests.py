"""What a patch does to tests: deletes them, switches them off, or changes nothing else."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from unidiff.errors import UnidiffParseError
from unidiff.patch import PatchedFile, PatchSet

from sera.records import Finding, Severity

_DIRECTORIES = {"test", "tests", "testing"}
_FILE = re.compile(r"(?:test_.*|.*_tests?|tests?|conftest)\.py")
_FUNCTION = re.compile(r"\s*(?:async\s+)?def\s+(test\w*)")
_OFF = re.compile(
    r"\s*(?:@(?:pytest\.mark\.(?:skip|xfail)|unittest\.skip)|(?:pytest\.skip|self\.skipTest)\()"
)


def patch_findings(patch: str) -> Iterator[Finding]:
    """Findings of a unified diff; none if it cannot be read."""
    try:
        changed = list(PatchSet(patch))
    except UnidiffParseError:
        return
    tests = [file for file in changed if _is_test(file.path)]
    removed = [name for file in tests for name in _matching(file, "-", _FUNCTION)]
    added = [name for file in tests for name in _matching(file, "+", _FUNCTION)]
    if len(removed) > len(added):
        gone = next(name for name in removed if name not in added)
        yield _finding("tests-deleted", Severity.ATTEMPT, f"{gone}: {len(removed) - len(added)} fewer in all")
    if off := [line for file in tests for line in _matching(file, "+", _OFF)]:
        yield _finding("tests-disabled", Severity.ATTEMPT, off[0])
    if tests and len(tests) == len(changed):
        yield _finding("tests-only", Severity.NOTE, tests[0].path)


def _is_test(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(_DIRECTORIES.intersection(parts[:-1])) or bool(parts and _FILE.fullmatch(parts[-1]))


def _matching(file: PatchedFile, sign: str, regex: re.Pattern[str]) -> list[str]:
    """Of the lines with that sign, what the expression finds: its group, or the line."""
    lines = (line.value for hunk in file for line in hunk if line.line_type == sign)
    found = ((line, regex.match(line)) for line in lines)
    return [match[1] if regex.groups else line.strip() for line, match in found if match]


def _finding(kind: str, severity: Severity, evidence: str) -> Finding:
    return Finding(kind=kind, severity=severity, message=-1, evidence=evidence)
