"""The flow of one task through every state it can end in, and what a resumed run does again."""

import asyncio
import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sera.cli import cli
from sera.engines.local import Shift
from sera.errors import ConfigError, ContextOverflow, TeacherError, TeacherUnusable
from sera.generation.demonstrations import load_demonstrations
from sera.generation.job import GenerateConfig, Job, plan_job
from sera.records import End, Message, Pair, Severity, Stage, State, ToolCall
from sera.runs import Run, open_run, read_run
from sera.runs.summary import summarize
from sera.runs.underway import under_way
from sera.sandboxes import make_backend
from sera.settings import load_config
from sera.teachers import ChatRequest, RehearsalConfig, RehearsalTeacher, Reply
from sera.teachers.scripted import call


class Meddled(RehearsalTeacher):
    """A rehearsal teacher; `meddle` may raise, or replace an answer. Counts what it is asked."""

    def __init__(self, meddle: Callable[[str], Reply | None] | None = None, **config: Any) -> None:
        super().__init__(RehearsalConfig(**config))
        self.meddle = meddle
        self.asked: Counter[str] = Counter()

    async def complete(self, request: ChatRequest) -> Reply:
        last = request.messages[-1].content
        what = (
            "check"
            if "Answer with one block, the single word" in last
            else "text"
            if "<example>" in last
            else "step"
        )
        self.asked[what] += 1
        replaced = self.meddle(what) if self.meddle else None
        return replaced or await super().complete(request)


@pytest.fixture
def work(tiny_repo: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Runs (or resumes) a run of a few tasks with a given teacher."""
    monkeypatch.setenv("SERA_CACHE", str(cache))

    def run(teacher: Any, functions: int = 2, **given: Any) -> Run:
        plan = {"functions": functions, "concurrency": 4, "again": 0}
        config = load_config(GenerateConfig, given=plan | given)
        job = plan_job(str(tiny_repo), tmp_path / "run", config)
        with open_run(tmp_path / "run", job.manifest, job.profile, job.tasks) as opened:
            asyncio.run(asyncio.wait_for(engage(job, opened, teacher), 90))
        return read_run(tmp_path / "run")

    return run


async def engage(job: Job, run: Run, teacher: Any) -> None:
    async with teacher, make_backend(job.config.sandbox, job.snapshot.layer) as backend:
        await Shift(job, run, teacher, backend, lambda _: None).work()


def said(text: str) -> Reply:
    return Reply(message=Message(role="assistant", content=text))


def states(run: Run) -> list[State]:
    return [pair.state for pair in run.pairs]


def test_complete_pair_and_its_records(work: Callable[..., Run]) -> None:
    teacher = Meddled(reject_rate=0)
    run = work(teacher)
    assert states(run) == [State.COMPLETE] * 2
    for pair in run.pairs:
        t1, t2, request = run.rollouts.get(pair.t1), run.rollouts.get(pair.t2), run.pull_requests.get(pair.t1)
        assert t1
        assert t2
        assert request
        assert (t1.stage, t2.stage) == (Stage.T1, Stage.T2)
        assert request.text in t2.messages[1].content
        assert t1.messages[1].content not in t2.messages[1].content
        assert t1.category
        assert not t2.category
        assert {t1.id, t2.id} <= {identity for _, _, identity in run.rollout_ids(run.tasks[pair.index])}
        assert t1.seed != t2.seed
        assert run.verdicts.get(pair.t1)
    assert teacher.asked["check"] == teacher.asked["text"] == 2


class TwoEdits(Meddled):
    """Edits one file in the first rollout and another in the second, and runs the same suite in both."""

    def __init__(self, suite: str) -> None:
        super().__init__(reject_rate=0)
        self.suite = suite
        self.prompts: list[str] = []

    async def complete(self, request: ChatRequest) -> Reply:
        steps, answer = self.asked["step"], await super().complete(request)
        if self.asked["step"] == steps:
            return answer
        turn = sum(message.role == "assistant" for message in request.messages)
        if (prompt := request.messages[1].content) not in self.prompts:
            self.prompts.append(prompt)
        file = ("README.md", "tiny/text.py")[self.prompts.index(prompt)]
        edit = {"command": "insert", "path": f"/testbed/{file}", "insert_line": 0, "new_str": f"# {file}"}
        script = [call("str_replace_editor", **edit), call("bash", command=self.suite)]
        message = script[turn] if turn < len(script) else call("submit")
        return Reply(message=message, finish_reason="tool_calls")


SUITE = """for n in $(seq 40); do echo "<line number='$n' hits='1'/>"; done > coverage.xml
mkdir -p htmlcov .hypothesis/unicode tiny.egg-info; seq 50 | tee htmlcov/index.html .hypothesis/unicode/data > .coverage
seq 20 > tiny.egg-info/SOURCES.txt"""


def test_what_a_suite_leaves_behind_is_no_agreement(work: Callable[..., Run]) -> None:
    run = work(TwoEdits(SUITE), functions=1)
    [pair] = run.pairs
    assert pair.agreement
    assert (pair.state, pair.agreement.recall, pair.agreement.lines_a) == (State.COMPLETE, 0, 1)
    assert [rollout.left_out for rollout in run.rollouts] == [5, 5]
    assert {rollout.products for rollout in run.rollouts} == {
        (".coverage", ".hypothesis/", "coverage.xml", "htmlcov/", "tiny.egg-info/")
    }
    assert summarize(run).left_out == 10
    shown, status = (
        " ".join(CliRunner().invoke(cli, [*words]).output.split())
        for words in (("show", str(run.path), "0"), ("status", str(run.path)))
    )
    assert shown.count("5 files (.coverage, .hypothesis/, coverage.xml, htmlcov/, tiny.egg-info/)") == 2
    assert "10 files that tools made left out of the patches" in status


def test_a_run_goes_on_only_with_the_products_it_began_with(work: Callable[..., Run]) -> None:
    work(Meddled(reject_rate=0), functions=1)
    with pytest.raises(ConfigError, match=r"products was None and is now \['\*\.log'\]"):
        work(Meddled(), functions=1, **{"sandbox.products": ["*.log"]})


def test_finished_run_asks_nothing_more(work: Callable[..., Run]) -> None:
    work(Meddled(reject_rate=0))
    again = Meddled()
    work(again)
    assert again.asked.total() == 0


def test_refused_self_checks_lead_to_other_concerns(work: Callable[..., Run]) -> None:
    run = work(Meddled(reject_rate=1), functions=1)
    assert states(run) == [State.REJECTED]
    assert [pair.reason for pair in run.pairs] == ["the self-check refused 3 attempts"]
    attempts = list(run.rollouts)
    assert [rollout.attempt for rollout in attempts] == [0, 1, 2]
    assert len({rollout.category for rollout in attempts}) == 3
    assert [verdict.accepted for verdict in run.verdicts] == [False] * 3


def test_unreadable_answers(work: Callable[..., Run]) -> None:
    unreadable = Meddled(lambda what: said("Fine by me.") if what == "text" else None, reject_rate=0)
    run = work(unreadable, functions=1)
    assert states(run) == [State.UNREADABLE]
    assert ["no pull request" in pair.reason for pair in run.pairs] == [True]
    assert unreadable.asked["text"] == 2


def test_a_question_put_again_is_the_same_with_another_seed(work: Callable[..., Run]) -> None:
    """With the seed it had, a server gives the answer it gave; also if the second asking breaks and is resumed."""

    class Listening(Meddled):
        async def complete(self, request: ChatRequest) -> Reply:
            if "<example>" in request.messages[-1].content:
                heard.append(request)
            return await super().complete(request)

    def answer(what: str) -> Reply | None:
        if what == "text" and len(heard) == 2:
            raise TeacherError("down")
        return said("Fine by me.") if what == "text" else None

    heard: list[ChatRequest] = []
    failed = work(Listening(answer, reject_rate=0), functions=1)
    assert states(failed) == [State.FAILED]
    assert [(one.question, one.steps) for one in under_way(failed)] == [("pull_request", 1)]
    assert states(work(Listening(answer, reject_rate=0), functions=1)) == [State.UNREADABLE]
    first, broken, resumed = heard
    assert first.messages == broken.messages
    assert first.seed != broken.seed
    assert broken == resumed
    styles = {style.name: style.text for style in load_demonstrations(None)}
    assert first.messages[-1].role == "user"
    assert styles[failed.tasks[0].demonstration] in first.messages[-1].content


def test_self_check_without_a_readable_yes_counts_as_no(work: Callable[..., Run]) -> None:
    run = work(Meddled(lambda what: said("Looks good!") if what == "check" else None), functions=1)
    assert states(run) == [State.REJECTED]


def test_an_unreadable_answer_is_not_paid_for_twice(work: Callable[..., Run]) -> None:
    """The second asking breaks; whoever goes on has the first answer still."""

    def fail(what: str) -> Reply | None:
        calls[what] += 1
        if what == "check" and calls[what] == 2:
            raise TeacherError("down")
        return said("Hard to say.") if what == "check" else None

    calls = Counter[str]()
    failed = work(Meddled(fail), functions=1)
    assert states(failed) == [State.FAILED]
    assert [(one.question, one.steps) for one in under_way(failed)] == [("self_check", 1)]
    again = Meddled(reject_rate=0)
    run = work(again, functions=1)
    assert states(run) == [State.COMPLETE]
    assert again.asked["check"] == 1
    assert list((run.path / "steps").iterdir()) == []


def test_question_that_no_longer_fits(work: Callable[..., Run]) -> None:
    def overflow(what: str) -> None:
        if what == "text":
            raise ContextOverflow("no room")

    run = work(Meddled(overflow, reject_rate=0), functions=1)
    assert states(run) == [State.UNREADABLE]


def test_failure_is_recorded_and_only_its_step_is_done_again(work: Callable[..., Run]) -> None:
    def fail(what: str) -> None:
        if what == "text":
            raise TeacherError("down")

    failed = work(Meddled(fail, reject_rate=0))
    assert states(failed) == [State.FAILED] * 2
    assert len(failed.owed()) == 2
    assert "TeacherError: down" in next(iter(failed.pairs)).reason
    again = Meddled(reject_rate=0)
    run = work(again)
    assert states(run) == [State.COMPLETE] * 2
    assert again.asked["check"] == 0, "the self-check had been recorded"
    assert Counter(rollout.stage for rollout in run.rollouts) == {Stage.T1: 2, Stage.T2: 2}


def test_what_is_recorded_whole_has_no_steps_left_and_is_not_asked_for_again(
    work: Callable[..., Run],
) -> None:
    """T2 breaks at its second step, when T1 and both questions are done."""

    def fail(what: str) -> None:
        calls[what] += what == "step" and bool(calls["text"])
        calls["text"] += what == "text"
        if calls["step"] == 2:
            raise TeacherError("down")

    calls = Counter[str]()
    first, again = Meddled(fail, reject_rate=0), Meddled(reject_rate=0)
    failed = work(first, functions=1)
    (task,) = failed.tasks
    assert states(failed) == [State.FAILED]
    assert [file.stem for file in (failed.path / "steps").iterdir()] == [failed.rollout_id(task, Stage.T2, 0)]
    run = work(again, functions=1)
    assert states(run) == [State.COMPLETE]
    assert set(again.asked) == {"step"}
    assert summarize(run).usage.calls == first.asked.total() - 1 + again.asked.total()


def test_steps_are_there_until_what_came_of_them_is_on_the_disk(
    work: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    def sync(file: int, real: Callable[[int], None] = os.fsync) -> None:
        path = Path(f"/proc/self/fd/{file}").readlink()
        if path.suffix == ".jsonl" and path.parent.name == "run":
            left[path.stem].update(step.stem for step in (path.parent / "steps").iterdir())
        real(file)

    left = defaultdict[str, set[str]](set)
    monkeypatch.setattr(os, "fsync", sync)
    run = work(Meddled(reject_rate=0), functions=1)
    (pair,) = run.pairs
    assert left["rollouts"] >= {pair.t1, pair.t2}
    assert f"{pair.t1}-self_check" in left["verdicts"]
    assert f"{pair.t1}-pull_request" in left["pull_requests"]
    assert list((run.path / "steps").iterdir()) == []


def test_broken_rollout_is_kept_and_done_again(work: Callable[..., Run]) -> None:
    calls = Counter[str]()

    def fail(what: str) -> None:
        calls[what] += 1
        if calls["step"] == 5:
            raise TeacherError("down")

    first, second = Meddled(fail), Meddled(reject_rate=0)
    failed = work(first, functions=1)
    assert states(failed) == [State.FAILED]
    assert len(failed.rollouts) == 0
    assert "failed" in failed.rollouts.path.read_text()
    run = work(second, functions=1)
    assert states(run) == [State.COMPLETE]
    whole = summarize(run)
    assert whole.usage.calls == first.asked.total() - 1 + second.asked.total(), "a reply was counted twice"
    assert whole.rollouts == 2


def test_unfinished_rollouts_are_definite_ends(work: Callable[..., Run]) -> None:
    run = work(Meddled(), **{"agent.step_limit": 3})
    assert [(pair.state, pair.reason) for pair in run.pairs] == [(State.T1_UNFINISHED, End.STEP_LIMIT)] * 2
    assert run.owed() == []


def test_a_first_rollout_that_changes_nothing_is_a_definite_end(work: Callable[..., Run]) -> None:
    call = ToolCall(id="1", name="submit", arguments="{}")
    idle = Meddled(lambda _: Reply(message=Message(role="assistant", tool_calls=(call,))))
    run = work(idle, functions=1)
    assert [(pair.state, pair.reason) for pair in run.pairs] == [(State.T1_EMPTY, "nothing was changed")]
    assert run.owed() == []
    assert set(idle.asked) == {"step"}, "an empty patch is put to no self-check"


def test_a_second_rollout_that_does_not_submit_is_a_definite_end(work: Callable[..., Run]) -> None:
    def babble(what: str) -> Reply | None:
        asked.add(what)
        return said("Hm.") if what == "step" and "text" in asked else None

    asked: set[str] = set()
    run = work(Meddled(babble, reject_rate=0), functions=1)
    (pair,) = run.pairs
    assert (pair.state, pair.reason, pair.agreement) == (State.T2_UNFINISHED, End.MALFORMED, None)
    assert [rollout.id for rollout in run.rollouts] == [pair.t1, pair.t2]
    assert run.owed() == []


def test_unusable_teacher_ends_the_run_at_once(work: Callable[..., Run]) -> None:
    def refuse(what: str) -> None:
        raise TeacherUnusable("401")

    with pytest.raises(TeacherUnusable):
        work(Meddled(refuse), functions=8)


def test_stalled_rollout_delays_nothing_else(work: Callable[..., Run]) -> None:
    """One conversation never gets an answer; the others finish long before its wall clock ends."""

    class Stalling(Meddled):
        stalled: str = ""

        async def complete(self, request: ChatRequest) -> Reply:
            self.stalled = self.stalled or request.messages[1].content
            if request.messages[1].content == self.stalled:
                await asyncio.sleep(60)
            return await super().complete(request)

    started = time.time()
    run = work(Stalling(reject_rate=0), functions=5, **{"agent.wall_clock": 8.0})
    ends = {pair.index: pair for pair in run.pairs}
    [stalled] = [pair for pair in ends.values() if pair.state is not State.COMPLETE]
    assert (stalled.state, stalled.reason) == (State.T1_UNFINISHED, End.WALL_CLOCK)
    others = [pair.finished - started for pair in ends.values() if pair is not stalled]
    assert max(others) < stalled.finished - started


def test_more_functions_than_there_are(work: Callable[..., Run]) -> None:
    run = work(Meddled(lambda _: said("hm")), functions=20, **{"agent.malformed_limit": 1})
    assert len(run.tasks) == 20
    pairs: list[Pair] = list(run.pairs)
    assert {pair.reason for pair in pairs} == {End.MALFORMED}
    assert len({(task.function.id, task.categories[0]) for task in run.tasks}) == 20


def test_secrets_and_findings_are_recorded(work: Callable[..., Run]) -> None:
    """The audit and the count of redactions reach the record; how often a teacher cheats is its own affair."""

    def cheat(what: str) -> Reply | None:
        calls[what] += 1
        if calls["step"] == 1 and what == "step":
            command = "cat /usr/lib/python3/dist-packages/tiny/text.py; echo ghp_" + "a1B2" * 9
            call = ToolCall(id="1", name="bash", arguments=json.dumps({"command": command}))
            return Reply(message=Message(role="assistant", tool_calls=(call,)))
        return None

    calls = Counter[str]()
    rollouts = list(work(Meddled(cheat, reject_rate=0), functions=1).rollouts)
    assert [(f.kind, f.severity) for f in rollouts[0].findings] == [("installed-copy", Severity.ATTEMPT)]
    assert rollouts[0].redactions == {"github-token": 2}
    assert rollouts[1].redactions == {}


def test_errors_in_pairs_hold_no_secret(work: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_TOKEN", "q7-Hidden/value+91")

    def fail(what: str) -> None:
        if what == "check":
            raise TeacherError("refused q7-Hidden/value+91")

    (pair,) = work(Meddled(fail), functions=1).pairs
    assert pair.reason == "TeacherError: refused [redacted secret]"
