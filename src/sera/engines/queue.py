"""Which task is worked on next: those of the plan in order, then those that are tried again after a rest."""

import asyncio
from collections.abc import Iterable

from sera.records import Task


class Queue:
    """The tasks that several workers take. Who has taken one calls `done` once it is over or put back."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._waiting = {task.id: task for task in tasks}
        self._resting: dict[str, asyncio.TimerHandle] = {}
        self._taken = 0
        self._closed = False
        self._news = asyncio.Event()

    async def take(self) -> Task | None:
        """The next task, waited for as long as one may come back; None if none will, or it is closed."""
        while not self._closed and (self._waiting or self._resting or self._taken):
            if self._waiting:
                self._taken += 1
                return self._waiting.pop(next(iter(self._waiting)))
            self._news.clear()
            await self._news.wait()
        return None

    def done(self) -> None:
        """Nothing more is done to a task that was taken."""
        self._taken -= 1
        self._news.set()

    def put(self, task: Task) -> None:
        """At the end; what rests does so no longer, and what waits already keeps its place."""
        self._end_rest(task.id)
        self._waiting.setdefault(task.id, task)
        self._news.set()

    def put_after(self, task: Task, seconds: float) -> None:
        """At the end, after a rest."""
        self._resting[task.id] = asyncio.get_running_loop().call_later(seconds, self.put, task)

    def remove(self, identity: str) -> None:
        """A task that waits or rests, if it is there."""
        self._end_rest(identity)
        self._waiting.pop(identity, None)
        self._news.set()

    def close(self) -> None:
        """Nothing more is taken."""
        self._closed = True
        for identity in list(self._resting):
            self._end_rest(identity)
        self._news.set()

    def _end_rest(self, identity: str) -> None:
        if handle := self._resting.pop(identity, None):
            handle.cancel()
