"""The run directory: what is refused, what is replaced, what stays."""

import asyncio
import json
import time
from pathlib import Path

import msgspec
import pytest
from click import Command
from click.testing import CliRunner

from sera.cli.control import drop, requeue
from sera.cli.status import command as status
from sera.errors import ConfigError, RunError
from sera.harness import load_profile
from sera.records import (
    Agreement,
    Function,
    Message,
    Pair,
    Replied,
    Stage,
    State,
    Task,
    Usage,
    Verdict,
)
from sera.runs import Manifest, Run, change_run, is_running, open_run, read_run
from sera.runs.control import Order, Verb
from sera.runs.lines import seal
from sera.runs.summary import summarize
from sera.runs.underway import under_way

PROFILE = load_profile()


def manifest(**identity: object) -> Manifest:
    return Manifest(version="0.1.0", config={}, identity={"seed": 0} | identity, source={})


def task(index: int) -> Task:
    function = Function(id="f", name="f", path="a.py", line=1, end_line=2, kind="function")
    return Task(
        id=f"task{index}", index=index, function=function, categories=("generic",), demonstration="d", seed=0
    )


def agreement(recall: float) -> Agreement:
    return Agreement(recall=recall, precision=0, f1=0, file_recall=0, lines_a=1, lines_b=1, common=0)


def pair(index: int, state: State, recall: float = 0.0, finished: float = 0.0) -> Pair:
    agreed = agreement(recall) if state is State.COMPLETE else None
    return Pair(
        task=f"task{index}", index=index, state=state, reason="r", agreement=agreed, finished=finished
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A run of four tasks: two complete, one failed, one not begun."""
    with open_run(tmp_path / "run", manifest(), PROFILE, [task(n) for n in range(4)]) as run:
        run.verdicts.append(Verdict(rollout="x", accepted=True, text="", usage=Usage(calls=1, prompt=10)))
        run.pairs.append(pair(1, State.COMPLETE, 1.0, finished=100))
        run.pairs.append(pair(0, State.COMPLETE, 0.3, finished=110))
        run.pairs.append(pair(2, State.FAILED, finished=120))
    return tmp_path / "run"


def test_owed_is_what_has_no_definite_end(path: Path) -> None:
    assert [owed.index for owed in read_run(path).owed()] == [2, 3]


def test_a_run_that_lost_its_manifest_is_not_taken_for_none(path: Path, tmp_path: Path) -> None:
    (path / "run.json").unlink()
    with pytest.raises(RunError, match="Restore it from a copy"):
        read_run(path)
    with pytest.raises(RunError, match="sera generate REPO"):
        read_run(tmp_path)


def test_later_end_of_a_task_counts(path: Path) -> None:
    with open_run(path, manifest(), PROFILE, [task(n) for n in range(4)]) as run:
        run.pairs.append(pair(2, State.T1_EMPTY))
    run = read_run(path)
    assert [ended.state for _, ended in run.task_pairs() if ended] == [
        State.COMPLETE,
        State.COMPLETE,
        State.T1_EMPTY,
    ]
    assert len(path.joinpath("pairs.jsonl").read_text().splitlines()) == 4


def test_summary(path: Path) -> None:
    summary = summarize(read_run(path))
    assert summary.states == {"complete": 2, "failed": 1, "owed": 1}
    assert summary.reasons == {"failed: r": 1}
    assert summary.recall_histogram == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1]
    assert summary.mean_recall == pytest.approx(0.65)
    assert summary.usage == Usage(calls=1, prompt=10)
    assert summary.seconds_left == pytest.approx(20)
    assert not summary.running


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (requeue, ["1 of 2 tasks", "1 are owed already", "goes on with them"]),
        (drop, ["1 of 2 tasks", "1 have ended already"]),
    ],
)
def test_orders_say_why_a_task_was_left_alone(path: Path, command: Command, told: list[str]) -> None:
    """Task 1 has ended, task 2 has failed."""
    done = CliRunner().invoke(command, [str(path), "1", "2"])
    assert done.exit_code == 0
    assert all(words in " ".join(done.output.split()) for words in told), done.output


def test_steps_of_a_dropped_task_are_discarded(path: Path) -> None:
    with open_run(path, manifest(), PROFILE, [task(n) for n in range(4)]) as run:
        for stage, _, identity in run.rollout_ids(task(2)):
            with run.trail(identity):
                if stage is Stage.T1:
                    run.trail(identity, "self_check").__exit__(None, None, None)
    run = read_run(path)
    assert [(one.pair, one.stage, one.question) for one in under_way(run)] == [
        (2, Stage.T1, None),
        (2, Stage.T1, "self_check"),
        (2, Stage.T2, None),
    ]
    change_run(path, Verb.DROP, ["task2"])
    assert under_way(read_run(path)) == list((path / "steps").iterdir()) == []


def test_status_names_what_is_under_way(path: Path) -> None:
    with open_run(path, manifest(), PROFILE, [task(n) for n in range(4)]) as run:
        run.orders.begin()
        _, _, identity = run.rollout_ids(task(3))[0]
        said = Message(role="assistant")
        half = Replied(number=0, message=said, finish_reason="stop", usage=Usage(), at=time.time() - 90)
        with run.trail(identity) as trail:
            asyncio.run(trail.remember(half))
        run.orders.write(Order(verb=Verb.PAUSE))
        shown = CliRunner().invoke(status, [str(path)]).output
        (one,) = summarize(read_run(path)).under_way
    assert "2 owed, paused" in shown
    assert "1 under way" in shown
    assert (one.pair, one.steps, round(one.seconds), round(one.silent)) == (3, 1, 90, 0)
    shown = CliRunner().invoke(status, [str(path)]).output
    assert "2 owed, not running" in shown


def test_unlike_settings_are_refused_before_anything_is_written(path: Path) -> None:
    before = (path / "run.json").read_bytes()
    with (
        pytest.raises(ConfigError, match="seed was 0 and is now 1"),
        open_run(path, manifest(seed=1), PROFILE, []),
    ):
        pass
    assert (path / "run.json").read_bytes() == before
    assert len(read_run(path).tasks) == 4


def test_a_list_is_the_same_list_when_the_run_goes_on(tmp_path: Path) -> None:
    kept = manifest(index={"held_out": ("a.py", "b.py:f")})
    for _ in range(2):
        with open_run(tmp_path / "run", kept, PROFILE, [task(0)]) as run:
            assert run.owed()
            run.end(pair(0, State.FAILED))
    with pytest.raises(ConfigError, match="index was"):
        with open_run(tmp_path / "run", manifest(index={"held_out": ("a.py",)}), PROFILE, [task(0)]):
            pass


def test_lock(path: Path) -> None:
    with open_run(path, manifest(), PROFILE, []):
        assert is_running(path)
        with pytest.raises(RunError, match="another process"), open_run(path, manifest(), PROFILE, []):
            pass
    assert not is_running(path)


def test_other_directories_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(RunError, match="not empty"), open_run(tmp_path, manifest(), PROFILE, []):
        pass
    with pytest.raises(RunError, match=r"no run\.json"):
        read_run(tmp_path)


@pytest.mark.parametrize("written", [("harness.json",), ("harness.json", "tasks.jsonl"), ("run.json.new",)])
def test_a_start_that_was_killed_is_begun_anew(tmp_path: Path, written: tuple[str, ...]) -> None:
    place = tmp_path / "run"
    place.mkdir()
    for name in (".lock", *written):
        (place / name).write_text("{")
    with open_run(place, manifest(), PROFILE, [task(0)]) as run:
        assert [owed.index for owed in run.owed()] == [0]
    assert read_run(place).profile == PROFILE


def test_newer_and_damaged_runs_are_named(path: Path) -> None:
    newer = json.loads((path / "run.json").read_text()) | {"schema": 99, "version": "9.9", "novel": True}
    (path / "run.json").write_text(json.dumps(newer))
    with pytest.raises(RunError, match=r"9\.9"):
        read_run(path)
    (path / "run.json").write_text("{")
    with pytest.raises(RunError, match=r"run\.json"):
        read_run(path)


def test_records_of_a_newer_sera_can_be_read(path: Path) -> None:
    class Newer(Pair, frozen=True, kw_only=True):
        novel: int

    made = msgspec.structs.asdict(pair(3, State.COMPLETE, 0.5))
    with (path / "pairs.jsonl").open("ab") as file:
        file.write(
            seal(Newer(**made, novel=1), len(path.joinpath("pairs.jsonl").read_text().splitlines()) + 1)
        )
    assert [owed.index for owed in read_run(path).owed()] == [2]


def test_profile_comes_back_with_the_same_hash(path: Path) -> None:
    assert isinstance(read_run(path), Run)
    assert read_run(path).profile.hash == PROFILE.hash


def test_what_older_versions_believed_is_still_on_record(path: Path) -> None:
    """They wrote down whatever number of tokens a server told them; what was paid for is not done again."""
    file = path / "verdicts.jsonl"
    file.write_bytes(
        b'{"rollout":"x","accepted":true,"text":"","usage":'
        b'{"calls":1,"prompt":-17,"cached":0,"completion":3},"schema":1}\n'
    )
    run = read_run(path)
    assert run.flaws == []
    assert "x" in run.verdicts
    assert summarize(run).usage.completion == 3


def test_a_file_in_the_place_of_another_is_named(path: Path) -> None:
    """Its lines are whole, and records of something else."""
    texts = path / "pull_requests.jsonl"
    texts.write_bytes((path / "verdicts.jsonl").read_bytes())
    run = read_run(path)
    assert "x" not in run.pull_requests
    assert len(run.flaws) == 1
    assert "pull_requests.jsonl: the line at byte 0 is whole, and of another kind of file" in run.flaws[0]
    assert summarize(run).damaged == 1
    plan = path / "tasks.jsonl"
    whole = plan.read_bytes()
    plan.write_bytes((path / "pairs.jsonl").read_bytes())
    with pytest.raises(RunError, match=r"tasks.jsonl is no plan: .*writes it anew"):
        read_run(path)
    plan.unlink()
    plan.mkdir()
    with pytest.raises(RunError, match=r"cannot write .*tasks.jsonl"):
        open_again(path)
    plan.rmdir()
    open_again(path)
    assert plan.read_bytes() == whole


def open_again(path: Path) -> None:
    with open_run(path, manifest(), PROFILE, [task(n) for n in range(4)]):
        pass
