"""Orders to a run under way, in process, and to one that nobody works on."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_svg import Meddled

from sera.engines.local import Shift
from sera.generation.job import GenerateConfig, plan_job
from sera.records import State
from sera.runs import Run, change_run, open_run, read_run
from sera.runs.control import Order, OrderBook, Verb
from sera.sandboxes import make_backend
from sera.settings import load_config
from sera.teachers import ChatRequest, Reply

Script = Callable[["Slow", Shift, Run], Any]


class Slow(Meddled):
    """Takes a while over every answer, so that orders arrive in the middle of it."""

    async def complete(self, request: ChatRequest) -> Reply:
        await asyncio.sleep(0.03)
        return await super().complete(request)


@pytest.fixture
def shift(
    tiny_repo: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Run, str, Slow]]:
    """Works on a run while a script gives orders; the run, why it was halted, the teacher."""
    monkeypatch.setenv("SERA_CACHE", str(cache))

    def work(script: Script | None = None, functions: int = 4, **given: Any) -> tuple[Run, str, Slow]:
        config = load_config(GenerateConfig, given={"functions": functions, "concurrency": 2} | given)
        job = plan_job(str(tiny_repo), tmp_path / "run", config)
        teacher = Slow(reject_rate=0)

        async def main(run: Run) -> str:
            async with teacher, make_backend(config.sandbox, job.snapshot.layer) as backend:
                shift = Shift(job, run, teacher, backend, lambda _: None)
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

    run, halted, _ = shift(pause, functions=2, **{"agent.wall_clock": 4.0})
    assert quiet == [0]
    assert (states(run), halted) == (["complete"] * 2, "")


def test_dropping_one_at_work_and_one_waiting(shift: Any) -> None:
    async def drop(_: Slow, __: Shift, run: Run) -> None:
        await asyncio.sleep(0.4)
        order(run, Verb.DROP, task=run.tasks[0].id)
        order(run, Verb.DROP, task=run.tasks[3].id)

    run, _, _ = shift(drop)
    assert states(run) == ["dropped", "complete", "complete", "dropped"]
    assert run.owed() == []


def test_stop_at_a_share_leaves_stragglers_owed(shift: Any) -> None:
    async def stop(_: Slow, __: Shift, run: Run) -> None:
        order(run, Verb.STOP, share=0.5)

    run, halted, _ = shift(stop)
    assert "50.0% of the tasks have ended" in halted
    assert 1 <= len(run.owed()) <= 2


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
