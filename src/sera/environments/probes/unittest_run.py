"""Discovers tests with unittest, runs an even sample, and writes what became of them to ANSWER.

usage: unittest_run.py ANSWER MOST START
"""

import sys
import unittest
from pathlib import Path
from typing import Any

from counts import Counts, sample  # type: ignore[import-not-found]
from sera_discovery import discover  # type: ignore[import-not-found]

counts = Counts(sys.argv[1])
most, start = int(sys.argv[2]), Path(sys.argv[3]).resolve()
sys.argv[1:] = []
sys.path[0] = str(Path.cwd())


class Counting(unittest.TestResult):
    """Writes down each end of a test."""

    def addSuccess(self, *_: Any) -> None:
        counts.count("passed")

    def addSkip(self, *_: Any) -> None:
        counts.count("skipped")

    def addExpectedFailure(self, *_: Any) -> None:
        counts.count("passed")

    def addUnexpectedSuccess(self, test: Any) -> None:
        self.fail(test, "unexpected success")

    def addError(self, test: Any, error: Any) -> None:
        self.fail(test, f"{error[0].__name__}: {error[1]}")

    def addFailure(self, test: Any, error: Any) -> None:
        self.addError(test, error)

    def addSubTest(self, _: Any, subtest: Any, error: Any) -> None:
        if error:
            self.addError(subtest, error)

    def fail(self, test: Any, text: str) -> None:
        counts.tell("failures", str(test), text)
        counts.count("failed")


tests = []
for test, broken in discover(start):
    if broken is None:
        tests.append(test)
    else:
        counts.tell("broken", str(test), broken)
counts.facts["collected"] = len(tests)
counts.save()
unittest.TestSuite(sample(tests, most)).run(Counting())
counts.save()
