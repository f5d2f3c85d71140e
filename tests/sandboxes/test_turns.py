"""Turns at the processors: in order, never more than agreed, never held up by what takes long."""

import asyncio
import os
import time
from collections.abc import Awaitable
from pathlib import Path

import pytest
from stage import make_layer

from sera.sandboxes import turns
from sera.sandboxes.namespaces import Namespaces
from sera.sandboxes.turns import Turns


def run(work: Awaitable[None]) -> None:
    async def within_time() -> None:
        await asyncio.wait_for(work, 20)

    asyncio.run(within_time())


def test_so_many_at_a_time_in_the_order_of_asking() -> None:
    begun: list[int] = []
    working, most = 0, 0

    async def main() -> None:
        both = Turns(2)

        async def work(number: int) -> None:
            nonlocal working, most
            async with both.turn():
                begun.append(number)
                working += 1
                most = max(most, working)
                await asyncio.sleep(0.002 * (number % 3))
                working -= 1

        await asyncio.gather(*map(work, range(20)))

    run(main())
    assert begun == list(range(20))
    assert most == 2


def test_what_takes_long_passes_its_turn_on_and_gives_it_back_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_BRIEF", 0.02)

    async def main() -> None:
        one = Turns(1)
        ended = asyncio.Event()

        async def long() -> None:
            async with one.turn():
                await ended.wait()

        under_way = asyncio.create_task(long())
        await asyncio.sleep(0)
        async with one.turn():  # after a moment, beside the long one
            assert not under_way.done()
        ended.set()
        await under_way
        async with one.turn():
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(one.turn().__aenter__(), 0.005)

    run(main())


def test_failures_and_cancelled_waits_lose_no_turn() -> None:
    async def main() -> None:
        one = Turns(1)
        with pytest.raises(OSError, match="broken"):
            async with one.turn():
                raise OSError("broken")
        async with one.turn():
            waiting = asyncio.create_task(one.turn().__aenter__())
            await asyncio.sleep(0)
            waiting.cancel()
        async with asyncio.timeout(1), one.turn():
            pass

    run(main())


def test_a_sandbox_is_not_held_up_by_long_commands_of_others(tmp_path: Path) -> None:
    async def main() -> None:
        async with Namespaces(make_layer(tmp_path / "tree")) as backend, backend.sandbox() as quick:

            async def slow() -> None:
                async with backend.sandbox() as box:
                    assert (await box.run("sleep 3", 10)).exit_code == 0

            sleeping = [asyncio.create_task(slow()) for _ in range(2 * len(os.sched_getaffinity(0)) + 1)]
            await asyncio.sleep(0.5)
            started = time.monotonic()
            assert (await quick.run("echo here", 10)).output == "here\n"
            assert time.monotonic() - started < 1.5
            assert not any(task.done() for task in sleeping)
            await asyncio.gather(*sleeping)

    run(main())
