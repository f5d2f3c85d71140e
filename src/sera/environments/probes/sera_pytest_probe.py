"""A pytest plugin that keeps an even sample of the tests, and writes what became of them to $SERA_PROBE."""

import os
from typing import Any, List  # noqa: UP035  (as Python 3.7 has them)

import pytest
from counts import Counts, sample  # type: ignore[import-not-found]

COUNTS = Counts(os.environ["SERA_PROBE"])
MOST = int(os.environ["SERA_PROBE_TESTS"])


def reason(report: Any) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(report.longrepr) if crash is None else str(crash.message)


def pytest_collectreport(report: Any) -> None:
    if report.failed:
        COUNTS.tell("broken", report.nodeid, reason(report))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: List[Any]) -> None:  # noqa: UP006
    COUNTS.facts["collected"] = len(items)
    items[:] = sample(items, MOST)
    COUNTS.save()


def pytest_runtest_logreport(report: Any) -> None:
    if report.failed:
        COUNTS.tell("failures", report.nodeid, reason(report))
        COUNTS.count("failed")
    elif report.skipped:
        COUNTS.count("skipped")
    elif report.when == "call":
        COUNTS.count("passed")


def pytest_sessionfinish() -> None:
    COUNTS.save()
