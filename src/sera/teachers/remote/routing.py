"""Which endpoint a request goes to: the least loaded of those that are well."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec

from sera.errors import TeacherError, TeacherUnusable
from sera.teachers.contract import Reply
from sera.teachers.remote.clock import Clock
from sera.teachers.remote.endpoint import Line
from sera.teachers.remote.failures import Failure
from sera.teachers.remote.waits import Waits

_SHORTEST, _LONGEST = 0.05, 1.0
"""Seconds between two looks for an endpoint that is well."""


class Place(msgspec.Struct):
    """A place at an endpoint, taken."""

    line: Line
    entered: int
    probe: bool
    judged: bool = False

    def note(self, outcome: Reply | Failure) -> None:
        """Let the endpoint learn from what became of the request."""
        self.judged = True
        self.line.note(outcome, self.entered, self.probe)


class Router:
    """Several ways to one model."""

    def __init__(
        self, lines: Sequence[Line], patience: float, clock: Clock, waits: Waits | None = None
    ) -> None:
        self._lines, self._patience, self._clock = lines, patience, clock
        self._waits = waits or Waits()

    def another(self, tried: set[Line]) -> bool:
        """Whether some endpoint that is well has not been tried."""
        return self._choose(set(self._lines) - tried) is not None

    def refuse_if_none(self) -> None:
        """`TeacherUnusable` with every reason if all endpoints are given up."""
        if all(line.given_up for line in self._lines):
            raise TeacherUnusable("; ".join(line.given_up for line in self._lines))

    @asynccontextmanager
    async def place(self, tried: set[Line]) -> AsyncIterator[Place]:
        """Wait for a place, where possible at an endpoint not in `tried`, to which it is then added."""
        place = await self._take(tried)
        tried.add(place.line)
        try:
            yield place
        finally:
            if place.probe and not place.judged:
                place.line.breaker.abandon()
            place.line.gate.leave()

    async def _take(self, tried: set[Line]) -> Place:
        since = self._clock.now()
        while True:
            self.refuse_if_none()
            line = self._choose(set(self._lines) - tried) or self._choose(set(self._lines))
            if line is None:
                self._lose_patience(since)
                async with self._waits.wait(self._troubles()):
                    await self._clock.sleep(self._until_well())
                continue
            async with self._waits.wait():
                entered = await line.gate.enter()
            if line.usable(self._clock.now()):
                return Place(line, entered, line.breaker.begin())
            line.gate.leave()

    def _choose(self, among: set[Line]) -> Line | None:
        now = self._clock.now()
        well = [line for line in self._lines if line in among and line.usable(now)]
        return min(well, key=lambda line: line.gate.load, default=None)

    def _lose_patience(self, since: float) -> None:
        waited = self._clock.now() - since
        if waited >= self._patience:
            raise TeacherError(f"no endpoint has been well for {waited:.0f} s: {self._troubles()}")

    def _troubles(self) -> str:
        return "; ".join(line.given_up or line.trouble for line in self._lines)

    def _until_well(self) -> float:
        now = self._clock.now()
        soonest = min(line.breaker.wait(now) for line in self._lines if not line.given_up)
        return min(max(soonest, _SHORTEST), _LONGEST)
