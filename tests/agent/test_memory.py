"""A rollout that dies at any step goes on there, in a fresh sandbox, without asking twice."""

import asyncio
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from test_loop import SUBMIT, roll_out

from sera.agent import Agent, AgentConfig
from sera.agent.recorded import Assignment, Rollouts, seed_of
from sera.errors import ReplayDiverged
from sera.harness import load_profile
from sera.records import Answered, End, Message, Replied, Rollout, Stage, Usage
from sera.repositories import Snapshot
from sera.runs import Trail
from sera.runs.journal import Journal, writable
from sera.runs.rollouts import RolloutJournal, trail_of, usage_under_way
from sera.sandboxes import NamespacesConfig, Sandbox, make_backend
from sera.teachers.contract import ChatRequest, Reply
from sera.teachers.scripted import ScriptedTeacher, call, say

SCRIPT = [
    call("bash", command="cd tiny; name=kept; mkdir made; ln -s made link; chmod 600 text.py"),
    call("str_replace_editor", command="create", path="/testbed/tiny/made/new.py", file_text="a = 1\n"),
    say("thinking aloud"),
    call("bash", command="rm numbers.py; echo $name > made/name.txt; pwd; cat /proc/uptime"),
    call(
        "str_replace_editor",
        command="str_replace",
        path="/testbed/tiny/text.py",
        old_str='"…"',
        new_str='"..."',
    ),
    call(
        "bash",
        command="rm -r made; mkdir made; echo last > made/last.txt; touch made/empty; git commit -qam x",
    ),
    call("str_replace_editor", command="undo_edit", path="/testbed/tiny/text.py"),
    *SUBMIT,
]


class Dies(Exception):
    """Stands for the death of the process."""


class Mortal(ScriptedTeacher):
    """Dies when it is asked for the n-th time; counts what it has answered. Each answer costs something else."""

    def __init__(self, script: Any, lives: int) -> None:
        super().__init__(script)
        self.lives = lives
        self.answered = 0

    async def complete(self, request: ChatRequest) -> Reply:
        if self.answered == self.lives:
            raise Dies
        self.answered += 1
        reply = await super().complete(request)
        return msgspec.structs.replace(reply, usage=Usage(calls=1, prompt=10 ** len(request.messages)))


@pytest.mark.parametrize("lives", range(len(SCRIPT)))
def test_going_on_after_any_step(in_sandbox: Any, tmp_path: Path, lives: int) -> None:
    whole = roll_out(in_sandbox, Mortal(SCRIPT, 99))
    first, second = Mortal(SCRIPT, lives), Mortal(SCRIPT, 99)
    path = tmp_path / "steps" / "r.jsonl"
    with Trail(path) as trail, pytest.raises(Dies):
        roll_out(in_sandbox, first, trail)
    with Trail(path) as trail:
        outcome = roll_out(in_sandbox, second, trail)
    assert path.read_bytes().count(b"\n") == 2 * len(SCRIPT), "each half of a step is remembered once"
    assert (outcome.end, outcome.patch) == (End.SUBMITTED, whole.patch)
    assert first.answered + second.answered == len(SCRIPT)
    assert len(outcome.messages) == len(whole.messages)
    assert outcome.usage == whole.usage


def test_dying_between_reply_and_tool(in_sandbox: Any, tmp_path: Path) -> None:
    """The reply is there, what followed is not: the tool runs, the teacher is not asked again."""
    path = tmp_path / "steps" / "r.jsonl"
    with Trail(path) as trail:
        whole = roll_out(in_sandbox, ScriptedTeacher(SCRIPT), trail)
    lines = path.read_bytes().splitlines(keepends=True)
    for kept in (1, 3, 7, 9):
        path.write_bytes(b"".join(lines[:kept]) + lines[kept][: len(lines[kept]) // 2])
        teacher = Mortal(SCRIPT, 99)
        with Trail(path) as trail:
            outcome = roll_out(in_sandbox, teacher, trail)
        assert outcome.patch == whole.patch
        assert teacher.answered == len(SCRIPT) - (kept + 1) // 2


def test_damage_costs_no_reply_that_is_whole(in_sandbox: Any, tmp_path: Path) -> None:
    """Of a damaged line of what followed, nothing is asked again; of a damaged reply, it and those after it."""
    path = tmp_path / "steps" / "r.jsonl"
    with Trail(path) as trail:
        whole = roll_out(in_sandbox, Mortal(SCRIPT, 99), trail)
    trodden = path.read_bytes()
    lines = trodden.splitlines(keepends=True)
    for number in (0, 1, 4, 5, len(lines) - 1):
        broken = bytearray(lines[number])
        broken[len(broken) // 2] ^= 4
        for damaged in ([bytes(broken)], [], [lines[number], lines[number]], [lines[number][:-1]]):
            path.write_bytes(b"".join([*lines[:number], *damaged, *lines[number + 1 :]]))
            teacher = Mortal(SCRIPT, 99)
            with Trail(path) as trail:
                outcome = roll_out(in_sandbox, teacher, trail)
            assert (outcome.patch, outcome.usage) == (whole.patch, whole.usage)
            assert len(outcome.messages) == len(whole.messages)
            lost = damaged in ([bytes(broken)], []) and number % 2 == 0
            assert teacher.answered == (len(SCRIPT) - number // 2 if lost else 0)
            assert len(path.read_bytes().splitlines()) == len(lines)


def test_replies_to_another_request_do_not_count(tmp_path: Path) -> None:
    def reply(number: int) -> Replied:
        return Replied(number=number, message=Message(role="assistant"), finish_reason="stop", usage=Usage())

    path = tmp_path / "steps" / "r.jsonl"
    with Trail(path) as trail:
        trail.begin("one")
        asyncio.run(trail.remember(reply(0)))
    for asked, known in (("one", True), ("other", False), ("one", False)):
        with Trail(path) as trail:
            trail.begin(asked)
            assert bool(trail.reply(0)) is known


def test_finished_but_unrecorded_rollout_asks_nothing(in_sandbox: Any, tmp_path: Path) -> None:
    path = tmp_path / "steps" / "r.jsonl"
    with Trail(path) as trail:
        whole = roll_out(in_sandbox, ScriptedTeacher(SCRIPT), trail)
    with Trail(path) as trail:
        again = roll_out(in_sandbox, Mortal(SCRIPT, 0), trail)
    assert again == whole


@pytest.mark.parametrize("after", [1, 2])
def test_tree_that_cannot_be_rebuilt_is_noticed(in_sandbox: Any, tmp_path: Path, after: int) -> None:
    script = [
        call("bash", command="cat /proc/sys/kernel/random/uuid > id.txt"),
        call("bash", command="ls"),
        *SUBMIT,
    ]
    with Trail(tmp_path / "steps" / "r.jsonl") as trail, pytest.raises(Dies):
        roll_out(in_sandbox, Mortal(script, after), trail)
    with Trail(tmp_path / "steps" / "r.jsonl") as trail:
        with pytest.raises(ReplayDiverged):
            roll_out(in_sandbox, Mortal(script, 99), trail)
        trail.forget()
        assert roll_out(in_sandbox, Mortal(script, 99), trail).end is End.SUBMITTED


def test_what_a_test_suite_leaves_each_time_does_not_cost_the_rollout(
    in_sandbox: Any, tmp_path: Path
) -> None:
    """A report with a time or a random number in it is another one each time that it is rebuilt."""
    random = "cat /proc/sys/kernel/random/uuid"
    script = [
        call(
            "bash", command=f"{random} > coverage.xml; mkdir .hypothesis; {random} > .hypothesis/$({random})"
        ),
        call("bash", command="echo more >> README.md"),
        *SUBMIT,
    ]
    first, second = Mortal(script, 2), Mortal(script, 99)
    with Trail(tmp_path / "steps" / "r.jsonl") as trail, pytest.raises(Dies):
        roll_out(in_sandbox, first, trail)
    with Trail(tmp_path / "steps" / "r.jsonl") as trail:
        assert roll_out(in_sandbox, second, trail).left_out == 2
    assert first.answered + second.answered == len(script)


class Recalled:
    """A memory that holds what another sera remembered: digests of trees in the form of before."""

    def __init__(self, halves: list[Replied | Answered], digests: list[str]) -> None:
        self.replies = {half.number: half for half in halves if isinstance(half, Replied)}
        answers = [half for half in halves if isinstance(half, Answered)]
        self.answers = {
            half.number: msgspec.structs.replace(half, tree=digest)
            for half, digest in zip(answers, digests, strict=False)
        }

    def reply(self, number: int) -> Replied | None:
        return self.replies.get(number)

    def answer(self, number: int) -> Answered | None:
        return self.answers.get(number)

    async def remember(self, half: Replied | Answered) -> None:
        (self.replies if isinstance(half, Replied) else self.answers)[half.number] = half  # type: ignore[index]


@pytest.mark.parametrize("fits", [True, False])
def test_a_rollout_of_before_products_were_known_goes_on(in_sandbox: Any, fits: bool) -> None:
    made = "echo report | tee coverage.xml > text.txt; chmod 644 coverage.xml text.txt"
    script = [call("bash", command=made), *SUBMIT]

    async def digest_of_before(box: Sandbox) -> str:
        await box.run(made + ("" if fits else "; echo more >> coverage.xml"), 5)
        return await box.state(like="0" * 16)

    whole = Recalled([], [])
    roll_out(in_sandbox, ScriptedTeacher(script), whole)
    halves: list[Replied | Answered] = [whole.replies[0], whole.answers[0]]
    memory, teacher = Recalled(halves, [in_sandbox(digest_of_before)]), Mortal(script, 99)
    if fits:
        assert roll_out(in_sandbox, teacher, memory).end is End.SUBMITTED
        assert teacher.answered == 2
    else:
        with pytest.raises(ReplayDiverged):
            roll_out(in_sandbox, teacher, memory)


def test_a_finished_rollout_is_not_handed_in_with_another_tree(in_sandbox: Any, tmp_path: Path) -> None:
    script = [call("bash", command="cat /proc/sys/kernel/random/uuid > id.txt"), *SUBMIT]
    with Trail(tmp_path / "steps" / "r.jsonl") as trail:
        roll_out(in_sandbox, ScriptedTeacher(script), trail)
    with Trail(tmp_path / "steps" / "r.jsonl") as trail, pytest.raises(ReplayDiverged):
        roll_out(in_sandbox, Mortal(script, 0), trail)


def test_discarded_trail_leaves_nothing(tmp_path: Path) -> None:
    with Trail(tmp_path / "steps" / "r.jsonl") as trail:
        trail.discard()
    assert list((tmp_path / "steps").iterdir()) == []


class Watched(Journal[Rollout]):
    """Notes what steps there are when it is asked to see that the disk has it."""

    steps: list[str] | None = None

    async def on_disk(self) -> None:
        await super().on_disk()
        self.steps = [file.name for file in (self.path.parent / "steps").iterdir()]


def have(snapshot: Snapshot, folder: Path, journal: Journal[Rollout], teacher: Any) -> Rollout:
    """The rollout `r` of a folder, made by a process of its own."""
    agent = Agent(teacher=teacher, profile=load_profile(), config=AgentConfig())
    wanted = Assignment(
        id="r", task="t", stage=Stage.T1, attempt=2, request="Please.", category="naming", seed=7
    )

    async def work() -> Rollout:
        async with make_backend(NamespacesConfig(), snapshot.layer) as backend:
            rollouts = Rollouts(agent, journal, lambda rollout: trail_of(folder, rollout))
            return await rollouts.have(wanted, backend)

    with writable(journal):
        return asyncio.run(work())


def test_steps_are_there_until_the_rollout_is_on_the_disk(tiny_snapshot: Snapshot, tmp_path: Path) -> None:
    made = RolloutJournal(tmp_path)
    journal = Watched(made.path, Rollout, Rollout, lambda rollout: rollout.id)
    rollout = have(tiny_snapshot, tmp_path, journal, ScriptedTeacher(SUBMIT))
    assert (rollout.id, rollout.task, rollout.stage, rollout.attempt) == ("r", "t", Stage.T1, 2)
    assert (rollout.end, rollout.category, rollout.seed) == (End.SUBMITTED, "naming", 7)
    assert (rollout.teacher, rollout.profile) == ({"kind": "scripted"}, load_profile().hash)
    assert 0 < rollout.seconds < 60
    assert journal.steps == ["r.jsonl"]
    assert list((tmp_path / "steps").iterdir()) == []


def test_a_rollout_whose_tree_cannot_be_rebuilt_is_begun_anew_once(
    tiny_snapshot: Snapshot, tmp_path: Path
) -> None:
    """And goes on from its new steps: those of before are gone."""
    script = [call("bash", command="cat /proc/sys/kernel/random/uuid > id.txt"), *SUBMIT]
    with pytest.raises(Dies):
        have(tiny_snapshot, tmp_path, RolloutJournal(tmp_path), Mortal(script, 1))
    with pytest.raises(Dies):
        have(tiny_snapshot, tmp_path, RolloutJournal(tmp_path), Mortal(script, 0))
    assert usage_under_way(tmp_path) == Usage()
    rollout = have(tiny_snapshot, tmp_path, RolloutJournal(tmp_path), ScriptedTeacher(script))
    assert (rollout.end, rollout.usage.calls) == (End.SUBMITTED, 3)
    # In one process, from the first step to the last.
    (tmp_path / "rollouts.jsonl").unlink()
    with pytest.raises(Dies):
        have(tiny_snapshot, tmp_path, RolloutJournal(tmp_path), Mortal(script, 1))
    teacher = Mortal(script, 99)
    rollout = have(tiny_snapshot, tmp_path, RolloutJournal(tmp_path), teacher)
    assert (rollout.end, rollout.restarts, rollout.usage.calls) == (End.SUBMITTED, 1, 3)
    assert teacher.answered == 3
    assert have(tiny_snapshot, tmp_path, RolloutJournal(tmp_path), Mortal(script, 0)) == rollout


def test_seeds_differ_and_fit_every_server() -> None:
    """The narrowest field is a signed one of 32 bits."""
    seeds = {seed_of(n, rollout) for n in range(20) for rollout in ("a", "b", "c")}
    assert len(seeds) == 60
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_a_reply_is_on_the_disk_before_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What followed it can be had again for nothing, and is not waited for."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    said = Message(role="assistant")
    with Trail(tmp_path / "steps" / "r.jsonl") as trail:
        asyncio.run(trail.remember(Replied(number=0, message=said, finish_reason="stop", usage=Usage())))
        assert len(synced) == 1
        asyncio.run(trail.remember(Answered(number=0, messages=(), tree="")))
    assert len(synced) == 1
