"""How many at once, when to rest, how long to wait: without a network and without waiting."""

import asyncio

import pytest

from sera.errors import TeacherError
from sera.records import Message
from sera.teachers.contract import Reply
from sera.teachers.remote import RemoteConfig
from sera.teachers.remote.breaker import Breaker
from sera.teachers.remote.clock import Clock
from sera.teachers.remote.endpoint import Line
from sera.teachers.remote.failures import BROKEN, UNUSABLE, Failure, seconds_to_wait
from sera.teachers.remote.gate import Gate
from sera.teachers.remote.retries import pause
from sera.teachers.remote.routing import Router


def run(work: object) -> None:
    asyncio.run(asyncio.wait_for(work, 10))  # type: ignore[arg-type]


async def fill(gate: Gate, count: int) -> list[int]:
    return [await gate.enter() for _ in range(count)]


def test_the_gate_halves_what_is_in_flight_once_for_a_round() -> None:
    async def main() -> None:
        gate = Gate(100)
        for entered in await fill(gate, 16):
            gate.too_much(entered)
        assert gate.limit == 8
        for _ in range(16):
            gate.leave()
        for entered in await fill(gate, 3):
            gate.too_much(entered)
        assert gate.limit == 1

    run(main())


def test_the_gate_bears_a_few_hangs() -> None:
    """One answer in twenty that is too much does not slow the rest down; one in four does."""

    async def limit(every: int) -> int:
        gate = Gate(100)
        for n in range(1, 2000):
            [entered] = await fill(gate, 1)
            if n % every:
                gate.well()
            else:
                gate.too_much(entered)
            gate.leave()
        return gate.limit

    assert asyncio.run(limit(20)) == 100
    assert asyncio.run(limit(4)) < 10


def test_the_gate_grows_by_one_for_a_round_of_answers() -> None:
    async def main() -> None:
        gate = Gate(12)
        for entered in await fill(gate, 12):
            gate.too_much(entered)
        assert gate.limit == 6
        for limit in (6, 7, 8, 9, 10, 11, 12):
            assert gate.limit == limit
            for _ in range(limit + 1):
                gate.well()
        assert gate.limit == 12

    run(main())


def test_the_gate_lets_in_in_order_and_forgets_those_who_leave() -> None:
    async def main() -> None:
        gate, order = Gate(2), []

        async def visit(name: int) -> None:
            await gate.enter()
            order.append(name)
            await asyncio.sleep(0.001)
            assert gate.in_flight <= 2
            gate.leave()

        visits = [asyncio.create_task(visit(name)) for name in range(10)]
        await asyncio.sleep(0)
        visits[5].cancel()
        await asyncio.gather(*visits, return_exceptions=True)
        assert order == [0, 1, 2, 3, 4, 6, 7, 8, 9]
        assert (gate.in_flight, gate.load) == (0, 0)

    run(main())


def test_a_place_given_to_one_who_is_just_leaving_is_passed_on() -> None:
    async def main() -> None:
        gate = Gate(1)
        await gate.enter()
        first, second = (asyncio.create_task(gate.enter()) for _ in range(2))
        await asyncio.sleep(0)
        gate.leave()
        first.cancel()
        await asyncio.wait({first, second})
        assert first.cancelled()
        assert gate.in_flight == 1

    run(main())


def test_the_breaker_opens_probes_and_doubles_its_rest() -> None:
    breaker = Breaker(trip_after=3)
    for _ in range(2):
        breaker.fail(0.0, probe=breaker.begin())
    breaker.succeed()
    for _ in range(3):
        assert breaker.allows(0.0)
        breaker.fail(0.0, probe=breaker.begin())
    assert not breaker.allows(0.9)
    assert breaker.wait(0.25) == 0.75
    for start, rest in ((1.0, 2.0), (3.0, 4.0)):
        assert breaker.allows(start)
        probe = breaker.begin()
        assert probe
        assert not breaker.allows(start)
        breaker.fail(start, probe)
        assert not breaker.allows(start + rest - 0.1)
    assert breaker.allows(7.0)
    assert breaker.begin()
    breaker.abandon()
    assert breaker.begin()
    breaker.succeed()
    assert not breaker.begin()


def test_an_endpoint_that_has_answered_is_given_up_by_a_probe_that_is_refused_late() -> None:
    def line(answered: bool) -> Line:
        made = Line(config.addresses[0], config, clock)
        if answered:
            made.note(Reply(message=Message(role="assistant")), 0, probe=False)
        return made

    clock, refused = Leaping(), Failure(UNUSABLE, "404: no")
    config = RemoteConfig(base_url="http://x/v1", model="m")
    strange, known = line(answered=False), line(answered=True)
    strange.note(refused, 0, probe=False)
    assert strange.given_up
    for clock.time, probe, given_up in ((0, False, False), (0, False, False), (59, True, False), (61, False, False), (62, True, True)):  # fmt: skip
        known.note(refused, 0, probe)
        assert bool(known.given_up) is given_up
    again = line(answered=True)
    for clock.time, outcome in ((70, refused), (100, Failure(BROKEN, "500")), (140, refused)):
        again.note(outcome, 0, probe=True)
    assert not again.given_up


def test_the_gate_s_share_is_that_of_late() -> None:
    """A thousand answers of before do not count against signs of now, however wide the gate is open."""

    async def main() -> None:
        gate = Gate(1024)
        for _ in await fill(gate, 1000):
            gate.well()
            gate.leave()
        for entered in await fill(gate, 200):
            gate.too_much(entered)
        assert gate.limit == 100

    run(main())


def test_failures_of_requests_sent_before_it_opened_do_not_prolong_the_rest() -> None:
    breaker = Breaker(trip_after=1)
    sent = [breaker.begin() for _ in range(4)]
    for probe in sent:
        breaker.fail(0.0, probe)
    assert breaker.wait(0.0) == 1.0


class Leaping(Clock):
    """A clock that nobody waits for."""

    time = 0.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


def test_the_patience_with_resting_endpoints_ends() -> None:
    async def main() -> None:
        clock = Leaping()
        config = RemoteConfig(base_url="http://x/v1", model="m", trip_after=1)
        line = Line(config.addresses[0], config, clock)
        router = Router([line], config.patience, clock)
        line.note(Failure(BROKEN, "500: oops"), 0, probe=False)
        async with router.place(set()):
            assert clock.time == 1
        line.breaker.fail(10_000.0, probe=True)
        with pytest.raises(TeacherError, match=r"no endpoint has been well for 600 s: 500: oops"):
            await router.place(set()).__aenter__()

    run(main())


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3), ("0.5", 0.5), ("-1", 0), ("86400", 60), ("nan", None), ("soon", None), ("", None), (None, None),
        ("Thu, 01 Jan 1970 00:01:45 GMT", 5), ("Thu, 01 Jan 1970 00:00:45 GMT", 0), ("Thu, 99 Jan 1970", None),
    ],
)  # fmt: skip
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert seconds_to_wait(header, now=100.0) == seconds


def test_pauses_grow_with_chance_and_have_an_end() -> None:
    assert [pause(n, None, 1.0) for n in (0, 1, 2, 50)] == [0.5, 1, 2, 60]
    assert [pause(n, None, 0.0) for n in (0, 1)] == [0.25, 0.5]


def test_a_pause_that_was_told_is_never_shortened_and_never_the_same() -> None:
    assert [pause(9, 8.0, chance) for chance in (0.0, 0.5, 1.0)] == [8, 9, 10]
    assert pause(0, 0.0, 0.0) == 0.5
