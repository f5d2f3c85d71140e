"""How many requests may be at one endpoint at once: as many as it bears.

The limit begins at the most allowed, since the rollouts at work bound it already. Signs of too much
(429, 503, a timeout) halve what is in flight, once for all that was in flight together; every answer
adds one part of the limit, so that it grows by one per round. A lone sign, and up to a fifth of the
answers, is borne: one request in a hundred hangs on a healthy server, and would else keep the limit
near ten. Those who wait are let in in order.
"""

import asyncio
from collections import deque

_BORNE = 0.2
"""Share of a round's answers that may be signs of too much."""
_LONGEST_ROUND = 256
"""Answers after which a new count begins in any case: the share is that of late."""


class Gate:
    """A semaphore whose size adapts."""

    def __init__(self, most: int) -> None:
        self.in_flight = 0
        self._most = most
        self._limit = float(most)
        self._round = self._ended = self._signs = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        return int(self._limit)

    @property
    def load(self) -> float:
        """Those in flight and waiting, as a share of the limit."""
        return (self.in_flight + len(self._waiting)) / self.limit

    async def enter(self) -> int:
        """Wait for a place; returns the round it belongs to, for `too_much`."""
        if self.in_flight < self.limit and not self._waiting:
            self.in_flight += 1
            return self._round
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place in self._waiting:
                self._waiting.remove(place)
            elif not place.cancelled():
                self.leave()
            raise
        return self._round

    def leave(self) -> None:
        """Give the place back."""
        self.in_flight -= 1
        self._let_in()

    def well(self) -> None:
        """An answer came."""
        self._limit = min(self._limit + 1 / self._limit, float(self._most))
        self._end()
        self._let_in()

    def too_much(self, entered: int) -> None:
        """A request was too much; those sent before the limit was last halved say nothing new."""
        if entered != self._round:
            return
        self._signs += 1
        if self._signs > 1 + _BORNE * self._ended:
            self._limit = max(min(self._limit, float(self.in_flight)) / 2, 1.0)
            self._round += 1
            self._ended = self._signs = 0
        else:
            self._end()

    def _end(self) -> None:
        """A request has ended; after a round of them a new count begins."""
        self._ended += 1
        if self._ended >= min(self._limit, _LONGEST_ROUND):
            self._ended = self._signs = 0

    def _let_in(self) -> None:
        while self._waiting and self.in_flight < self.limit:
            place = self._waiting.popleft()
            if not place.done():
                self.in_flight += 1
                place.set_result(None)
