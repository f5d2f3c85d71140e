"""A multiplied run is a run: its records belong together, and none is like another."""

import json
from collections import Counter
from pathlib import Path

import pytest

from sera.errors import ConfigError, RunError
from sera.generation.multiplied import multiply_run
from sera.generation.recall import compare
from sera.harness import load_profile
from sera.records import (
    End,
    Function,
    Message,
    Pair,
    PullRequest,
    Rollout,
    Stage,
    State,
    Task,
    ToolCall,
    Verdict,
)
from sera.runs import Manifest, Run, open_run, read_run

PROFILE = load_profile()


def messages() -> tuple[Message, ...]:
    talk = [Message(role="system", content="You work."), Message(role="user", content="Look at mean.")]
    for step in range(5):
        call = ToolCall(
            id=f"call_{step}", name="bash", arguments=json.dumps({"command": f"grep mean {step}"})
        )
        talk.append(Message(role="assistant", reasoning="mean?", tool_calls=(call,)))
        talk.append(Message(role="tool", content="def mean(values):", tool_call_id=call.id))
    return tuple(talk)


def patch(lines: str) -> str:
    return f"--- a/n.py\n+++ b/n.py\n@@ -1 +1,2 @@\n-def mean(a):\n{lines}"


@pytest.fixture
def original(tmp_path: Path) -> Run:
    """One pair that half agrees, and one T1 that was not finished."""
    tasks = [
        Task(
            id=f"task-{n}",
            index=n,
            function=Function(id=f"f{n}", name="Stats.mean", path="n.py", line=1, end_line=5, kind="method"),
            categories=("naming",),
            demonstration="short",
            seed=n,
        )
        for n in range(2)
    ]
    manifest = Manifest(version="0", config={}, identity={"seed": 0}, source={"name": "n"})
    with open_run(tmp_path / "real", manifest, PROFILE, tasks) as run:
        ids = {stage: run.rollout_id(tasks[0], stage, 0) for stage in Stage}
        patches = {
            Stage.T1: patch("+def mean(b):\n+    pass\n"),
            Stage.T2: patch("+def mean(c):\n+    pass\n"),
        }
        for stage in Stage:
            run.rollouts.append(
                Rollout(
                    id=ids[stage],
                    task="task-0",
                    stage=stage,
                    attempt=0,
                    end=End.SUBMITTED,
                    messages=messages(),
                    patch=patches[stage],
                )
            )
        run.verdicts.append(Verdict(rollout=ids[Stage.T1], accepted=True, text="yes"))
        run.pull_requests.append(
            PullRequest(rollout=ids[Stage.T1], text="mean is wrong", demonstration="short")
        )
        agreement = compare(patches[Stage.T1], patches[Stage.T2])
        run.end(
            Pair(
                task="task-0",
                index=0,
                state=State.COMPLETE,
                t1=ids[Stage.T1],
                t2=ids[Stage.T2],
                agreement=agreement,
            )
        )
        failed = Rollout(
            id=run.rollout_id(tasks[1], Stage.T1, 0),
            task="task-1",
            stage=Stage.T1,
            attempt=0,
            end=End.STEP_LIMIT,
            messages=messages(),
        )
        run.rollouts.append(failed)
        run.end(Pair(task="task-1", index=1, state=State.T1_UNFINISHED, reason="step_limit", t1=failed.id))
    return read_run(tmp_path / "real")


def test_every_copy_is_whole_and_its_own(original: Run, tmp_path: Path) -> None:
    multiply_run(original, tmp_path / "large", 200)
    run = read_run(tmp_path / "large")
    assert run.owed() == []
    assert Counter(pair.state for pair in run.pairs) == {State.COMPLETE: 100, State.T1_UNFINISHED: 100}
    patches = set()
    for task, pair in run.task_pairs():
        assert pair is not None
        t1, t2 = run.rollouts.get(pair.t1), run.rollouts.get(pair.t2)
        assert t1 is not None
        assert t1.task == task.id
        name = task.function.name.removeprefix("Stats.")
        assert name.startswith("mean_")
        assert f"Look at {name}." in t1.messages[1].content
        assert json.loads(t1.messages[2].tool_calls[0].arguments) == {"command": f"grep {name} 0"}
        if pair.state is State.COMPLETE:
            request = run.pull_requests.get(t1.id)
            assert t2 is not None
            assert request is not None
            assert request.text == f"{name} is wrong"
            assert pair.agreement == compare(t1.patch, t2.patch)
            assert pair.agreement.recall == pytest.approx(2 / 3)
            patches |= {t1.patch, t2.patch}
    assert len(patches) == 200


def test_lengths_are_as_documented(original: Run, tmp_path: Path) -> None:
    run = multiply_run(original, tmp_path / "large", 3_000)
    added = [(len(rollout.messages) - len(messages())) // 2 for rollout in run.rollouts]
    shares = [sum(low <= n <= high for n in added) / len(added) for low, high in ((0, 2), (3, 10), (70, 110))]
    assert sum(shares) == pytest.approx(1)
    assert shares == [
        pytest.approx(0.80, abs=0.03),
        pytest.approx(0.17, abs=0.03),
        pytest.approx(0.03, abs=0.01),
    ]


def test_calls_and_answers_stay_together(original: Run, tmp_path: Path) -> None:
    for rollout in multiply_run(original, tmp_path / "large", 100).rollouts:
        steps = rollout.messages[2:]
        ids = [call.id for message in steps for call in message.tool_calls]
        assert len(ids) == len(set(ids))
        for asked, answered in zip(steps[::2], steps[1::2], strict=True):
            assert answered.tool_call_id == asked.tool_calls[0].id


def test_it_goes_on_and_is_the_same_every_time(original: Run, tmp_path: Path) -> None:
    multiply_run(original, tmp_path / "a", 40)
    multiply_run(original, tmp_path / "b", 15)
    multiply_run(original, tmp_path / "b", 40)
    for name in ("rollouts.jsonl", "pairs.jsonl", "pull_requests.jsonl", "verdicts.jsonl", "tasks.jsonl"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    with pytest.raises(ConfigError, match="seed was 0 and is now 1"):
        multiply_run(original, tmp_path / "a", 40, seed=1)


def test_nothing_to_multiply(original: Run, tmp_path: Path) -> None:
    with open_run(tmp_path / "empty", original.manifest, PROFILE, original.tasks):
        pass
    with pytest.raises(RunError, match=r"no task of .* has ended"):
        multiply_run(read_run(tmp_path / "empty"), tmp_path / "large", 10)
