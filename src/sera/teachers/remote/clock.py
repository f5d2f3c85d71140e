"""Time and chance, in one place so that tests can give their own."""

import asyncio
import random
import time


class Clock:
    """The real ones."""

    def now(self) -> float:
        """Seconds that only ever grow."""
        return time.monotonic()

    def today(self) -> float:
        """Seconds since 1970, for dates that a server names."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    def chance(self) -> float:
        """A number between 0 and 1."""
        return random.random()
