"""Turns at this machine's processors, for what sandboxes are asked to do.

When hundreds of rollouts get their teacher's answers at about the same time, hundreds of commands would share
a few processors, and each would end as late as the last. One after another the first ends at once, and its
rollout is back at the teacher while the others work; the last is no later than it would have been.

Nobody knows before how long a command takes. So a turn lasts `_BRIEF` at most: what takes longer goes on
beside the others, as it would without turns.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sera.processors import processors

_PER_PROCESSOR = 2
_BRIEF = 0.1
"""Seconds. Most commands of an agent (looking, searching, editing) need a tenth of it."""


class Turns:
    """So many at a time, in the order in which they came."""

    def __init__(self, at_once: int = 0) -> None:
        """`at_once` 0: by the processors this process may use."""
        self._free = asyncio.Semaphore(at_once or _PER_PROCESSOR * processors())

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn and hold it, until the end of the context or `_BRIEF`."""
        await self._free.acquire()
        held = True

        def pass_on() -> None:
            nonlocal held
            if held:
                held = False
                self._free.release()

        early = asyncio.get_running_loop().call_later(_BRIEF, pass_on)
        try:
            yield
        finally:
            early.cancel()
            pass_on()
