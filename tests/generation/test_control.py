"""Orders to a run under way, in process, and to one that nobody works on."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_svg import Meddled, said

from sera.engines.local import Shift
from sera.errors import TeacherError, TeacherRefused
from sera.generation.job import GenerateConfig, plan_job
from sera.records import Pair, Stage, State
from sera.runs import (
    LEDGER,
    Ledger,
    Run,
    SpendingLimits,
    change_run,
    open_ledger,
    open_run,
    read_ledger,
    read_run,
)
from sera.runs.control import Order, OrderBook, Verb, standing
from sera.runs.summary import summarize
from sera.runs.underway import under_way
from sera.sandboxes import make_backend
from sera.settings import load_config
from sera.teachers import ChatRequest, Reply

Script = Callable[["Slow", Shift, Run], Any]
Meddle = Callable[[str], Reply | None]


class Slow(Meddled):
    """Takes a while over every answer, so that orders arrive in the middle of it. Over those to one
    conversation it takes for ever, once it has `stalls` replies. Notes the ends it brought about."""

    def __init__(self, meddle: Meddle | None = None, stalls: int = 0, **config: Any) -> None:
        super().__init__(meddle, **config)
        self.stalls, self.stalled = stalls, ""
        self.ends: list[Pair] = []

    async def _stall(self, request: ChatRequest) -> None:
        if self.stalls and sum(message.role == "assistant" for message in request.messages) >= self.stalls:
            self.stalled = self.stalled or request.messages[1].content
            if request.messages[1].content == self.stalled:
                await asyncio.sleep(60)

    async def complete(self, request: ChatRequest) -> Reply:
        await asyncio.sleep(0.03)
        await self._stall(request)
        return await super().complete(request)


@pytest.fixture
def shift(
    tiny_repo: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Run, str, Slow]]:
    """Works on a run while a script gives orders; the run, why it was halted, the teacher."""
    monkeypatch.setenv("SERA_CACHE", str(cache))

    def work(
        script: Script | None = None,
        functions: int = 4,
        teacher: Slow | None = None,
        early: Verb | None = None,
        **given: Any,
    ) -> tuple[Run, str, Slow]:
        config = load_config(GenerateConfig, given={"functions": functions, "concurrency": 2} | given)
        job = plan_job(str(tiny_repo), tmp_path / "run", config)
        teacher = teacher or Slow(reject_rate=0)

        async def main(run: Run) -> str:
            if early:
                order(run, early)
            with open_ledger(run.path / LEDGER, SpendingLimits(), None) as ledger:
                return await work_on(run, ledger)

        async def work_on(run: Run, ledger: Ledger) -> str:
            async with teacher, make_backend(config.sandbox, job.snapshot.layer) as backend:
                shift = Shift(job, run, teacher, backend, teacher.ends.append, ledger)
                ordering = asyncio.create_task(script(teacher, shift, run)) if script else None
                await shift.work()
                if ordering:
                    await ordering
                return shift.halted

        with open_run(tmp_path / "run", job.manifest, job.profile, job.tasks) as run:
            halted = asyncio.run(asyncio.wait_for(main(run), 60))
        return read_run(tmp_path / "run"), halted, teacher

    return work


def order(run: Run, verb: Verb, **details: Any) -> None:
    book = OrderBook(run.path)
    book.write(Order(verb=verb, **details))


def states(run: Run) -> list[str]:
    return [str(pair.state) if pair else "owed" for _, pair in run.task_pairs()]


def test_stop_finishes_the_steps_under_way_and_a_second_run_the_rest(shift: Any) -> None:
    async def stop(teacher: Slow, _: Shift, run: Run) -> None:
        while teacher.asked["step"] < 9:
            await asyncio.sleep(0.01)
        order(run, Verb.STOP)

    run, halted, first = shift(stop)
    assert halted == "stopped by order"
    assert run.owed()
    answered = sum(
        len(trail.read_text().split('"type":"replied"')) - 1 for trail in (run.path / "steps").iterdir()
    )
    finished = sum(rollout.usage.calls for rollout in run.rollouts)
    assert answered + finished == first.asked["step"], "a reply was lost"
    run, halted, second = shift()
    assert (states(run), halted) == (["complete"] * 4, "")
    whole = sum(rollout.usage.calls for rollout in run.rollouts)
    assert first.asked["step"] + second.asked["step"] == whole, "a reply was asked for twice"
    assert list((run.path / "steps").iterdir()) == []


def test_pause_and_resume(shift: Any) -> None:
    quiet = []

    async def pause(teacher: Slow, _: Shift, run: Run) -> None:
        await asyncio.sleep(0.5)
        order(run, Verb.PAUSE)
        await asyncio.sleep(1.0)
        before = teacher.asked.total()
        await asyncio.sleep(1.0)
        quiet.append(teacher.asked.total() - before)
        order(run, Verb.RESUME)

    started = time.monotonic()
    run, halted, _ = shift(pause, functions=2, **{"agent.wall_clock": 4.0})
    assert quiet == [0]
    assert (states(run), halted) == (["complete"] * 2, "")
    assert read_ledger(run.path / LEDGER).seconds < time.monotonic() - started - 1.5, "pauses were counted"


def test_dropping_one_at_work_and_one_waiting(shift: Any) -> None:
    async def drop(_: Slow, __: Shift, run: Run) -> None:
        await asyncio.sleep(0.4)
        for _ in range(2):
            order(run, Verb.DROP, task=run.tasks[0].id)
        order(run, Verb.DROP, task=run.tasks[3].id)

    run, _, _ = shift(drop)
    assert states(run) == ["dropped", "complete", "complete", "dropped"]
    assert run.owed() == []
    assert list((run.path / "steps").iterdir()) == [], "nobody goes on from the steps of a dropped one"


def test_stop_at_a_share_leaves_stragglers_owed(shift: Any) -> None:
    async def stop(_: Slow, __: Shift, run: Run) -> None:
        order(run, Verb.STOP, share=0.5)

    run, halted, _ = shift(stop)
    assert "50.0% of the tasks have ended" in halted
    assert 1 <= len(run.owed()) <= 2


@pytest.mark.parametrize("share", [0.5, 2 / 3])
def test_stop_at_a_share_that_is_reached_waits_for_no_straggler(shift: Any, share: float) -> None:
    """Given when two of three have ended and the last one hangs."""

    async def stop(teacher: Slow, _: Shift, run: Run) -> None:
        while len(teacher.ends) < 2:
            await asyncio.sleep(0.02)
        assert [(one.steps, one.stage, one.question) for one in under_way(run)] == [(3, Stage.T1, None)]
        order(run, Verb.STOP, share=share)

    run, halted, _ = shift(stop, functions=3, teacher=Slow(stalls=3, reject_rate=0))
    assert "of the tasks have ended" in halted
    assert sorted(states(run)) == ["complete", "complete", "owed"]
    (trail,) = (run.path / "steps").iterdir()
    assert trail.read_text().count('"type":"replied"') == 3


def test_a_pause_after_a_stop_hinders_nothing(shift: Any) -> None:
    async def stop(teacher: Slow, _: Shift, run: Run) -> None:
        while teacher.asked["step"] < 3:
            await asyncio.sleep(0.01)
        order(run, Verb.STOP)
        order(run, Verb.PAUSE)

    assert shift(stop)[1] == "stopped by order"


def test_an_order_given_before_the_first_request_is_obeyed(shift: Any) -> None:
    _, halted, teacher = shift(early=Verb.STOP)
    assert (halted, teacher.asked.total()) == ("stopped by order", 0)


def test_an_outage_of_the_teacher_uses_up_no_task(shift: Any) -> None:
    """Each failure is recorded and tried again, each reply is asked for once, and each task is told of once."""

    def down(_: str) -> None:
        calls["all"] += 1
        if 10 <= calls["all"] < 18:
            raise TeacherError("connection refused")

    calls = Counter[str]()
    run, halted, teacher = shift(teacher=Slow(down, reject_rate=0), again_after=0.02)
    assert (states(run), halted) == (["complete"] * 4, "")
    assert [pair.state for pair in teacher.ends] == [State.COMPLETE] * 4
    assert (run.path / "pairs.jsonl").read_text().count('"failed"') == 8
    assert summarize(run).usage.calls == teacher.asked.total() - 8, "a reply was asked for twice"


@pytest.mark.parametrize(("problem", "asked"), [(TeacherError, 3), (TeacherRefused, 1)])
def test_a_teacher_that_stays_away_is_asked_a_few_times(shift: Any, problem: Any, asked: int) -> None:
    def down(_: str) -> None:
        raise problem("no")

    run, _, teacher = shift(functions=1, teacher=Slow(down), again=2, again_after=0.01)
    assert teacher.asked.total() == asked
    assert [pair.state for pair in teacher.ends] == [State.FAILED]
    assert len(run.owed()) == 1


def test_what_rests_can_be_dropped_or_hurried(shift: Any) -> None:
    """Two tasks fail at once and would rest for an hour."""

    def down(_: str) -> None:
        calls["all"] += 1
        if calls["all"] <= 2:
            raise TeacherError("down")

    async def script(_: Slow, __: Shift, run: Run) -> None:
        while len(run.pairs) < 2:
            await asyncio.sleep(0.02)
        order(run, Verb.DROP, task=run.tasks[0].id)
        order(run, Verb.REQUEUE, task=run.tasks[1].id)

    calls = Counter[str]()
    run, halted, _ = shift(script, functions=2, teacher=Slow(down, reject_rate=0), again_after=3600.0)
    assert (states(run), halted) == (["dropped", "complete"], "")


def test_a_failed_one_that_is_requeued_goes_on_from_its_steps(shift: Any) -> None:
    def fail(what: str) -> None:
        calls[what] += 1
        if what == "text" and calls[what] == 1:
            raise TeacherError("down")

    async def requeue(_: Slow, __: Shift, run: Run) -> None:
        while not (failed := [pair.task for pair in run.pairs if pair.state is State.FAILED]):
            await asyncio.sleep(0.02)
        order(run, Verb.REQUEUE, task=failed[0])

    calls = Counter[str]()
    run, _, teacher = shift(requeue, teacher=Slow(fail, reject_rate=0), again=0)
    assert states(run) == ["complete"] * 4
    assert "requeued" not in (run.path / "pairs.jsonl").read_text()
    assert (len(run.rollouts), teacher.asked["check"]) == (8, 4)


def test_requeue_under_way(shift: Any) -> None:
    async def requeue(_: Slow, __: Shift, run: Run) -> None:
        while run.tasks[0].id not in run.pairs:
            await asyncio.sleep(0.02)
        order(run, Verb.REQUEUE, task=run.tasks[0].id)

    run, _, _ = shift(requeue)
    assert states(run) == ["complete"] * 4
    assert len(run.rollouts) == 2 * 5, "the first task was done twice"


def test_changes_to_a_run_that_nobody_works_on(shift: Any) -> None:
    run, _, _ = shift(functions=2)
    first = next(iter(run.pairs))
    assert change_run(run.path, Verb.REQUEUE, [first.task]) == 1
    assert change_run(run.path, Verb.REQUEUE, [first.task]) == 0
    assert [task.id for task in read_run(run.path).owed()] == [first.task]
    again, _, _ = shift(functions=2)
    assert states(again) == ["complete"] * 2
    renewed = again.pairs.get(first.task)
    assert renewed
    assert {renewed.t1, renewed.t2}.isdisjoint({first.t1, first.t2})
    assert change_run(run.path, Verb.DROP, [first.task]) == 0
    change_run(run.path, Verb.REQUEUE, [first.task])
    assert change_run(run.path, Verb.DROP, [first.task]) == 1
    assert states(read_run(run.path)).count(State.DROPPED) == 1


def test_what_a_process_was_told_ends_with_it(tmp_path: Path) -> None:
    book = OrderBook(tmp_path)
    assert standing(tmp_path) == ""
    book.write(Order(verb=Verb.STOP))
    book.begin()
    assert standing(tmp_path) == ""
    book.write(Order(verb=Verb.PAUSE))
    book.write(Order(verb=Verb.STOP, share=0.9))
    assert standing(tmp_path) == "paused, to stop when 90.0% have ended"
    book.write(Order(verb=Verb.RESUME))
    assert standing(tmp_path) == "to stop when 90.0% have ended"
    book.write(Order(verb=Verb.STOP))
    book.write(Order(verb=Verb.PAUSE))
    assert standing(tmp_path) == "stopping"


def test_torn_and_foreign_orders_are_passed_over(tmp_path: Path) -> None:
    book = OrderBook(tmp_path)
    assert book.read() == []
    book.write(Order(verb=Verb.PAUSE))
    with (tmp_path / "control.jsonl").open("ab") as file:
        file.write(b'{"verb": "dance"}\n{"verb": "st')
    assert [order.verb for order in book.read()] == [Verb.PAUSE]
    with (tmp_path / "control.jsonl").open("ab") as file:
        file.write(b'op"}\n')
    assert [order.verb for order in book.read()] == [Verb.STOP]
    assert OrderBook(tmp_path).read() == []


def test_a_run_that_yields_nothing_stops_and_says_why(shift: Any) -> None:
    def babble(what: str) -> Reply | None:
        return said("Hm.") if what == "step" else None

    _, halted, teacher = shift(functions=24, teacher=Slow(babble, reject_rate=0))
    assert "0 of 20 tasks gave a pair, fewer than stop_below=0.02 allows" in halted
    assert "20 t1_unfinished: malformed" in halted
    assert "--stop-below 0" in halted
    assert 20 <= len(teacher.ends) <= 22, "no other is begun"
    again, halted, teacher = shift(functions=24, teacher=Slow(babble, reject_rate=0))
    assert not halted, "only what was ended since the command was given counts"
    assert not again.owed()


def test_a_run_may_yield_nothing_if_it_is_told_so(shift: Any) -> None:
    def babble(what: str) -> Reply | None:
        return said("Hm.") if what == "step" else None

    run, halted, _ = shift(functions=21, teacher=Slow(babble, reject_rate=0), stop_below=0.0)
    assert not halted
    assert not run.owed()
