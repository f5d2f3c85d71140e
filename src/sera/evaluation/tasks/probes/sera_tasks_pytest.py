"""A pytest plugin that runs the tests that are wanted, and has what became of them written down."""

from typing import Any, List  # noqa: UP035  (as Python 3.7 has them)

import pytest
from _pytest.runner import runtestprotocol
from sera_tasks_recorder import ROOT, Recorder  # type: ignore[import-not-found]

RECORDER = Recorder()


def pytest_collectreport(report: Any) -> None:
    if report.failed:
        RECORDER.broken(report.nodeid, str(report.longrepr))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: List[Any]) -> None:  # noqa: UP006
    """Examples in docstrings are left out: they stand in the files that a task is about."""
    own = [item for item in items if type(item).__name__ not in ("DoctestItem", "DoctestTextfile")]
    items[:] = RECORDER.in_order([item for item in own if RECORDER.wants(item.nodeid)])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: Any) -> Any:
    if not RECORDER.apart:
        return None
    RECORDER.alone(item.nodeid, lambda: run(item))
    return True


def run(item: Any) -> None:
    """One test as if there were no other."""
    pytest_runtest_logstart(item.nodeid)
    runtestprotocol(item, log=False, nextitem=None)
    pytest_runtest_logfinish()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logstart(nodeid: str) -> None:
    RECORDER.begin(nodeid)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Any:
    report = (yield).get_result()
    if report.failed:
        tell(item, call.excinfo, report)
    elif report.skipped:
        RECORDER.skipped()


def tell(item: Any, excinfo: Any, report: Any) -> None:
    if excinfo is None:
        RECORDER.failed("", str(report.longrepr), 0, False)
        return
    own = str(getattr(item, "path", None) or item.fspath)
    entries = [(str(entry.path), entry.lineno + 1) for entry in excinfo.traceback]
    line = next((number for path, number in reversed(entries) if path == own), 0)
    last = entries[-1][0] if entries else ""
    inside = last != own and any(path != own and path.startswith(ROOT) for path, _ in entries)
    RECORDER.failed(excinfo.typename, excinfo.exconly(), line, inside)


@pytest.hookimpl(trylast=True)
def pytest_runtest_logfinish() -> None:
    RECORDER.end()
