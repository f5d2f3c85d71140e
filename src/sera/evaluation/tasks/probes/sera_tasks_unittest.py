"""Runs tests with unittest, all or those wanted, and has what became of them written down.

usage: sera_tasks_unittest.py START      tests are named as pytest would: path::Class::method
"""

import doctest
import sys
import traceback
import unittest
from pathlib import Path
from typing import Any

from sera_discovery import discover  # type: ignore[import-not-found]
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


def file_of_module(name: str) -> str:
    """The file that could not be read in as a module; the name itself if there is no such file."""
    path = name.replace(".", "/") + ".py"
    for folder in (start, *start.parents):
        if (folder / path).is_file() and str(folder / path).startswith(ROOT):
            return str(folder / path)[len(ROOT) :]
    return name


def is_own(test: Any) -> bool:
    """Whether a test stands in a test file; examples in docstrings stand in what a task is about."""
    return file_of(test).startswith(ROOT) and not isinstance(test, doctest.DocTestCase)


tests = []
for one, broken in discover(start):
    if broken is not None:
        RECORDER.broken(file_of_module(one._testMethodName), broken)
    elif is_own(one) and RECORDER.wants(name_of(one)):
        tests.append(one)
if not RECORDER.apart:
    unittest.TestSuite(tests).run(Telling())
for one in RECORDER.in_order(tests) if RECORDER.apart else ():
    RECORDER.alone(name_of(one), lambda test=one: unittest.TestSuite([test]).run(Telling()))
