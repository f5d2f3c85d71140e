"""A wrong teacher says so at once, a run that waits shows it and can be stopped, one without yield stops."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from scripted_server import Answer, answer, serving

from sera.cli import cli
from sera.cli.progress import progress
from sera.errors import TeacherUnusable
from sera.runs import LEDGER, read_ledger, read_run
from sera.runs.control import Order, OrderBook, Verb
from sera.teachers import RehearsalConfig, RehearsalTeacher
from sera.teachers.server import make_app

SERA = Path(sys.executable).parent / "sera"
LOADING: Answer = (503, {}, '{"error": {"message": "Loading model", "code": 503}}')
AS_TEXT = answer('<tool_call>\n{"name": "bash", "arguments": {"command": "ls"}}\n</tool_call>')


@pytest.fixture
def words(
    tiny_repo: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[str]]:
    """The words of a `sera generate` with a teacher at an address."""
    monkeypatch.setenv("SERA_CACHE", str(cache))

    def command(url: str, *more: object) -> list[str]:
        given = [
            "generate",
            tiny_repo,
            "--out",
            tmp_path / "run",
            "--teacher",
            url,
            "--model",
            "m",
            "--functions",
            2,
        ]
        return [str(word) for word in (*given, *more)]

    return command


@pytest.mark.parametrize(
    ("wrong", "said", "posts"),
    [
        ((401, {}, "no"), "SERA_API_KEY", 1),
        ((400, {}, "Invalid model name passed in model=m"), "check --model", 1),
        ((400, {}, "temperature is not supported"), "no answer to a first short question.*temperature", 2),
        (AS_TEXT, "left in the text.*--tool-call-parser hermes", 2),
    ],
    ids=["key", "model", "setting", "calls as text"],
)
def test_a_wrong_teacher_ends_it_before_a_task_begins(
    words: Any, tmp_path: Path, wrong: Answer, said: str, posts: int
) -> None:
    with serving(wrong) as server, pytest.raises(TeacherUnusable, match=said):
        cli.main(words(server.base_url), standalone_mode=False)
    assert len(server.posts) == posts
    run = read_run(tmp_path / "run")
    assert not [*run.rollouts, *run.pairs]


def test_a_student_that_writes_calls_as_text_is_asked_so(
    words: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    told = answer('<tool_call>\n{"name": "bash", "arguments": {"command": "ls"}}\n</tool_call>')
    with serving(told) as server:
        command = words(server.base_url, "--set", "teacher.format=hermes", "--set", "agent.step_limit=1")
        assert cli.main(command, standalone_mode=False) != 2
        assert "tools" not in server.posts[0][2]
    assert "left in the text" not in capsys.readouterr().err


def test_a_teacher_that_makes_no_call_is_told_of(words: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(answer("I am a poet.")) as server:
        cli.main(words(server.base_url, "--set", "agent.step_limit=1"), standalone_mode=False)
    assert "the teacher made none; it said: I am a poet." in capsys.readouterr().err


# ── resuming, and what it costs ───────────────────────────────────────────────────────────────────


@pytest.fixture
def rehearsing() -> Iterator[str]:
    """A teacher as it should be."""
    app = make_app(RehearsalTeacher(RehearsalConfig(reject_rate=0)), "m")
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    server.should_exit = True
    thread.join(10)


def test_the_check_is_counted_and_a_finished_run_asks_nothing(
    words: Any, tmp_path: Path, rehearsing: str
) -> None:
    cli.main(words(rehearsing, "--functions", 1), standalone_mode=False)
    run = read_run(tmp_path / "run")
    recorded = run.proven.calls
    billed = read_ledger(tmp_path / "run" / LEDGER)
    assert billed.usage.calls == recorded + 1
    assert not run.owed()
    nobody = "http://127.0.0.1:1/v1"
    assert not cli.main(words(nobody, "--functions", 1), standalone_mode=False)
    assert read_ledger(tmp_path / "run" / LEDGER).usage == billed.usage


# ── waiting and stopping ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, Verb.STOP])
@pytest.mark.parametrize("trouble", [LOADING, (200, {"x-wait": "60"}, "")], ids=["503", "hangs"])
def test_a_run_that_waits_says_so_and_stops_at_once(
    words: Any, tmp_path: Path, trouble: Answer, how: signal.Signals | Verb
) -> None:
    told = tmp_path / "stderr"
    with serving(trouble) as server, told.open("wb") as stderr:
        process = subprocess.Popen([SERA, *words(server.base_url)], stderr=stderr, env=dict(os.environ))
        try:
            wait_for(lambda: "Loading model" in told.read_text() if trouble is LOADING else server.posts)
            began = time.monotonic()
            if isinstance(how, Verb):
                OrderBook(tmp_path / "run").write(Order(verb=how))
            else:
                process.send_signal(how)
            assert process.wait(15) == (1 if isinstance(how, Verb) else 130)
            assert time.monotonic() - began < 10
        finally:
            process.kill()
            process.wait()
    said = told.read_text()
    assert "the same command goes on with the 2 tasks left" in said
    if trouble is LOADING:
        assert "the teacher: 1 request waits; last: " in said


def wait_for(true: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Ended:
    state: Any = "complete"


class Dollars:
    """A forecast as long as they get."""

    def count(self, ended: object) -> None:
        return None

    def __str__(self) -> str:
        return "1.23 k of about 45.6 k calls, 12.3 M of about 456 M tokens, $12.34 of about $456.78"


def test_eighty_columns_hold_all_of_the_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    trouble = "the teacher: 3 requests wait; last: http://gpu-17.example.org:8000/v1: answered 503: loading"
    title = "generating from a-project-with-a-really-long-name-indeed"
    with progress(title, 5000, 1250, Dollars(), trouble) as finished:
        finished(Ended())
    shown = terminal.getvalue().split("\x1b[2K")[-1]
    first = next(line for line in shown.splitlines() if "1251/5000" in line)
    assert "25%" in first
    assert "━" in first
    assert ":" in first.partition("25%")[2], "the time that is left"
    for said in ("1 complete", "about $456.78", "answered 503", "loading"):
        assert said in " ".join(shown.split())


def test_plain_lines_say_what_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("generating", 4, 0, Dollars(), "the teacher: 1 request waits; last: 429"):
        wait_for(lambda: "429" in capsys.readouterr().err)
