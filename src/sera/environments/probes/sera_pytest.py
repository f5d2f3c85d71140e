"""A pytest plugin that runs the tests that are wanted, and has what became of them written down.

What the exception and the trace tell is put into the report, which may be made in a process of its own.
"""

import builtins
import marshal
from typing import Any, List

import pytest
from _pytest.runner import runtestprotocol
from sera_recorder import ROOT, Recorder  # type: ignore[import-not-found]

globals()["__builtins__"] = dict(vars(builtins))
RECORDER = Recorder()
STOPPED: List[str] = []
"""Why the session stops before its last test."""
SEEN: List[Any] = []
"""Functions that the present test has called."""


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: Any) -> None:
    """Where pytest-forked cannot hand over the reports of this pytest, each test would fail: then all run in
    this process."""
    forked = config.pluginmanager.get_plugin("pytest_forked")
    if forked:
        from _pytest.reports import TestReport

        report = TestReport("a", ("a", 0, "a"), {}, "passed", None, "call")
        try:
            marshal.dumps(getattr(forked, "serialize_report", vars)(report))
        except ValueError:
            config.pluginmanager.unregister(forked)


def pytest_collectstart(collector: Any) -> None:
    if collector.nodeid not in ("", "."):  # of the session itself
        RECORDER.read_in(collector.nodeid)


def pytest_collectreport(report: Any) -> None:
    if report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        RECORDER.broken(report.nodeid, str(report.longrepr if crash is None else crash.message))


def is_example(item: Any) -> bool:
    return type(item).__name__ in ("DoctestItem", "DoctestTextfile")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: List[Any]) -> None:
    items[:] = RECORDER.choose(items, lambda item: item.nodeid, is_example)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: Any) -> None:
    RECORDER.chosen([item.nodeid for item in session.items])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: Any) -> Any:
    if not RECORDER.apart:
        return None
    RECORDER.alone(item.nodeid, lambda: run(item))
    return True


def run(item: Any) -> None:
    """One test as if there were no other."""
    pytest_runtest_logstart(item.nodeid)
    for report in runtestprotocol(item, log=False, nextitem=None):
        pytest_runtest_logreport(report)
    pytest_runtest_logfinish()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logstart(nodeid: str) -> None:
    del SEEN[:]
    RECORDER.begin(nodeid)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Any:
    report = (yield).get_result()
    if report.failed and call.excinfo is not None:
        report.sera_failure = failure(item, call.excinfo)
    if report.when == "teardown":
        report.sera_calls = RECORDER.seen()


def failure(item: Any, excinfo: Any) -> List[Any]:
    """What the recorder wants to know of a failure."""
    own = str(getattr(item, "path", None) or item.fspath)
    entries = [(str(entry.path), entry.lineno + 1) for entry in excinfo.traceback]
    line = next((number for path, number in reversed(entries) if path == own), 0)
    last = entries[-1][0] if entries else ""
    inside = last != own and any(path != own and path.startswith(ROOT) for path, _ in entries)
    return [excinfo.typename, excinfo.exconly(), line, inside]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: Any) -> None:
    if report.failed:
        RECORDER.failed(*getattr(report, "sera_failure", ["", str(report.longrepr), 0, False]))
    elif report.skipped:
        RECORDER.skipped()
    elif report.when == "call":
        RECORDER.passed()
    SEEN.extend(tuple(place) for place in getattr(report, "sera_calls", None) or ())


@pytest.hookimpl(trylast=True)
def pytest_runtest_logfinish() -> None:
    RECORDER.end(SEEN)


def pytest_keyboard_interrupt(excinfo: Any) -> None:
    """Also of `pytest.exit`, and of plugins that end the session."""
    name, colon, said = excinfo.exconly().partition(":")
    STOPPED.append(name.rpartition(".")[2] + colon + said)


def pytest_internalerror(excinfo: Any) -> None:
    pytest_keyboard_interrupt(excinfo)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: Any) -> None:
    RECORDER.finish(str((STOPPED or [getattr(session, "shouldfail", "") or ""])[0]))
