"""Repeats, stragglers and what they cost: the one owner of all three.

A request that failed for a temporary reason is sent again, after the pause the server asked for or a
growing one, where possible to another endpoint; `failures` says which reasons are temporary, and which only
ask for patience. No pause is without chance, so that rollouts do not all come back at the same moment.
A straggler may be put to a second endpoint; the first answer counts and the other request is cancelled.
Every request that leaves, repeats and second ones included, is held with the meter before and ended
after. The deadline of a rollout is the agent's: it cancels, and what was in flight is then uncertain.
"""

import asyncio
import itertools
from collections.abc import Callable

import msgspec

from sera.errors import BudgetExhausted, Halted
from sera.records import Usage
from sera.teachers.contract import Meter, Reply
from sera.teachers.remote.clock import Clock
from sera.teachers.remote.config import RemoteConfig
from sera.teachers.remote.endpoint import Line
from sera.teachers.remote.failures import LONGEST_PAUSE, Failure, Trouble
from sera.teachers.remote.routing import Router
from sera.teachers.remote.waits import Waits

_FIRST_PAUSE = 0.5
_TIMES, _MORE = 4, 2**17
"""Tokens beyond the worst case of a request that a server may still have used: so many times it, and more."""


class Asked(msgspec.Struct, frozen=True):
    """One request, encoded once for each protocol in use."""

    bodies: dict[str, bytes]
    """By the path of the protocol."""
    plain: Callable[[str], bytes] | None
    """The body for that path without the wish for one tool call in a reply; None if there is no such wish."""
    worst: Usage
    """What sending it once may cost at worst."""
    hear: Callable[[str], None] | None = None
    """As in `ChatRequest`; None once it is sent a second time."""


class Retries:
    """Gets one answer to one request out of endpoints that fail."""

    def __init__(
        self, router: Router, meter: Meter, config: RemoteConfig, clock: Clock, waits: Waits
    ) -> None:
        self._router, self._meter, self._config = router, meter, config
        self._clock, self._waits = clock, waits

    async def answer(self, asked: Asked) -> Reply:
        """The answer; raises `TeacherError` and its kinds, `TeacherUnusable`, `BudgetExhausted`, `Halted`."""
        tried: set[Line] = set()
        allowance = Allowance(self._config.retries, self._config.patience)
        for repetition in itertools.count():
            outcome = await self._race(asked, tried)
            if isinstance(outcome, Reply):
                return outcome
            asked = msgspec.structs.replace(asked, hear=None)
            self._router.refuse_if_none()
            if not allowance.covers(outcome.trouble, self._clock.now()):
                raise outcome.error()
            async with self._waits.wait(outcome.text):
                await self._clock.sleep(pause(repetition, outcome.retry_after, self._clock.chance()))
            if not self._router.another(tried):
                tried.clear()
        raise AssertionError("the loop above returns or raises")

    async def _race(self, asked: Asked, tried: set[Line]) -> Reply | Failure:
        """One request, and a second one to another endpoint if the first becomes a straggler."""
        if not self._config.hedge_after:
            return await self._attempt(asked, tried)
        before, asked = len(tried), msgspec.structs.replace(asked, hear=None)
        racers = [asyncio.create_task(self._attempt(asked, tried))]
        try:
            await asyncio.wait(racers, timeout=self._config.hedge_after)
            under_way = not racers[0].done() and len(tried) > before
            if under_way and self._router.another(tried):
                racers.append(asyncio.create_task(self._attempt(asked, tried)))
            return await _first_answer(racers)
        finally:
            for racer in racers:
                racer.cancel()
            await asyncio.gather(*racers, return_exceptions=True)

    async def _attempt(self, asked: Asked, tried: set[Line]) -> Reply | Failure:
        """Send it once to one endpoint; again at once without what that may not know."""
        async with self._router.place(tried) as place:
            line, path = place.line, place.line.dialect.path
            if not asked.plain:
                outcome = await self._send(line, asked.bodies[path], asked)
            elif not line.asks_one_call:
                outcome = await self._send(line, asked.plain(path), asked)
            else:
                outcome = await self._send(line, asked.bodies[path], asked)
                if line.may_not_know(outcome) and isinstance(outcome, Failure):
                    refused, outcome = outcome, await self._send(line, asked.plain(path), asked)
                    line.learn(refused, outcome)
            place.note(outcome)
            return outcome

    async def _send(self, line: Line, body: bytes, asked: Asked) -> Reply | Failure:
        """One request: a hold, the exchange, the end of the hold."""
        async with self._waits.wait():
            hold = await self._meter.reserve(asked.worst)
        try:
            async with self._waits.wait() as keep:
                with self._waits.answering():
                    outcome = _believed(await line.ask(body, keep, asked.hear), asked.worst)
        except Halted:
            self._meter.release(hold)
            raise
        except BaseException:
            self._meter.uncertain(hold)
            raise
        self._end(hold, outcome)
        return outcome

    def _end(self, hold: int, outcome: Reply | Failure) -> None:
        """Tell the meter what became of a hold."""
        if isinstance(outcome, Reply) and not outcome.estimated:
            self._meter.settle(hold, outcome.usage, outcome.written)
        elif isinstance(outcome, Failure) and outcome.told:
            self._meter.settle(hold, *outcome.told)
        elif isinstance(outcome, Failure) and not outcome.maybe_billed:
            self._meter.release(hold)
        elif isinstance(outcome, Reply):
            self._meter.uncertain(hold, answered=True)
        else:
            self._meter.uncertain(hold)


def _believed(outcome: Reply | Failure, worst: Usage) -> Reply | Failure:
    """The outcome without a usage that no request of this size can have had: it then counts at its worst. One
    that is merely above it counts as told, since a server may add words of its own, or reason at length."""
    if isinstance(outcome, Failure):
        told = outcome.told
        if told and not _can_be(told[0], worst):
            return msgspec.structs.replace(outcome, told=None, answered=True)
        return outcome
    message = outcome.message
    says = message.content or message.reasoning or message.tool_calls
    if outcome.estimated or (_can_be(outcome.usage, worst) and not (says and not outcome.usage.completion)):
        return outcome
    return msgspec.structs.replace(outcome, estimated=True)


def _can_be(used: Usage, worst: Usage) -> bool:
    prompt, answer = (_TIMES * bound + _MORE for bound in (worst.prompt, worst.completion))
    return 0 < used.prompt <= prompt and used.completion <= answer


async def _first_answer(racers: list[asyncio.Task[Reply | Failure]]) -> Reply | Failure:
    """The first answer, or the last failure. A second request that budget or stop forbid is not missed."""
    running, failure = set(racers), None
    while running:
        ended, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for racer in ended:
            if racer is not racers[0] and isinstance(racer.exception(), BudgetExhausted | Halted):
                continue
            outcome = racer.result()
            if isinstance(outcome, Reply):
                return outcome
            failure = outcome
    assert failure is not None
    return failure


class Allowance:
    """How often one request may be sent again."""

    def __init__(self, retries: int, patience: float) -> None:
        self._left, self._patience = retries, patience
        self._since: float | None = None

    def covers(self, trouble: Trouble, now: float) -> bool:
        """Whether another repeat is allowed. One for a trouble that passes costs nothing, until `patience`
        has gone by since its first sign."""
        if trouble.passes:
            self._since = now if self._since is None else self._since
            if now - self._since < self._patience:
                return True
        self._left -= 1
        return trouble.repeated and self._left >= 0


def pause(repetition: int, told: float | None, chance: float) -> float:
    """Seconds before the next request: as told and up to a quarter more, never none; else doubling from half
    a second, half of it by chance."""
    if told is not None:
        return max(told, _FIRST_PAUSE) * (1 + chance / 4)
    return min(_FIRST_PAUSE * 2.0 ** min(repetition, 9), LONGEST_PAUSE) * (1 + chance) / 2
