"""Workers that take one piece of work after the other, and can be told to stop.

Told to stop, they let every step under way end and be recorded, and begin no other. What a piece of work
raises beyond `Halted` and `BudgetExhausted` cancels the others and leaves as it is.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from sera.errors import BudgetExhausted, Halted
from sera.teachers import Waits

T = TypeVar("T")


class Pool:
    """So many workers in one event loop. By `waits`, nothing waits in a teacher once they are halted."""

    def __init__(self, workers: int, waits: Waits | None = None) -> None:
        self.halted = ""
        """Why the work was ended early; empty if it was not."""
        self._workers, self._waits = workers, waits or Waits()

    def halt(self, reason: str) -> None:
        """Let the steps under way end, begin no others, and wait for nothing in between."""
        self.halted = self.halted or reason
        self._waits.stop(self.halted)

    async def permission(self) -> None:
        """What every request to the model waits for."""
        if self.halted:
            raise Halted(self.halted)

    async def first(self, check: Callable[[], Awaitable[None]]) -> None:
        """What comes before the work; a stop ends it at once."""
        await self._waits.first(check, self.halt)

    async def work(self, items: Iterable[T], do: Callable[[T], Awaitable[None]]) -> None:
        """Do every item, unless told to stop."""
        waiting = deque(items)

        async def worker() -> None:
            while waiting and not self.halted:
                try:
                    await do(waiting.popleft())
                except Halted:
                    return
                except BudgetExhausted as exhausted:
                    self.halt(str(exhausted))

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._workers, len(waiting))):
                    group.create_task(worker())
        except ExceptionGroup as problems:
            raise problems.exceptions[0] from None
