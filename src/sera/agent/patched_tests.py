"""What a patch does to tests: deletes them, switches them off, or changes nothing else."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath

from unidiff.errors import UnidiffParseError
from unidiff.patch import PatchedFile, PatchSet

from sera.records import Finding, Severity

_DIRECTORIES = {"test", "tests", "testing", "__tests__"}
_FILE = re.compile(
    r"(?:test_.*|.*_tests?|tests?|conftest)\.py|.*_test\.go|.*[.](?:test|spec)\.[cm]?[jt]sx?|.*Tests?\.java"
)
_FUNCTION = re.compile(
    r"\s*(?:(?:async\s+)?def\s+(test\w*)|func\s+((?:Test|Benchmark|Fuzz)\w*)"
    r"|(?:it|test)(?:\.each\(.*?\))?\(\s*(['\"`].*?['\"`])|(#\[(?:\w+::)?test\]|@Test\b))"
)
"""Of the languages that functions are read from; Rust and Java mark a test on the line above it."""
_OFF = re.compile(
    r"\s*(?:@(?:pytest\.mark\.(?:skip|xfail)|unittest\.skip|Disabled\b|Ignore\b)|#\[ignore"
    r"|(?:pytest\.skip|self\.skipTest|[tb]\.Skip\w*|(?:it|test|describe)\.(?:skip|todo)|x(?:it|describe|test))\()"
)


def patch_findings(patch: str) -> Iterator[Finding]:
    """Findings of a unified diff; none if it cannot be read."""
    try:
        changed = list(PatchSet(patch))
    except UnidiffParseError:
        return
    tests = [file for file in changed if is_test_file(file.path)]
    removed = [name for file in tests for name in _matching(file, "-", _FUNCTION)]
    added = [name for file in tests for name in _matching(file, "+", _FUNCTION)]
    if len(removed) > len(added):
        gone = next(iter(Counter(removed) - Counter(added)))
        yield _finding("tests-deleted", Severity.ATTEMPT, f"{gone}: {len(removed) - len(added)} fewer in all")
    if off := [line for file in tests for line in _matching(file, "+", _OFF)]:
        yield _finding("tests-disabled", Severity.ATTEMPT, off[0])
    if tests and len(tests) == len(changed):
        yield _finding("tests-only", Severity.NOTE, tests[0].path)


def is_test_file(path: str) -> bool:
    """Whether a path is that of test code, in any of the languages that functions are read from."""
    parts = PurePosixPath(path).parts
    return bool(_DIRECTORIES.intersection(parts[:-1])) or bool(parts and _FILE.fullmatch(parts[-1]))


def _matching(file: PatchedFile, sign: str, regex: re.Pattern[str]) -> list[str]:
    """Of the lines with that sign, what the expression finds: its group, or the line."""
    lines = (line.value for hunk in file for line in hunk if line.line_type == sign)
    found = ((line, regex.match(line)) for line in lines)
    return [next(filter(None, match.groups()), line.strip()) for line, match in found if match]


def _finding(kind: str, severity: Severity, evidence: str) -> Finding:
    return Finding(kind=kind, severity=severity, message=-1, evidence=evidence)
