"""The engine of one machine: K workers in one event loop, each with one task at a time.

A worker takes the next task as soon as it is free, so a stalled one delays nothing else. A task whose teacher
broke is put back and tried again after a rest, going on from its last step, so that an outage does not use up
the plan. A run under way listens to orders (`runs/control.py`). Told to stop, it lets every step under way
end and be recorded, then returns with the rest still owed. Anything a task raises beyond that is a bug, or
ends the run: the other workers are cancelled, their sandboxes closed, and the exception leaves as it is.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

from sera.agent import Agent
from sera.engines.queue import Queue
from sera.errors import BudgetExhausted, Halted, RolloutError, TeacherError, TeacherRefused
from sera.generation.job import Job
from sera.generation.steps import Steps
from sera.generation.svg import ended, generate_pair
from sera.records import Pair, State, Task
from sera.runs import Ledger, Run
from sera.runs.control import Order, Verb
from sera.sandboxes import Backend
from sera.teachers import Teacher, Waits
from sera.visible import one_line

_LISTENS_EVERY = 0.25
"""Seconds between two looks at the orders."""
_ROUNDING = 1e-9
_ENOUGH = 20
"""Ended tasks from which on their yield says something: of one with a yield of a fifth, 1 % begin so."""
_REASONS = 3
_SHOWN = 200

Finished = Callable[[Pair], None]


async def _at_once() -> None:
    """A check of nothing."""


class Shift:
    """One process's work on one run.

    `finished` is called once for each task, with the end it came to; for one that failed, when it is not
    tried again. The time of `ledger` stops while the run is paused. By `waits`, nothing waits in the teacher
    once the work is halted.
    """

    def __init__(
        self,
        job: Job,
        run: Run,
        teacher: Teacher,
        backend: Backend,
        finished: Finished,
        ledger: Ledger | None = None,
        waits: Waits | None = None,
    ) -> None:
        self.halted = ""
        """Why the work was ended before the tasks were; empty if it was not."""
        self._run = run
        self._config = job.config
        self._ledger = ledger
        self._finished = finished
        self._waits = waits or Waits()
        self._told: set[str] = set()
        self._became: Counter[str] = Counter()
        """Reasons of the tasks ended by this process, empty for those complete."""
        self._tasks = {task.id: task for task in run.tasks}
        self._owed = {task.id for task in run.owed()}
        self._queue = Queue(run.owed())
        self._failures = Counter[str]()
        self._under_way: dict[str, asyncio.Task[Pair]] = {}
        self._broken_off: dict[str, bool] = {}
        """Tasks at work that were cancelled by order, and whether they are given up."""
        self._stop_at = 1.0
        self._may_go_on = asyncio.Event()
        self._may_go_on.set()
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

    async def work(self, check: Callable[[], Awaitable[None]] = _at_once) -> None:
        """Work off what the run owes, once `check` has passed. Raises what that does, `TeacherUnusable` and
        `RunError`."""

        async def permitted() -> None:
            await self._permission()
            await check()

        self._obey_all()
        listener = asyncio.create_task(self._listen())
        try:
            await self._waits.first(permitted, self.halt)
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._config.concurrency, len(self._tasks))):
                    group.create_task(self._worker())
        except ExceptionGroup as problems:
            raise problems.exceptions[0] from None
        finally:
            self._queue.close()
            listener.cancel()
            with suppress(asyncio.CancelledError):
                await listener

    def halt(self, reason: str) -> None:
        """Let the steps under way end, begin no others, and wait for nothing in between."""
        self.halted = self.halted or reason
        self._waits.stop(self.halted)
        self._queue.close()
        self._may_go_on.set()

    async def _permission(self) -> None:
        """What every request to the teacher waits for."""
        if not self.halted:
            await self._may_go_on.wait()
        if self.halted:
            raise Halted(self.halted)

    async def _worker(self) -> None:
        while task := await self._queue.take():
            try:
                await self._work_on(task)
            finally:
                self._queue.done()

    async def _work_on(self, task: Task) -> None:
        current = asyncio.create_task(generate_pair(task, self._steps))
        self._under_way[task.id] = current
        try:
            self._end(await current)
        except RolloutError as problem:
            self._fail(task, problem)
        except Halted:
            pass  # it stays owed
        except BudgetExhausted as exhausted:
            self.halt(str(exhausted))
        except asyncio.CancelledError:
            if task.id not in self._broken_off or not _by_order(current):
                raise
            if self._broken_off[task.id]:
                self._end(ended(task, State.DROPPED, "given up by order"))
        finally:
            await _settle(current)
            del self._under_way[task.id]
            self._broken_off.pop(task.id, None)

    def _end(self, pair: Pair) -> None:
        self._run.end(pair)
        self._owed.discard(pair.task)
        self._tell(pair)
        self._stop_if_reached()

    def _fail(self, task: Task, problem: RolloutError) -> None:
        """Record it; after a rest it is tried again, unless that has been done often enough or is in vain."""
        pair = ended(task, State.FAILED, self._steps.clean(f"{type(problem).__name__}: {problem}"))
        self._run.end(pair)
        before = self._failures[task.id]
        self._failures[task.id] += 1
        if _may_pass(problem) and before < self._config.again:
            self._queue.put_after(task, self._config.again_after * 2.0 ** min(before, 20))
        else:
            self._tell(pair)

    def _tell(self, pair: Pair) -> None:
        if pair.task not in self._told:
            self._told.add(pair.task)
            self._finished(pair)
            self._judge_yield(pair)

    def _judge_yield(self, pair: Pair) -> None:
        """Stop where next to nothing comes of the tasks of this process."""
        if pair.state is State.DROPPED:
            return
        reason = one_line(f"{pair.state}: {pair.reason}")[:_SHOWN]
        self._became["" if pair.state is State.COMPLETE else reason] += 1
        ended, complete = self._became.total(), self._became[""]
        if ended >= _ENOUGH and complete < self._config.stop_below * ended:
            why = [f"{count} {said}" for said, count in self._became.most_common(_REASONS + 1) if said]
            self.halt(
                f"{complete} of {ended} tasks gave a pair, fewer than stop_below={self._config.stop_below:g} "
                f"allows ({'; '.join(why[:_REASONS])}): mend the cause, or go on anyhow with --stop-below 0"
            )

    def _stop_if_reached(self) -> None:
        """At the share of ended tasks from which stragglers are not waited for: they stay owed, with all of
        their steps but the request in flight."""
        ended_tasks, all_tasks = len(self._tasks) - len(self._owed), len(self._tasks)
        if self._owed and ended_tasks >= self._stop_at * all_tasks - _ROUNDING:
            self.halt(f"{self._stop_at:.1%} of the tasks have ended")
            for straggler in self._under_way:
                self._break_off(straggler)

    def _break_off(self, identity: str, give_up: bool = False) -> None:
        """Cancel a task at work. Once: a second time would hit the closing of its sandbox."""
        if identity not in self._broken_off:
            self._under_way[identity].cancel()
        self._broken_off[identity] = self._broken_off.get(identity, False) or give_up

    # ── orders ────────────────────────────────────────────────────────────────────────────────────

    async def _listen(self) -> None:
        while True:
            await asyncio.sleep(_LISTENS_EVERY)
            self._obey_all()

    def _obey_all(self) -> None:
        for order in self._run.orders.read():
            self._obey(order)

    def _obey(self, order: Order) -> None:
        match order.verb:
            case Verb.PAUSE:
                self._pause()
            case Verb.RESUME:
                self._resume()
            case Verb.STOP if order.share:
                self._stop_at = order.share
                self._stop_if_reached()
            case Verb.STOP:
                self.halt("stopped by order")
            case Verb.DROP:
                self._drop(order.task)
            case Verb.REQUEUE:
                self._requeue(order.task)

    def _pause(self) -> None:
        self._may_go_on.clear()
        if self._ledger:
            self._ledger.pause()

    def _resume(self) -> None:
        self._may_go_on.set()
        if self._ledger:
            self._ledger.resume()

    def _drop(self, identity: str) -> None:
        if identity in self._under_way:
            self._break_off(identity, give_up=True)
        elif identity in self._owed:
            self._queue.remove(identity)
            self._end(ended(self._tasks[identity], State.DROPPED, "given up by order"))

    def _requeue(self, identity: str) -> None:
        """One at work goes on. One that is owed is not begun anew, which would pay for its steps twice: it
        goes on from them at once."""
        if identity in self._under_way or identity not in self._tasks:
            return
        task = self._tasks[identity]
        del self._failures[identity]
        if identity not in self._owed:
            self._run.end(ended(task, State.REQUEUED, "put back by order"))
            self._owed.add(identity)
        self._queue.put(task)


def _may_pass(problem: RolloutError) -> bool:
    """Whether the cause may be gone after a while: an outage of the teacher, not its refusal."""
    return isinstance(problem, TeacherError) and not isinstance(problem, TeacherRefused)


def _by_order(current: "asyncio.Task[Pair]") -> bool:
    """Whether only this task was cancelled, by an order; otherwise the worker itself was."""
    worker = asyncio.current_task()
    return current.cancelled() and not (worker and worker.cancelling())


async def _settle(current: "asyncio.Task[Pair]") -> None:
    """See that a task has ended, its sandbox closed, before its worker goes on or away."""
    if not current.done():
        current.cancel()
        with suppress(asyncio.CancelledError, Halted, RolloutError):
            await current
