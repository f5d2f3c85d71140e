"""Forecast, pilot and teacher commands, as a user gives them."""

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from user_shell import Sera

from sera.analysis import Outlook, measure
from sera.records import Message, Replied, Usage
from sera.runs import read_run
from sera.runs.ledger import NANO, Line
from sera.teachers import Price


@pytest.fixture(scope="module")
def piloted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pilot") / "run"


@pytest.fixture
def pilot(sera: Sera, tiny_repo: Path, piloted: Path) -> str:
    """A pilot of three tasks of ten; what it printed. The second time nothing is done."""
    return sera(
        "generate", tiny_repo, "--out", piloted, "--functions", 10, "--pilot", 3, "--concurrency", 2
    ).stdout


def figures(told: dict[str, Any]) -> dict[str, Any]:
    return {figure["name"]: figure for figure in told["figures"]}


def test_a_forecast_without_a_run(sera: Sera, tiny_repo: Path) -> None:
    told = json.loads(sera("estimate", tiny_repo, "--functions", 40, "--model", "glm-4.6", "--json").stdout)
    assert told["tasks"] == 40
    assert told["functions"] >= 5
    assert 2 < figures(told)["cost"]["low"] < figures(told)["cost"]["high"] < 40
    assert "arXiv 2601.20789" in figures(told)["model calls"]["source"]


def test_an_unknown_price_says_how_to_give_it(sera: Sera, tiny_repo: Path) -> None:
    shown = sera("estimate", tiny_repo, "--model", "nobody-knows-it").stdout
    assert "give --price" in shown
    assert "cost" not in shown.split("Yield")[0]


def test_a_price_that_is_given(sera: Sera, tiny_repo: Path) -> None:
    told = json.loads(sera("estimate", tiny_repo, "--functions", 10, "--price", "1,0.1,2", "--json").stdout)
    assert told["price"] == {"input": 1.0, "cached": 0.1, "output": 2.0, "written": None}
    assert "--price" in sera("estimate", tiny_repo, "--price", "cheap", code=2).stderr


def test_the_rehearsal_teacher_is_forecast_as_it_is(sera: Sera, tiny_repo: Path) -> None:
    """Free, as quick as it is, and not with the figures of a paid model."""
    words = ["estimate", tiny_repo, "--functions", 40, "--concurrency", 1]
    told = json.loads(sera(*words, "--json").stdout)
    assert figures(told)["cost"]["high"] == 0
    assert "rehearsal teacher" in figures(told)["model calls"]["source"]
    assert figures(told)["hours to come"]["high"] < 0.25
    assert figures(told)["output tokens"]["high"] < 40 * 7_700
    waiting = json.loads(sera(*words, "--json", "--set", "teacher.latency=2").stdout)
    assert figures(waiting)["hours to come"]["likely"] > 0.5
    assert "this is the rehearsal teacher" in sera(*words).stdout
    priced = json.loads(sera(*words, "--price", "1,0.1,2", "--json").stdout)
    assert "arXiv" in figures(priced)["model calls"]["source"]


def test_what_a_rehearsal_took_is_in_its_forecast(
    sera: Sera, tiny_repo: Path, pilot: str, piloted: Path
) -> None:
    """All that does not hang on this machine's load."""
    told = json.loads(sera("estimate", tiny_repo, "--functions", 3, "--json").stdout)
    calls = measure(read_run(piloted)).total(lambda spent: spent.calls, 3)
    assert figures(told)["model calls"]["low"] <= calls.high
    assert calls.low <= figures(told)["model calls"]["high"]


def test_a_pilot_forecasts_the_whole(pilot: str, piloted: Path) -> None:
    assert "10 tasks, 3 of them done" in pilot
    assert "measured on 3 tasks" in pilot
    assert "without --pilot goes on" in pilot
    assert len(read_run(piloted).tasks) == 3


def test_an_estimate_from_the_pilot(sera: Sera, tiny_repo: Path, pilot: str, piloted: Path) -> None:
    told = json.loads(sera("estimate", tiny_repo, "--functions", 50, "--run", piloted, "--json").stdout)
    assert (told["tasks"], told["done"]) == (50, 3)
    calls = figures(told)["model calls"]
    assert 0 < calls["already"] < calls["low"] <= calls["likely"] <= calls["high"]
    assert "bootstrap" in calls["source"]


def test_what_was_billed_beyond_the_records_is_in_the_forecast(
    sera: Sera, tiny_repo: Path, pilot: str, piloted: Path, tmp_path: Path
) -> None:
    """Half of what was billed left no record that counts: the tasks to come will take as much."""
    run, bill = shutil.copytree(piloted, tmp_path / "run"), ["--functions", 50, "--price", "1,0.1,2"]
    plain = json.loads(sera("estimate", tiny_repo, *bill, "--run", run, "--json").stdout)
    assert plain["billed"]["settled"]["tokens"] == 0
    spent = measure(read_run(run), {task.id for task in read_run(run).tasks}).done
    calls, cached, fresh, output = (
        round(sum(getattr(one, name) for one in spent)) for name in ("calls", "cached", "fresh", "output")
    )
    used = Usage(calls=2 * calls, prompt=2 * (cached + fresh), cached=2 * cached, completion=2 * output)
    step = Replied(
        number=0, message=Message(role="assistant"), finish_reason="stop", usage=Usage(calls=7, prompt=90)
    )
    (run / "steps" / "under-way.jsonl").write_bytes(msgspec.json.encode(step) + b"\n")
    with_that = Usage(
        calls=used.calls + 7, prompt=used.prompt + 90, cached=used.cached, completion=used.completion
    )
    lines = (
        Line(kind="hold", hold=1, nano=2 * NANO, tokens=10**7),
        Line(kind="settled", hold=1, nano=NANO, tokens=10**6, usage=with_that),
        Line(kind="hold", hold=2, nano=3 * NANO, tokens=10**7),
    )
    (run / "ledger.jsonl").write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    told = json.loads(sera("estimate", tiny_repo, *bill, "--run", run, "--json").stdout)
    for name in ("cost", "model calls", "output tokens"):
        for key in ("already", "likely"):
            assert figures(told)[name][key] == pytest.approx(2 * figures(plain)[name][key])
    assert told["billed"]["uncertain"]["nano"] == 3 * NANO
    shown = sera("estimate", tiny_repo, *bill, "--run", run).stdout
    assert "spent: $1.00 as billed, and at most $3.00 more" in shown


def test_a_shorter_plan_is_said(
    sera: Sera, tiny_repo: Path, pilot: str, piloted: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(piloted, tmp_path / "run")
    told = sera("generate", tiny_repo, "--out", run, "--functions", 10, "--pilot", 2).stderr
    assert "had 3 tasks and has 2 from now on" in told
    assert len(read_run(run).tasks) == 2
    told = sera("generate", tiny_repo, "--out", run, "--functions", 3).stderr
    assert "from now on" not in told
    assert "3 of them done before" in told


def test_the_whole_run_goes_on_from_the_pilot(
    sera: Sera, tiny_repo: Path, pilot: str, piloted: Path, tmp_path: Path
) -> None:
    before = (piloted / "rollouts.jsonl").read_bytes()
    done = sera("generate", tiny_repo, "--out", piloted, "--functions", 5, "--concurrency", 2)
    assert (piloted / "rollouts.jsonl").read_bytes().startswith(before)
    assert "3 of them done before" in done.stderr
    assert "calls" in done.stderr


def test_a_run_of_another_repository_is_refused(
    sera: Sera, pilot: str, piloted: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "one.py").write_text("def one(x):\n    y = x + 1\n    z = y * 2\n    return z\n")
    assert (
        "its tasks say nothing about other"
        in sera("estimate", tmp_path / "other", "--run", piloted, code=2).stderr
    )


def test_the_outlook_adds_up(sera: Sera, tiny_repo: Path, tmp_path: Path) -> None:
    sera("generate", tiny_repo, "--out", tmp_path / "run", "--functions", 3)
    run = read_run(tmp_path / "run")
    outlook = Outlook(run, Price(input=1, output=1))
    spent = measure(run, {task.id for task in run.tasks}).done
    tokens = sum(one.cached + one.fresh + one.output for one in spent)
    assert f"${tokens / 1e6:,.2f} of about" in str(outlook)
    for pair in run.pairs:
        outlook.count(pair)
    assert f"${tokens / 1e6:,.2f} of about" in str(outlook), "a task counts once"
    whole, ends = str(outlook), list(run.pairs)
    pairs = tmp_path / "run" / "pairs.jsonl"
    pairs.write_bytes(b"".join(pairs.read_bytes().splitlines(keepends=True)[:2]))
    cut = read_run(tmp_path / "run")
    assert len(cut.owed()) == 1, "with all its rollouts on record, as after a stop before its end was written"
    outlook = Outlook(cut, Price(input=1, output=1))
    outlook.count(next(end for end in ends if end.task == cut.owed()[0].id))
    assert str(outlook) == whole


def test_teacher_command(sera: Sera) -> None:
    shown = sera("teacher", "command", "glm-4.5-air", "--gpus", 4, "--gpu", "h100").stdout
    assert "vllm serve" in shown
    assert "was not run here" in shown
    assert "does not fit" in sera("teacher", "command", "glm-4.6", "--gpus", 1, code=2).stderr


def test_teacher_check_of_nobody(sera: Sera) -> None:
    done = sera("teacher", "check", "http://127.0.0.1:9/v1", "--model", "m", "--json", code=1)
    assert json.loads(done.stdout)["usable"] is False
