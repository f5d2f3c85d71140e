"""What requests to a teacher wait for just now: for whoever looks on, and ended by a stop.

A stop ends every wait in which nothing has been sent: pauses before a repeat, endpoints that rest, a place at
one, room in the budget, a connection. A request that was sent may be billed, so its answer is waited for.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from sera.errors import BudgetExhausted, Halted

_QUIET = 30.0
"""Seconds without any answer from which on that is said, in steps of as many."""


class Waits:
    """Those of one teacher. `str` says what is the matter, empty if nothing is."""

    def __init__(self) -> None:
        self.stopped = ""
        """Why nothing is sent any more."""
        self._whys: dict[asyncio.Timeout, str] = {}
        self._sent = 0
        self._heard = 0.0

    @asynccontextmanager
    async def wait(self, why: str = "") -> AsyncIterator[Callable[[], None]]:
        """A wait that a stop ends by `Halted`. Yields what to call once it is to be ended no more."""
        if self.stopped:
            raise Halted(self.stopped)
        scope = asyncio.timeout(None)

        def keep() -> None:
            if self._whys.pop(scope, None) is not None:
                scope.reschedule(None)

        try:
            async with scope:
                self._whys[scope] = why
                yield keep
        except TimeoutError:
            if scope.expired():
                raise Halted(self.stopped) from None
            raise
        finally:
            self._whys.pop(scope, None)

    async def first(self, check: Callable[[], Awaitable[None]], halt: Callable[[str], None]) -> None:
        """What comes before the work. A stop ends it, and no room in the budget is a reason to halt."""
        try:
            async with self.wait():
                await check()
        except Halted:
            pass
        except BudgetExhausted as exhausted:
            halt(str(exhausted))

    @contextmanager
    def answering(self) -> Iterator[None]:
        """A request is with the server."""
        if not self._sent:
            self._heard = time.monotonic()
        self._sent += 1
        try:
            yield
        finally:
            self._sent -= 1
            self._heard = time.monotonic()

    def stop(self, reason: str) -> None:
        """End all that wait, and whatever would."""
        if self.stopped:
            return
        self.stopped = reason
        for scope in self._whys:
            scope.reschedule(asyncio.get_running_loop().time())

    def __str__(self) -> str:
        whys = [why for why in list(self._whys.values()) if why]
        if whys:
            many = f"{len(whys)} requests wait" if len(whys) > 1 else "1 request waits"
            return f"the teacher: {many}; last: {whys[-1]}"
        quiet = _QUIET * ((time.monotonic() - self._heard) // _QUIET)
        if self._sent and quiet:
            return f"the teacher: {self._sent} asked and no answer for {quiet:.0f} s"
        return ""
