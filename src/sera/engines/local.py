"""The engine of one machine: K workers in one event loop, each with one task at a time.

A worker takes the next task as soon as it is free, so a stalled one delays nothing else. Anything a
task raises is a bug or the end of the run: the other workers are cancelled, their sandboxes closed,
and the exception leaves `execute` as it is.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from sera.agent import Agent
from sera.generation.job import Job
from sera.generation.steps import Steps
from sera.generation.svg import generate_pair
from sera.records import Pair, Task
from sera.runs import Run
from sera.sandboxes import Backend
from sera.teachers import Teacher

T = TypeVar("T")


async def execute(items: Iterable[T], work: Callable[[T], Awaitable[None]], concurrency: int) -> None:
    """Call `work` for every item, at most `concurrency` at once, started in order."""
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(worker())
    except ExceptionGroup as problems:
        raise problems.exceptions[0] from None


async def generate(
    job: Job, run: Run, teacher: Teacher, backend: Backend, finished: Callable[[Pair], None]
) -> None:
    """Work off what `run` owes; call `finished` after every task. Both dependencies are already entered.

    Raises `TeacherUnusable` and `RunError`; a failed task is recorded and does not stop the others.
    """
    styles = {text.name: text.text for text in job.demonstrations}
    agent = Agent(teacher=teacher, profile=run.profile, config=job.config.agent)
    steps = Steps(run, agent, backend, styles)

    async def work(task: Task) -> None:
        pair = await generate_pair(task, steps)
        run.end(pair)
        finished(pair)

    await execute(run.owed(), work, job.config.concurrency)
