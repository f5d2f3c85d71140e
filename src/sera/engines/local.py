"""The engine of one machine: K workers in one event loop, each with one task at a time.

A worker takes the next task as soon as it is free, so a stalled one delays nothing else. A run under
way listens to orders (`runs/control.py`). Told to stop, it lets every step under way end and be recorded,
then returns with the rest still owed. Anything a task raises beyond that is a bug, or ends the run: the
other workers are cancelled, their sandboxes closed, and the exception leaves as it is.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from sera.agent import Agent
from sera.errors import BudgetExhausted, Halted
from sera.generation.job import Job
from sera.generation.steps import Steps
from sera.generation.svg import ended, generate_pair
from sera.records import Pair, State, Task
from sera.runs import Run
from sera.runs.control import Order, OrderBook, Verb
from sera.sandboxes import Backend
from sera.teachers import Teacher

_LISTENS_EVERY = 0.25
"""Seconds between two looks at the orders."""

Finished = Callable[[Pair], None]


class Shift:
    """One process's work on one run. `finished` is called with every pair that was recorded."""

    def __init__(self, job: Job, run: Run, teacher: Teacher, backend: Backend, finished: Finished) -> None:
        self.halted = ""
        """Why the work was ended before the tasks were; empty if it was not."""
        self._run = run
        self._open = len(run.owed())
        self._finished = finished
        self._concurrency = job.config.concurrency
        self._waiting = deque(run.owed())
        self._under_way: dict[str, asyncio.Task[Pair]] = {}
        self._stop_at = 1.0
        self._may_go_on = asyncio.Event()
        self._may_go_on.set()
        self._orders = OrderBook(run.path)
        agent = Agent(
            teacher=teacher,
            profile=run.profile,
            config=job.config.agent,
            permission=self._permission,
            redactor=job.redactor,
            project=job.project,
        )
        styles = {text.name: text.text for text in job.demonstrations}
        self._steps = Steps(run, agent, backend, styles)

    async def work(self) -> None:
        """Work off what the run owes. Raises `TeacherUnusable` and `RunError`."""
        listener = asyncio.create_task(self._listen())
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._concurrency):
                    group.create_task(self._worker())
        except ExceptionGroup as problems:
            raise problems.exceptions[0] from None
        finally:
            listener.cancel()
            with suppress(asyncio.CancelledError):
                await listener

    def halt(self, reason: str) -> None:
        """Let the steps under way end, begin no others."""
        self.halted = self.halted or reason
        self._may_go_on.set()

    async def _permission(self) -> None:
        """What every request to the teacher waits for."""
        await self._may_go_on.wait()
        if self.halted:
            raise Halted(self.halted)

    async def _worker(self) -> None:
        while self._waiting and not self.halted:
            task = self._waiting.popleft()
            current = asyncio.create_task(generate_pair(task, self._steps))
            self._under_way[task.id] = current
            try:
                self._end(await current)
            except Halted:
                return
            except BudgetExhausted as exhausted:
                self.halt(str(exhausted))
            except asyncio.CancelledError:
                if not self._was_dropped(task, current):
                    raise
            finally:
                await _settle(current)
                del self._under_way[task.id]

    def _was_dropped(self, task: Task, current: "asyncio.Task[Pair]") -> bool:
        """Whether only this task was cancelled, by an order; otherwise the worker itself was."""
        worker = asyncio.current_task()
        if not current.cancelled() or (worker and worker.cancelling()):
            return False
        self._end(ended(task, State.DROPPED, "given up by order"))
        return True

    def _end(self, pair: Pair) -> None:
        self._run.end(pair)
        self._finished(pair)
        self._open -= pair.state is not State.FAILED
        if 0 < self._open <= (1 - self._stop_at) * len(self._run.tasks):
            self.halt(f"{self._stop_at:.1%} of the tasks have ended")

    # ── orders ────────────────────────────────────────────────────────────────────────────────────

    async def _listen(self) -> None:
        while True:
            await asyncio.sleep(_LISTENS_EVERY)
            for order in self._orders.read():
                self._obey(order)

    def _obey(self, order: Order) -> None:
        match order.verb:
            case Verb.PAUSE:
                self._may_go_on.clear()
            case Verb.RESUME:
                self._may_go_on.set()
            case Verb.STOP if order.share:
                self._stop_at = order.share
            case Verb.STOP:
                self.halt("stopped by order")
            case Verb.DROP:
                self._drop(order.task)
            case Verb.REQUEUE:
                self._requeue(order.task)

    def _drop(self, identity: str) -> None:
        if current := self._under_way.get(identity):
            current.cancel()
        for task in [task for task in self._waiting if task.id == identity]:
            self._waiting.remove(task)
            self._end(ended(task, State.DROPPED, "given up by order"))

    def _requeue(self, identity: str) -> None:
        """Only what is not at work or waiting already."""
        busy = {*self._under_way, *(task.id for task in self._waiting)}
        for task in self._run.tasks:
            if task.id == identity and identity not in busy:
                self._run.end(ended(task, State.REQUEUED, "put back by order"))
                self._waiting.append(task)
                self._open += 1


async def _settle(current: "asyncio.Task[Pair]") -> None:
    """See that a task has ended, its sandbox closed, before its worker goes on or away."""
    if not current.done():
        current.cancel()
        with suppress(asyncio.CancelledError, Halted):
            await current
