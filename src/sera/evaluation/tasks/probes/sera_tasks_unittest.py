"""Runs tests with unittest, all or those wanted, and has what became of them written down.

usage: sera_tasks_unittest.py START      tests are named as pytest would: path::Class::method
"""

import doctest
import sys
import traceback
import unittest
from pathlib import Path
from typing import Any, Iterator  # noqa: UP035  (as Python 3.7 has them)

from sera_tasks_recorder import ROOT, Recorder  # type: ignore[import-not-found]

start = Path(sys.argv[1]).resolve()
sys.argv[1:] = []
sys.path[0] = str(Path.cwd())
RECORDER = Recorder()


class Telling(unittest.TestResult):
    """Hands each end of a test on."""

    def startTest(self, test: Any) -> None:
        RECORDER.begin(name_of(test))

    def stopTest(self, _: Any) -> None:
        RECORDER.end()

    def addSkip(self, *_: Any) -> None:
        RECORDER.skipped()

    def addExpectedFailure(self, *_: Any) -> None:
        RECORDER.skipped()

    def addUnexpectedSuccess(self, _: Any) -> None:
        RECORDER.failed("", "unexpected success", 0, False)

    def addError(self, test: Any, error: Any) -> None:
        own = file_of(test)
        frames = [
            (frame.filename, frame.lineno or 0)
            for frame in traceback.extract_tb(error[2])
            if "unittest" not in Path(frame.filename).parts
        ]
        line = next((number for path, number in reversed(frames) if path == own), 0)
        last = frames[-1][0] if frames else ""
        inside = last != own and any(path != own and path.startswith(ROOT) for path, _ in frames)
        said = "".join(traceback.format_exception_only(error[0], error[1])).strip()
        RECORDER.failed(error[0].__name__, said, line, inside)

    def addFailure(self, test: Any, error: Any) -> None:
        self.addError(test, error)

    def addSubTest(self, test: Any, _: Any, error: Any) -> None:
        if error:
            self.addError(test, error)


def file_of(test: Any) -> str:
    return str(getattr(sys.modules.get(type(test).__module__), "__file__", "") or "")


def name_of(test: Any) -> str:
    path = file_of(test)
    place = path[len(ROOT) :] if path.startswith(ROOT) else path
    return "::".join([place, *test.id()[len(type(test).__module__) + 1 :].split(".")])


def flat(suite: Any) -> Iterator[Any]:
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flat(test)
        else:
            yield test


def top_of(folder: Path) -> Path:
    """The directory from which the tests are imported: above the packages that they lie in."""
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder


def is_own(test: Any) -> bool:
    """Whether a test stands in a test file; examples in docstrings stand in what a task is about."""
    return file_of(test).startswith(ROOT) and not isinstance(test, doctest.DocTestCase)


tests = []
for one in flat(unittest.TestLoader().discover(str(start), "*test*.py", str(top_of(start)))):
    if type(one).__name__ == "_FailedTest":
        RECORDER.broken(str(one), str(getattr(one, "_exception", "")))
    elif is_own(one) and RECORDER.wants(name_of(one)):
        tests.append(one)
unittest.TestSuite(tests).run(Telling())
