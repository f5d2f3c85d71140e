"""An evaluation from the tasks to the figures, with a model that acts differently on each task."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from made_evaluations import UNSTEADY, Actor, with_tests_of, write_set

from sera.environments import Environment
from sera.errors import RunError, UsageError
from sera.evaluation.behaviour import Turns, behaviour_of
from sera.evaluation.config import EvaluateConfig
from sera.evaluation.folder import open_evaluation, read_evaluation
from sera.evaluation.plan import Plan, plan_evaluation
from sera.evaluation.record import Outcome, State
from sera.evaluation.results import Results, check_baseline, write_results
from sera.evaluation.tasks.record import read_instances
from sera.evaluation.trials import Trials
from sera.harness import load_profile
from sera.records import End, Finding, Rollout, Severity, Stage
from sera.settings import load_config

SERA = Path(sys.executable).parent / "sera"
pytestmark = pytest.mark.usefixtures("own_cache")
Ran = tuple[Path, Results]


def planned(tasks: Path, **given: Any) -> Plan:
    small = {"seeds": 2, "concurrency": 4, "agent.step_limit": 5, "check": False}
    return plan_evaluation(tasks, load_config(EvaluateConfig, given=small | given))


def work(
    plan: Plan, out: Path, teacher: Actor | None, stop: Callable[[Trials], None] | None = None
) -> Results:
    """As the command does, with a model in this process."""

    async def main() -> None:
        trials = Trials(plan, evaluation, teacher)
        if plan.config.check:
            await trials.check()
        await trials.work(lambda _: stop(trials) if stop else None)

    with open_evaluation(out, plan.manifest, plan.profile) as evaluation:
        asyncio.run(asyncio.wait_for(main(), 120))
        return write_results(plan, evaluation)


def ends(out: Path) -> dict[str, tuple[str, str]]:
    return {key: (str(one.state), one.reason) for key, one in sorted(read_evaluation(out).ended().items())}


@pytest.fixture(scope="module")
def ran(little_tasks: Path, little_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The actor on every task, twice."""
    out = tmp_path_factory.mktemp("ran") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERA_CACHE", str(little_cache))
        return out, work(planned(little_tasks, check=True), out, Actor())


def test_each_task_ends_as_the_model_acts(ran: Ran) -> None:
    out, results = ran
    seen = {key.partition("@")[0]: end for key, end in ends(out).items()}
    assert seen == {
        "little-add": ("resolved", ""),
        "little-double": ("unresolved", ""),
        "little-first": ("empty", "step_limit"),
        "little-upper": ("empty", ""),
    }
    assert results.rate
    assert (results.rate.mean, results.rate.deviation, results.owed) == (25.0, 0.0, 0)
    spoilt = read_evaluation(out).ended()["little-double@0"]
    assert spoilt.still_failing == ("tests/test_little.py::TestLittle::test_double",)
    assert not spoilt.broken


def test_behaviour_counts_every_turn(ran: Ran) -> None:
    behaviour = ran[1].behaviour
    assert behaviour
    # twice: 4 turns that solve and 4 that spoil, the first of each repaired; 5 that loop; 3 idle, one without a call
    assert behaviour.turns == Turns(strict=26, repaired=4, unusable=2)
    assert behaviour.ends == {"step_limit": 2, "submitted": 6}
    assert (behaviour.empty_share, behaviour.cheating, behaviour.steps) == (0.5, 0, 4.0)
    assert behaviour.findings == {"attempt: package-lookup": 2}
    assert behaviour.strict_interval
    assert 40 < behaviour.strict_interval.low < 100 * 26 / 32 < behaviour.strict_interval.high < 97
    shares = behaviour.shares()
    assert shares["strict"].startswith("81.2 % (95 % interval ")
    assert shares["repaired"] == "12.5 %"
    assert shares["empty"].startswith("50.0 % (95 % interval ")
    low, high = behaviour.usable_interval.low, behaviour.usable_interval.high  # type: ignore[union-attr]
    assert shares["unusable"] == f"6.2 % (95 % interval {100 - high:.1f} to {100 - low:.1f})"


def test_forms_of_swe_bench(ran: Ran, little_tasks: Path) -> None:
    out, _ = ran
    rows = [json.loads(line) for line in (out / "seed-1" / "preds.jsonl").read_text().splitlines()]
    assert [row["instance_id"] for row in rows] == [
        json.loads(line)["instance_id"] for line in (little_tasks / "tasks.jsonl").read_text().splitlines()
    ]
    assert {row["model_name_or_path"] for row in rows} == {"rehearsal"}
    totals = json.loads((out / "seed-1" / "report.json").read_text())
    assert totals["resolved_ids"] == ["little-add"]
    assert (totals["total_instances"], totals["completed_instances"], totals["empty_patch_instances"]) == (
        4,
        2,
        2,
    )
    log = out / "logs" / "run_evaluation" / "seed-1" / "rehearsal" / "little-double"
    assert "+    return None" in (log / "patch.diff").read_text()
    assert "FAILED tests/test_little.py::TestLittle::test_double" in (log / "test_output.txt").read_text()
    report = json.loads((log / "report.json").read_text())["little-double"]
    assert report["patch_successfully_applied"]
    assert report["tests_status"]["FAIL_TO_PASS"]["failure"]


def test_nothing_is_done_twice(ran: Ran, little_tasks: Path, tmp_path: Path) -> None:
    """Neither what ended, nor the steps of what was under way."""
    out, plan = tmp_path / "out", planned(little_tasks, concurrency=1)
    first = Actor()
    halted = work(plan, out, first, stop=lambda trials: trials.halt("enough"))
    assert halted.owed == 7
    assert halted.rate is None
    second = Actor()
    whole = work(plan, out, second)
    assert ends(out) == ends(ran[0])
    assert first.asked + second.asked == 32
    assert whole.rate == ran[1].rate


def test_one_writer(little_tasks: Path, tmp_path: Path) -> None:
    plan = planned(little_tasks)
    with open_evaluation(tmp_path / "out", plan.manifest, plan.profile):
        with pytest.raises(RunError, match="another process is working on"):
            with open_evaluation(tmp_path / "out", plan.manifest, plan.profile):
                pass


def test_cheating_is_counted_by_rollout() -> None:
    finding = Finding(kind="installed-copy", severity=Severity.CHEATING, message=2, evidence="cat …")
    one = Rollout(
        id="a",
        task="a",
        stage=Stage.T2,
        attempt=0,
        end=End.SUBMITTED,
        messages=(),
        patch="x",
        findings=(finding,),
    )
    clean = msgspec.structs.replace(one, findings=())
    behaviour = behaviour_of([one, one, clean], load_profile())
    assert behaviour
    assert (behaviour.cheating, behaviour.findings) == (2, {"cheating: installed-copy": 2})


def test_context_is_bounded_by_the_servers_count(little_tasks: Path, tmp_path: Path) -> None:
    """The actor's third request has 310 tokens."""
    results = work(planned(little_tasks, context=309, seeds=1), tmp_path / "out", Actor())
    assert results.behaviour
    assert results.behaviour.ends == {"context": 4}
    assert results.behaviour.steps == 2
    assert results.rate
    assert results.rate.mean == 0


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"teacher.temperature": 0.0}, "teacher.temperature 0.6 there and 0.0 here"),
        ({"teacher.max_tokens": 512}, "teacher.max_tokens 8192 there and 512 here"),
        ({"seed": 1}, "another seed"),
        ({"teacher.model": "other"}, ""),
        ({"teacher": {"kind": "rehearsal"}}, ""),
    ],
)
def test_a_baseline_with_other_sampling_is_refused(
    little_tasks: Path, tmp_path: Path, other: dict[str, Any], why: str
) -> None:
    served = {"kind": "chat", "base_url": "http://127.0.0.1:1/v1", "model": "mine"}
    before, now = (planned(little_tasks, **{"teacher": served, **more}) for more in ({}, other))
    with open_evaluation(tmp_path / "before", before.manifest, before.profile) as evaluation:
        for one in before.tasks:
            ended = Outcome(task=one.instance_id, seed=0, state=State.EMPTY, finished=0.0)
            evaluation.outcomes.append(ended)
    unlike = check_baseline(tmp_path / "before", now, allow=True)
    assert why in " ".join(unlike)
    if not why:
        assert not unlike
        return
    with pytest.raises(UsageError, match="any-baseline"):
        check_baseline(tmp_path / "before", now, allow=False)


@pytest.mark.parametrize(("model", "rate"), [("gold", 100.0), ("empty", 0.0)])
def test_gold_resolves_all_and_empty_nothing(
    little_tasks: Path, tmp_path: Path, model: str, rate: float
) -> None:
    results = work(planned(little_tasks, predictions=model), tmp_path / "out", None)
    assert results.seeds == 1, "there is nothing that a second seed would change"
    assert results.rate
    assert results.rate.mean == rate
    assert results.model == model


def test_predictions_of_a_file(ran: Ran, little_tasks: Path, tmp_path: Path) -> None:
    """What was handed in is judged again; a patch that does not fit is an error."""
    rows = (ran[0] / "seed-0" / "preds.jsonl").read_text().splitlines()
    odd = {"instance_id": "little-upper", "model_patch": "--- a/none\n+++ b/none\n@@ -1 +1 @@\n-a\n+b\n"}
    (tmp_path / "preds.jsonl").write_text("\n".join([*rows[:3], json.dumps(odd)]))
    plan = planned(little_tasks, predictions=str(tmp_path / "preds.jsonl"), seeds=1)
    work(plan, tmp_path / "out", None)
    states = {key: state for key, (state, _) in ends(tmp_path / "out").items()}
    assert states == {
        "little-add@0": "resolved",
        "little-double@0": "unresolved",
        "little-first@0": "empty",
        "little-upper@0": "unapplied",
    }
    totals = json.loads((tmp_path / "out" / "seed-0" / "report.json").read_text())
    assert totals["error_ids"] == ["little-upper"]


BINARY = "diff --git a/a.png b/a.png\nindex 1..2 100644\nBinary files a/a.png and b/a.png differ\n"
HANDED_IN = {
    "add": lambda patch: patch.rstrip("\n"),
    "double": lambda patch: BINARY + patch,
    "first": lambda patch: (patch + BINARY).replace("def first(items)", "def first(things)"),
    "upper": lambda patch: patch.replace("return text.lower()", "return text.title()"),
}


def test_patches_of_other_harnesses(little_tasks: Path, tmp_path: Path) -> None:
    """A last newline lost, a file that is binary, context that has moved on: applied, as SWE-bench does. What
    does not apply says why."""
    rows = [
        {"instance_id": one.instance_id, "model_patch": HANDED_IN[one.instance_id[7:]](one.patch)}
        for one in read_instances(little_tasks)
    ]
    (tmp_path / "preds.json").write_text(json.dumps(rows))
    work(planned(little_tasks, predictions=str(tmp_path / "preds.json")), tmp_path / "out", None)
    found = ends(tmp_path / "out")
    assert [found[f"little-{name}@0"] for name in ("add", "double", "first")] == [("resolved", "")] * 3
    state, reason = found["little-upper@0"]
    assert state == "unapplied"
    assert "little.py: patch does not apply" in reason


def test_a_test_that_fails_once_is_run_again(little: Environment, tmp_path: Path) -> None:
    """It counts as passed, and is named."""
    tasks = write_set(tmp_path / "tasks", little, [with_tests_of(little, UNSTEADY)])
    results = work(planned(tasks, predictions="gold", seeds=1), tmp_path / "out", None)
    assert results.rate
    assert results.rate.mean == 100
    assert results.flaky == ("tests/test_more.py::TestMore::test_b",)


@pytest.fixture
def served() -> Iterator[str]:
    """The actor behind an address."""
    command = [sys.executable, str(Path(__file__).with_name("made_evaluations.py")), "0.15"]
    paths = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=paths)
    try:
        assert process.stdout
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


def test_killed_and_gone_on_with(served: str, ran: Ran, little_tasks: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [str(SERA), "evaluate", str(little_tasks), "--model", served, "--out", str(out), "--seeds", "2",
               "--concurrency", "3", "--set", "agent.step_limit=5"]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    outcomes, deadline = out / "outcomes.jsonl", time.monotonic() + 90
    while not (outcomes.exists() and outcomes.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    done = read_evaluation(out).ended()
    assert 0 < len(done) < 8
    again = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    assert ends(out) == ends(ran[0])
    both = [
        {one.id: (one.messages, one.patch) for one in read_evaluation(path).rollouts}
        for path in (out, ran[0])
    ]
    assert both[0].keys() == both[1].keys()
    assert {key: patch for key, (_, patch) in both[0].items()} == {key: p for key, (_, p) in both[1].items()}
    assert all(len(both[0][key][0]) == len(both[1][key][0]) for key in both[0])
    results = msgspec.json.decode((out / "results.json").read_bytes(), type=Results)
    assert results.rate == ran[1].rate
    assert not list((out / "steps").iterdir())
