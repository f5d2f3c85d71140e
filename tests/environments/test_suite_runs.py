"""Suites that end early, are long, or break what they run in: the numbers are right, or the cause is named."""

import asyncio
import json
import runpy
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from environment_support import add_installed, fill_index, only, write_tree

from sera.cli import cli
from sera.environments import Environment, PrepareConfig, prepare, suite_answers
from sera.environments.suite_answers import Answer
from sera.environments.suite_runs import TestRun, run_tests
from sera.repositories import open_snapshot
from sera.sandboxes import NamespacesConfig, make_backend
from sera.settings import load_config

FINE = """\
import unittest

from small import double


class TestFine(unittest.TestCase):
    def test_a(self):
        self.assertEqual(double(2), 4)

    def test_b(self):
        self.assertEqual(double(0), 0)
"""
PROJECT = {
    "pyproject.toml": '[project]\nname = "small"\nversion = "1.0"\n',
    "small/__init__.py": "def double(a):\n    return 2 * a\n",
    "tests/__init__.py": "",
    "tests/test_a.py": FINE,
    "tests/test_z.py": FINE,
}
BROKEN = "tests/test_m.py"
TEST = f"{BROKEN}::TestM::test_m"
CASE = "import os, signal, sys, unittest\n{above}\nclass TestM(unittest.TestCase):\n    def test_m(self):\n        {body}\n"


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Environment]]:
    """The small project with each of the runners."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("index") / "wheels"
        fill_index(folder)
        add_installed(folder, "pytest", "pluggy", "iniconfig", "packaging", "pygments")
        for name, value in {**only(folder), "SERA_CACHE": str(tmp_path_factory.mktemp("cache"))}.items():
            patch.setenv(name, value)
        tree = write_tree(tmp_path_factory.mktemp("small") / "small", PROJECT)
        pairs = ["environment.build=false", "environment.runner=pytest", "check.tests=1"]
        made = prepare(open_snapshot(str(tree)), load_config(PrepareConfig, pairs=pairs))
        suite = msgspec.structs.replace(made.plan.suite, runner="unittest", paths=("tests",))
        plan = msgspec.structs.replace(made.plan, suite=suite)
        yield {"pytest": made, "unittest": msgspec.structs.replace(made, plan=plan)}


def run(
    environment: Environment,
    files: dict[str, str],
    *options: str,
    seconds: float = 60,
    wanted_files: Sequence[str] = (),
    **settings: object,
) -> TestRun:
    """Run the project's tests with further files."""
    plan = msgspec.structs.replace(environment.plan, test_options=options)
    environment = msgspec.structs.replace(environment, plan=plan)

    async def main() -> TestRun:
        async with make_backend(environment.sandbox(NamespacesConfig()), environment.layer) as backend:
            async with backend.sandbox() as box:
                for path, text in files.items():
                    await box.write(path, text.encode())
                settings["files"] = wanted_files
                return await run_tests(box, environment, None, seconds, **settings)  # type: ignore[arg-type]

    return asyncio.run(main())


def case(body: str, above: str = "") -> dict[str, str]:
    return {BROKEN: CASE.format(above=above, body=body)}


ENDS = {
    "os._exit": ("os._exit(0)", "exit code 0"),
    "a crash": ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
    "abort": ("os.abort()", "SIGABRT"),
    "killed": ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
    "interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "SIGINT": ("os.kill(os.getpid(), signal.SIGINT)", "KeyboardInterrupt"),
    "another program": ("os.execv('/bin/true', ['true'])", "exit code 0"),
    "descriptors closed": ("os.closerange(0, 256); os._exit(5)", "exit code 5"),
}


@pytest.mark.parametrize("runner", ["pytest", "unittest"])
@pytest.mark.parametrize("name", ENDS)
def test_a_suite_that_breaks_off_in_a_test(
    environments: dict[str, Environment], name: str, runner: str
) -> None:
    body, why = ENDS[name]
    found = run(environments[runner], case(body), trace=True)
    assert found.incomplete.startswith(f"the tests broke off in {TEST} (")
    assert why in found.incomplete
    assert found.incomplete.endswith(": 2 of 5 never ran")
    assert (found.broke_off_in, found.collected, found.missing) == (TEST, 5, 3)
    assert found.named("passed") == {f"tests/test_a.py::TestFine::test_{one}" for one in "ab"}


STOPS = {
    "pytest.exit": case("pytest.exit('enough', returncode=0)", "import pytest"),
    "a plugin stops it": {
        **case("pass"),
        "conftest.py": f"def pytest_runtest_logstart(nodeid, location):\n    if nodeid == {TEST!r}:\n        raise RuntimeError('no more')\n",
    },
}


@pytest.mark.parametrize("name", STOPS)
def test_a_suite_that_is_stopped(environments: dict[str, Environment], name: str) -> None:
    found = run(environments["pytest"], STOPS[name])
    assert found.broke_off_in == TEST
    assert found.incomplete.endswith(": 2 of 5 never ran")
    assert ("enough" if "exit" in name else "no more") in found.incomplete


REMOVED = ("os.remove('/tmp/sera-tasks/answer.jsonl')", "open('/tmp/sera-tasks/answer.jsonl', 'w').close()")


@pytest.mark.parametrize("runner", ["pytest", "unittest"])
@pytest.mark.parametrize("body", REMOVED)
def test_a_test_that_removes_what_was_answered(
    environments: dict[str, Environment], body: str, runner: str
) -> None:
    found = run(environments[runner], case(body))
    assert found.incomplete == f"what the tests had answered was removed in {TEST}"
    assert found.broke_off_in == TEST


LEFT_RUNNING = (
    "import threading, time; threading.Thread(target=time.sleep, args=(600,)).start()",
    "import atexit, time; atexit.register(time.sleep, 600)",
)


@pytest.mark.parametrize(("runner", "body"), [*zip(["pytest", "unittest"], LEFT_RUNNING, strict=True)])
def test_what_a_test_leaves_running_does_not_hold_the_suite(
    environments: dict[str, Environment], body: str, runner: str
) -> None:
    found = run(environments[runner], case(body))
    assert (found.in_time, found.incomplete, len(found.named("passed"))) == (True, "", 5)


def test_a_whole_suite_is_in_time_though_its_process_is_not(environments: dict[str, Environment]) -> None:
    found = run(
        environments["pytest"],
        case("import atexit; atexit.register(os.kill, os.getpid(), signal.SIGSTOP)"),
        seconds=3,
    )
    assert (found.in_time, found.incomplete, len(found.named("passed"))) == (True, "", 5)


def test_a_configuration_that_stops_at_a_failure(environments: dict[str, Environment]) -> None:
    files = {**case("assert False"), "pytest.ini": "[pytest]\naddopts = --stepwise\n"}
    found = run(environments["pytest"], files)
    assert (found.incomplete, len(found.named("passed")), found.named("failed")) == ("", 4, {TEST})


def test_a_file_with_a_comma_in_its_name(environments: dict[str, Environment]) -> None:
    name = "tests/test_one,two.py"
    found = run(environments["pytest"], {name: "def test_a(): pass\n"}, wanted_files=[name])
    assert found.named("passed") == {f"{name}::test_a"}


def test_a_suite_that_a_plugin_stops_between_tests(environments: dict[str, Environment]) -> None:
    stop = "def pytest_runtest_logfinish(nodeid, location):\n    if 'test_m' in nodeid:\n        SESSION[0].shouldstop = 'one is enough'\n"
    files = {
        "conftest.py": "SESSION = []\ndef pytest_sessionstart(session):\n    SESSION.append(session)\n" + stop
    }
    found = run(environments["pytest"], {**case("pass"), **files})
    assert (
        found.incomplete == f"the tests broke off after {TEST} (Interrupted: one is enough): 2 of 5 never ran"
    )


def test_tests_that_run_elsewhere_and_are_lost(environments: dict[str, Environment]) -> None:
    """A runner of workers, one of which is killed with the tests that it had."""
    loop = """
import os
def pytest_runtestloop(session):
    for half in (session.items[:2], session.items[2:]):
        if half[0].nodeid.startswith("tests/test_m"):
            child = os.fork()
            if not child:
                os.kill(os.getpid(), 9)
            os.waitpid(child, 0)
            continue
        for item in half:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
    return True
"""
    found = run(environments["pytest"], {**case("pass"), "conftest.py": loop})
    assert (
        found.incomplete
        == "the tests broke off after tests/test_a.py::TestFine::test_b (exit code 0): 3 of 5 never ran"
    )


@pytest.mark.parametrize("runner", ["pytest", "unittest"])
def test_a_file_that_ends_the_process_as_it_is_read_in(
    environments: dict[str, Environment], runner: str
) -> None:
    found = run(environments[runner], {BROKEN: "import os\nos._exit(3)\n"})
    assert found.incomplete.startswith(f"the tests broke off while {BROKEN} was read in (exit code 3)")
    assert (found.broke_off_in, found.collected, found.outcomes) == (BROKEN, None, {})
    assert f"--ignore={BROKEN}" in found.cure


@pytest.mark.parametrize("place", ["conftest.py", BROKEN])
def test_sys_exit_before_the_tests(environments: dict[str, Environment], place: str) -> None:
    found = run(environments["pytest"], {place: "import sys\nsys.exit('not here')\n"})
    assert "before any was found" in found.incomplete or BROKEN in found.incomplete
    assert "not here" in found.incomplete


def test_sys_exit_in_a_file_of_unittest(environments: dict[str, Environment]) -> None:
    """unittest takes it for a file that cannot be read in, and goes on."""
    found = run(environments["unittest"], {BROKEN: "import sys\nsys.exit('not here')\n"})
    assert not found.incomplete
    assert len(found.named("passed")) == 4
    assert len(found.broken) == 1


LEFT = "import builtins, json, os, time, sys, unittest\ndef no(*_, **__):\n    raise OSError('no')\n"
SPOILT = (
    "json.dumps = json.JSONEncoder.encode = json.JSONEncoder.iterencode = no",
    "json.encoder.c_make_encoder = json.encoder.encode_basestring_ascii = no",
    "builtins.open = builtins.round = builtins.sorted = no",
    "time.time = time.perf_counter = time.monotonic = lambda: -1e12",
    "os.chdir('/')",
    "os.fork()",
    "sys.stdout = sys.stderr = None",
)
CLOSED = (
    "os.closerange(3, 256)",
    "os.closerange(3, 256); [os.open('/dev/null', os.O_WRONLY) for _ in range(50)]",
    "os.write = os.open = os.close = os.fstat = os.getpid = no",
)
"""What pytest withstands only where it does not catch the output."""


@pytest.mark.parametrize("runner", ["pytest", "unittest"])
@pytest.mark.parametrize("bodies", [SPOILT, CLOSED])
def test_a_suite_that_spoils_its_interpreter(
    environments: dict[str, Environment], bodies: tuple[str, ...], runner: str
) -> None:
    """For good, one thing after the other."""
    methods = [f"    def test_{number}(self): {body}\n" for number, body in enumerate(bodies)]
    files = {BROKEN: LEFT + "class TestM(unittest.TestCase):\n" + "".join(methods)}
    options = ("--capture=no",) if bodies is CLOSED else ()
    found = run(environments[runner], files, *options, trace=True)
    assert found.incomplete == ""
    assert found.collected == len(found.outcomes) == len(found.named("passed")) == len(bodies) + 4
    assert all(0 <= one.seconds < 30 for one in found.outcomes.values())


FORKED = """
import marshal, os
from _pytest.reports import TestReport
from _pytest.runner import runtestprotocol

def serialize_report(report):
    return {"nodeid": report.nodeid, **vars(report), "longrepr": report.longrepr and str(report.longrepr), DROP: 0}

def in_child(item):
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        answer = marshal.dumps([serialize_report(one) for one in runtestprotocol(item, log=False)])
        os.write(writer, answer)
        os._exit(0)
    os.close(writer)
    text = os.fdopen(reader, "rb").read()
    if os.waitpid(child, 0)[1]:
        return [TestReport(item.nodeid, item.location, {}, "failed", "it CRASHED", "call")]
    return [TestReport(**one) for one in marshal.loads(text)]

def pytest_runtest_protocol(item):
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in in_child(item):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
"""
"""What pytest-forked does: each test in a child, which hands its reports over."""


@pytest.mark.parametrize("can_hand_over", [True, False])
def test_each_test_in_a_process_of_its_own(environments: dict[str, Environment], can_hand_over: bool) -> None:
    text = FORKED.replace("DROP", '"_id"' if can_hand_over else '"x": object, "_id"')
    wrong = case("from small import double; self.assertEqual(double(1), 9)")
    wrong["tests/test_n.py"] = CASE.format(above="", body="os._exit(9)") if can_hand_over else ""
    found = run(
        environments["pytest"], {"pytest_forked.py": text, **wrong}, "-p", "pytest_forked", trace=True
    )
    assert found.incomplete == ""
    assert len(found.named("passed")) == 4
    failed = found.outcomes[TEST]
    assert (failed.outcome, failed.kind, failed.line, failed.inside) == ("failed", "AssertionError", 5, False)
    for one in (failed, found.outcomes["tests/test_a.py::TestFine::test_a"]):
        assert ("small/__init__.py", 1) in [found.places[number] for number in one.calls]
    if can_hand_over:
        assert found.outcomes["tests/test_n.py::TestM::test_m"].said == "it CRASHED"


MANY = """
for number in range(800):
    def test(self):
        self.fail("\u00e9" * 4000)
    setattr(TestM, f"test_{number}", test)
"""


def test_an_answer_longer_than_any_file_that_is_read(environments: dict[str, Environment]) -> None:
    files = {BROKEN: CASE.format(above="", body="pass") + MANY}
    found = run(environments["unittest"], files)
    assert found.incomplete == ""
    assert len(found.named("passed")) == 5
    failed = [found.outcomes[name] for name in found.named("failed")]
    assert len(failed) == 800
    assert sum(len(one.said.encode()) for one in failed) > 3 << 20
    assert NamespacesConfig().limits.read_bytes < 800 * 6 * 3900, "as it is written"


def test_an_answer_without_end(environments: dict[str, Environment], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite_answers, "_MOST_ANSWERED", 2 << 20)
    found = run(environments["unittest"], {BROKEN: CASE.format(above="", body="pass") + MANY})
    assert found.incomplete == "what the tests answered cannot be read: it is longer than 2 MiB"
    assert found.outcomes == {}


def test_a_line_longer_than_a_piece(tmp_path: Path) -> None:
    """It is written, in a piece of its own."""
    recorder = runpy.run_path(str(resources.files("sera.environments") / "probes" / "sera_recorder.py"))
    stream = recorder["Stream"](str(tmp_path / "answer"))
    for said in ("a", "b" * (2 << 20), "c"):
        stream.add({"end": said})
    assert [len(file.read_bytes()) >> 20 for file in sorted(tmp_path.iterdir())] == [0, 2, 0]


def test_equal_lists_of_calls_are_written_once(environments: dict[str, Environment]) -> None:
    found = run(environments["unittest"], {}, trace=True)
    first, second = (found.outcomes[f"tests/test_{name}.py::TestFine::test_a"].calls for name in "az")
    assert len(found.outcomes) == 4
    assert {found.places[number][0] for number in first} == {"small/__init__.py", "tests/test_a.py"}
    assert {found.places[number][0] for number in second} == {"small/__init__.py", "tests/test_z.py"}
    for line in (b'{"id":"a","outcome":"passed","same":0}', b'{"chosen":1}'):
        with pytest.raises(msgspec.DecodeError, match=r"^line 1: "):
            Answer().add(line)


SET_UP = """\
import unittest


class TestUp(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        {up}

    @classmethod
    def tearDownClass(cls):
        {down}

    def test_a(self):
        pass

    def test_b(self):
        pass
"""


@pytest.mark.parametrize(
    ("up", "down", "outcomes"),
    [
        ("raise ValueError('up')", "pass", ["failed", "failed"]),
        ("raise unittest.SkipTest('up')", "pass", ["skipped", "skipped"]),
        ("pass", "raise ValueError('down')", ["passed", "failed"]),
    ],
)
def test_what_is_done_around_a_class(
    environments: dict[str, Environment], up: str, down: str, outcomes: list[str]
) -> None:
    found = run(environments["unittest"], {BROKEN: SET_UP.format(up=up, down=down)})
    assert found.incomplete == ""
    names = [f"{BROKEN}::TestUp::test_{one}" for one in "ab"]
    assert [found.outcomes[name].outcome for name in names] == outcomes


def test_prepare_says_so(environments: dict[str, Environment], tmp_path: Path) -> None:
    tree = write_tree(tmp_path / "small", {**PROJECT, **case("os._exit(0)")})
    words = ["prepare", str(tree), "--set", "environment.build=false", "--set", "environment.runner=pytest"]
    said = CliRunner().invoke(cli, words, catch_exceptions=False).output
    assert "2: 2 passed, 0 failed, 0 skipped, 3 not run to their end" in said
    (summary,) = json.loads(CliRunner().invoke(cli, [*words, "--json"], catch_exceptions=False).stdout)
    assert (summary["collected"], summary["passed"], summary["missing"]) == (5, 2, 3)
    (trouble,) = summary["troubles"]
    assert trouble["what"] == TEST
    assert trouble["cause"] == f"the tests broke off in {TEST} (exit code 0): 2 of 5 never ran"
    assert f"environment.test_options=['--deselect={TEST}']" in trouble["cure"]
