"""`sera train` as it is typed."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from sera.cli import cli
from sera.errors import SeraError
from sera.training import Request
from sera.training.folder import read_metrics


def words(request: Request, *more: str) -> list[str]:
    settings = {
        "epochs": 2,
        "learning_rate": 0.005,
        "warmup_steps": 1,
        "batch": 4,
        "sequence": 2048,
        "save_every": 1,
    }
    pairs = [f"--set={key}={value}" for key, value in settings.items()]
    names = ["--student", request.student, "--out", str(request.out), "--set=device.gpu='cpu'"]
    return ["train", str(request.dataset), *names, *pairs, *more]


def test_the_plan_is_shown_and_nothing_done(asked: Request) -> None:
    done = CliRunner().invoke(cli, words(asked, "--plan"), catch_exceptions=False)
    assert done.exit_code == 0
    assert "memory of each cpu" in done.output
    assert "0.05 TFLOP/s a core" in done.output
    assert not asked.out.exists()
    as_json = json.loads(CliRunner().invoke(cli, words(asked, "--plan", "--json")).stdout)
    assert (as_json["rows"], as_json["steps"]) == (12, 6)
    assert as_json["hours_low"] < as_json["hours"] < as_json["hours_high"]
    assert re.search(r"\d+ s \(\d+ s to \d+ s\) at|\d+ min.*\(.* to .*\) at", done.output)


def test_a_plan_that_does_not_fit_is_shown_with_the_reason(asked: Request) -> None:
    tight = words(asked, "--plan", "--set=device.gpu='l40s'", "--set=device.memory_share=0.0001")
    done = CliRunner().invoke(cli, tight)
    assert "memory of each l40s" in done.output
    assert isinstance(done.exception, SeraError)
    assert "does not fit" in str(done.exception)


def test_a_recipe_is_overridden_by_options(asked: Request) -> None:
    done = CliRunner().invoke(
        cli, words(asked, "--recipe", "demo-loop", "--held-out", "0.25", "--plan", "--json")
    )
    plan = json.loads(done.stdout)
    assert plan["held_out"] == 2
    assert plan["trained_parameters"] < plan["parameters"]


@pytest.mark.soak
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_real_process_is_ended_and_goes_on(request_: Request, how: signal.Signals) -> None:
    pytest.importorskip("trl")
    argv = [sys.executable, "-m", "sera", *words(request_, "--set=epochs=8")]
    process = subprocess.Popen(argv, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while len(read_metrics(request_.out)) < 5:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(how)
    assert process.wait(60) != 0
    assert not (request_.out / "checkpoint").exists()
    subprocess.run(argv, check=True, timeout=300)
    steps = [step.step for step in read_metrics(request_.out)]
    assert steps == list(range(1, 25))
