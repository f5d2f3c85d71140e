"""The ledger: never above a limit, whatever happens in whatever order, and nothing lost by a kill."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sera.cli.common import bill
from sera.errors import BudgetExhausted, ConfigError, RunError
from sera.records import Usage
from sera.runs.folder import locked
from sera.runs.ledger import NANO, Balance, Ledger, SpendingLimits, open_ledger, read_ledger
from sera.teachers.prices import Price


class Dollar:
    """A thousandth of a dollar a token, cached ones free."""

    def cost(self, used: Usage, written: int = 0) -> int:
        return (used.prompt - used.cached + used.completion) * NANO // 1000

    def worst(self, worst: Usage) -> int:
        return (worst.prompt + worst.completion) * NANO // 1000


def tokens(count: int, cached: int = 0) -> Usage:
    return Usage(calls=1, prompt=count, cached=cached)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


def test_each_way_a_hold_can_end(path: Path) -> None:
    async def main(ledger: Ledger) -> None:
        settled, released, unclear, open_one = [await ledger.reserve(tokens(n)) for n in (100, 200, 300, 400)]
        ledger.settle(settled, tokens(80, cached=30))
        ledger.release(released)
        ledger.uncertain(unclear)
        now = ledger.summary()
        assert (now.settled.usd, now.uncertain.usd, now.reserved.usd) == (0.05, 0.3, 0.4)
        assert (now.settled.tokens, now.uncertain.tokens, now.reserved.tokens) == (80, 300, 400)
        assert now.usage == tokens(80, cached=30)
        assert open_one == 4

    with open_ledger(path, SpendingLimits(max_usd=2), Dollar()) as ledger:
        asyncio.run(main(ledger))
    again = read_ledger(path)
    assert (again.settled.usd, again.uncertain.usd, again.reserved.usd, again.overruns) == (0.05, 0.7, 0, 0)


def test_without_limits_and_without_a_price(path: Path) -> None:
    with open_ledger(path, SpendingLimits(), None) as ledger:
        ledger.settle(asyncio.run(ledger.reserve(tokens(10**9))), tokens(10**9))
        assert (ledger.summary().settled.nano, ledger.summary().settled.tokens) == (0, 10**9)


def test_dollars_need_a_price(path: Path) -> None:
    with (
        pytest.raises(ConfigError, match=r"teacher\.price\.input"),
        open_ledger(path, SpendingLimits(max_usd=1), None),
    ):
        pass


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (SpendingLimits(max_usd=0.099), "max_usd"),
        (SpendingLimits(max_tokens=99), "max_tokens"),
        (SpendingLimits(max_hours=1e-9), "max_hours"),
    ],
)
def test_what_cannot_be_covered_is_refused(path: Path, limits: SpendingLimits, told: str) -> None:
    with open_ledger(path, limits, Dollar()) as ledger:
        with pytest.raises(BudgetExhausted, match=told):
            asyncio.run(ledger.reserve(tokens(100)))
    assert read_ledger(path).total.nano == 0


def test_it_waits_for_what_open_holds_may_free(path: Path) -> None:
    async def main(ledger: Ledger) -> None:
        first = await ledger.reserve(tokens(80))
        waiting = [asyncio.create_task(ledger.reserve(tokens(n))) for n in (60, 30)]
        await asyncio.sleep(0.02)
        assert not any(task.done() for task in waiting)
        ledger.settle(first, tokens(10))
        assert await asyncio.wait_for(asyncio.gather(*waiting), 5) == [2, 3]
        ledger.uncertain(2)
        with pytest.raises(BudgetExhausted):
            await ledger.reserve(tokens(50))

    with open_ledger(path, SpendingLimits(max_tokens=100), Dollar()) as ledger:
        asyncio.run(main(ledger))


def test_one_that_gives_up_waiting_holds_nothing(path: Path) -> None:
    async def main(ledger: Ledger) -> None:
        first = await ledger.reserve(tokens(80))
        waiting = asyncio.create_task(ledger.reserve(tokens(60)))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        ledger.release(first)
        assert await ledger.reserve(tokens(100)) == 2

    with open_ledger(path, SpendingLimits(max_tokens=100), Dollar()) as ledger:
        asyncio.run(main(ledger))


def test_one_that_gives_up_while_its_hold_is_written_holds_nothing(path: Path) -> None:
    """It is on its way to the disk, so it is released there; its request has not left."""

    async def main(ledger: Ledger) -> None:
        asked = asyncio.create_task(ledger.reserve(tokens(80)))
        while not ledger.summary().reserved.tokens:
            await asyncio.sleep(0)
        asked.cancel()
        await asyncio.wait([asked])
        assert asked.cancelled()
        assert ledger.summary().total.tokens == 0
        assert await asyncio.wait_for(ledger.reserve(tokens(100)), 5) == 2

    with open_ledger(path, SpendingLimits(max_tokens=100), Dollar()) as ledger:
        asyncio.run(main(ledger))
    assert read_ledger(path).uncertain.tokens == 100


def test_a_server_that_charges_too_much_is_told_of(path: Path) -> None:
    with open_ledger(path, SpendingLimits(max_tokens=100), Dollar()) as ledger:
        ledger.settle(asyncio.run(ledger.reserve(tokens(90))), tokens(120))
        with pytest.raises(BudgetExhausted):
            asyncio.run(ledger.reserve(tokens(1)))
    assert (read_ledger(path).overruns, read_ledger(path).settled.tokens) == (1, 120)
    assert "1 request cost more than the most" in bill(read_ledger(path))


def test_time_is_counted_over_resumes(path: Path) -> None:
    for _ in range(2):
        with open_ledger(path, SpendingLimits(), None):
            asyncio.run(asyncio.sleep(0.05))
    assert 0.1 <= read_ledger(path).seconds < 1
    with open_ledger(path, SpendingLimits(max_hours=0.09 / 3600), None) as ledger:
        with pytest.raises(BudgetExhausted, match="max_hours"):
            asyncio.run(ledger.reserve(tokens(1)))


def test_paused_time_is_not_counted(path: Path) -> None:
    with open_ledger(path, SpendingLimits(), None) as ledger:
        ledger.pause()
        time.sleep(0.2)
        ledger.pause()
        assert ledger.summary().seconds < 0.2
        ledger.resume()
        time.sleep(0.05)
    assert 0.05 <= read_ledger(path).seconds < 0.2


def test_what_is_in_flight_was_not_broken_off(path: Path) -> None:
    """Holds without an end: of a process that was killed, and of the one that holds the folder's lock."""
    with open_ledger(path, SpendingLimits(), Dollar()) as ledger:
        asyncio.run(ledger.reserve(tokens(100)))
    with locked(path.parent):
        with open_ledger(path, SpendingLimits(), Dollar()) as ledger:
            asyncio.run(ledger.reserve(tokens(30)))
            now = read_ledger(path)
            assert (now.uncertain.tokens, now.reserved.tokens) == (100, 30)
            assert "$0.10 more for requests that were broken off; $0.03 reserved" in bill(now)
    now = read_ledger(path)
    assert (now.uncertain.tokens, now.reserved.tokens) == (130, 0)
    assert "reserved" not in bill(now)


async def spend(ledger: Ledger) -> None:
    """Each kind of end, and one hold that has none."""
    holds = [await ledger.reserve(tokens(n)) for n in (300, 500, 200, 400)]
    ledger.settle(holds[1], tokens(450, cached=40))
    ledger.release(holds[0])
    ledger.uncertain(holds[2])
    ledger.settle(await ledger.reserve(tokens(90)), tokens(80))


@pytest.fixture
def spent(path: Path) -> Balance:
    """How a ledger stands before it is damaged."""
    with open_ledger(path, SpendingLimits(), Dollar()) as ledger:
        asyncio.run(spend(ledger))
    return read_ledger(path)


def test_any_byte_altered_is_named_and_nothing_counts_less(path: Path, spent: Balance) -> None:
    whole = path.read_bytes()
    for place in range(0, len(whole) - 1, 2):
        line, byte = whole[:place].count(b"\n") + 1, b'\xff\x00"0k\n'[place // 2 % 6]
        if whole[place] == byte:
            continue
        path.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
        now = read_ledger(path)
        assert now.total.nano >= spent.total.nano, (place, byte)
        assert now.total.tokens >= spent.total.tokens
        assert f"ledger.jsonl, line {line}" in " ".join(now.flaws), place


def test_a_line_lost_doubled_or_moved_is_named_and_nothing_counts_less(path: Path, spent: Balance) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    for place in range(len(lines)):
        path.write_bytes(b"".join(lines[:place] + lines[place + 1 :]))
        now = read_ledger(path)
        assert min(now.lost.tokens, now.lost.nano) >= 0
        if place < len(lines) - 1:
            assert now.flaws == (f"ledger.jsonl, line {place + 1}: 1 before it is lost",)
            assert now.total.tokens >= spent.total.tokens
        path.write_bytes(b"".join([*lines[: place + 1], *lines[place:]]))
        now = read_ledger(path)
        assert now.flaws == (f"ledger.jsonl, line {place + 2}: here twice, and counted once",)
        assert now.total == spent.total
        path.write_bytes(b"".join([*lines[:place], *lines[place + 1 :], lines[place]]))
        if place < len(lines) - 1:
            now = read_ledger(path)
            assert f"ledger.jsonl, line {len(lines)}: out of its place" in now.flaws
            assert now.total == spent.total


def test_damage_is_counted_by_who_goes_on(path: Path, spent: Balance) -> None:
    """A limit holds over a lost hold, and what was assumed stays when more is written."""
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], *lines[3:]]))  # the one whose end is uncertain
    limits = SpendingLimits(max_tokens=spent.total.tokens + 50)
    with open_ledger(path, limits, Dollar()) as ledger:
        assert ledger.summary().total.tokens == spent.total.tokens
        with pytest.raises(BudgetExhausted, match="lines that are lost"):
            asyncio.run(ledger.reserve(tokens(51)))
        ledger.settle(asyncio.run(ledger.reserve(tokens(50))), tokens(40))
    assert read_ledger(path).total.tokens == spent.total.tokens + 40


def test_an_end_that_is_lost_counts_what_the_records_prove(path: Path, spent: Balance) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    proven = Usage(calls=2, prompt=530)
    for kept in range(len(lines)):
        path.write_bytes(b"".join(lines[:kept]))
        now = read_ledger(path, proven, Dollar())
        assert now.total.tokens >= 530
        assert now.total.nano >= Dollar().cost(Usage(prompt=530, cached=40))
    path.unlink()
    now = read_ledger(path, proven, Dollar())
    assert now.lost.tokens == 530
    assert "530 tokens that other records prove are not in it" in bill(now)
    with open_ledger(path, SpendingLimits(max_tokens=600), Dollar(), proven) as ledger:
        with pytest.raises(BudgetExhausted):
            asyncio.run(ledger.reserve(tokens(71)))
    assert read_ledger(path).total.tokens == 530, "what was proven is written down"


@pytest.mark.parametrize(
    ("settled", "uncertain", "lacking", "nano"),
    [
        ((0, 0), 0, 150, 100 * 1000 + 50 * 10_000),
        ((60, 10), 0, 80, 40 * 1000 + 40 * 10_000),
        ((60, 10), 60, 20, 20 * 1000),
        ((100, 20), 0, 30, 30 * 10_000),
        ((100, 50), 0, 0, 0),
    ],
)
def test_what_only_the_records_prove_counts_at_its_dearest(
    path: Path, settled: tuple[int, int], uncertain: int, lacking: int, nano: int
) -> None:
    """They prove 100 tokens of prompts and 50 of answers, which are ten times as dear."""
    price, proven = Price(input=1, output=10), Usage(prompt=100, completion=50)

    async def spend(ledger: Ledger) -> None:
        used = Usage(calls=1, prompt=settled[0], completion=settled[1])
        ledger.settle(await ledger.reserve(used), used)
        ledger.uncertain(await ledger.reserve(Usage(prompt=uncertain)))

    with open_ledger(path, SpendingLimits(), price) as ledger:
        asyncio.run(spend(ledger))
    lost = read_ledger(path, proven, price).lost
    assert (lost.tokens, lost.nano) == (lacking, nano)
    without = read_ledger(path, proven).lost
    assert without.tokens == lacking
    if lacking and settled[0]:
        spent, hold = read_ledger(path).total, Usage(prompt=settled[0], completion=settled[1])
        dearest = max(spent.nano / spent.tokens, price.worst(hold) / sum(settled))
        assert without.nano == round(lacking * dearest), "no price: by what it has itself"


def test_hours_of_before_count_to_the_second(path: Path) -> None:
    for seconds, enough in ((3599.0, True), (3600.0, False)):
        path.write_bytes(b'{"kind":"pause","seconds":%f}\n' % seconds)
        with open_ledger(path, SpendingLimits(max_hours=1), None) as ledger:
            if enough:
                asyncio.run(ledger.reserve(tokens(1)))
            else:
                with pytest.raises(BudgetExhausted, match="max_hours 1"):
                    asyncio.run(ledger.reserve(tokens(1)))


def test_what_nothing_bounds_is_refused_under_a_limit(path: Path) -> None:
    path.write_bytes(b'{"kind": "hold", "ho\n')
    with pytest.raises(RunError, match=r"ledger.jsonl, line 1: altered.*restore the file"):
        with open_ledger(path, SpendingLimits(max_tokens=100), None):
            pass
    with open_ledger(path, SpendingLimits(), None) as ledger:
        assert ledger.summary().flaws


def test_a_ledger_from_before_there_were_seals(path: Path) -> None:
    """It counts as it stands; holds that are missing count as the largest, ends without a hold as told."""

    def line(kind: str, hold: int, count: int = 0) -> bytes:
        return b'{"kind":"%b","hold":%d,"nano":%d,"tokens":%d}\n' % (kind.encode(), hold, count, count)

    lines = [line("hold", 1, 10), line("settled", 1, 7), line("hold", 2, 30), line("hold", 3, 20)]
    path.write_bytes(b"".join([*lines, b'{"kind":"pause","seconds":2.5}\n']))
    assert (read_ledger(path).total.tokens, read_ledger(path).flaws) == (57, ())
    with open_ledger(path, SpendingLimits(), None):
        pass
    assert (read_ledger(path).total.tokens, read_ledger(path).flaws) == (57, ())
    path.write_bytes(b"".join([*lines[:2], lines[3]]))
    assert read_ledger(path).total.tokens == 7 + 20 + 20
    assert read_ledger(path).flaws == ("ledger.jsonl: hold 3 follows hold 1",)
    path.write_bytes(b"".join(lines[1:]))
    assert read_ledger(path).total.tokens >= 57
    path.write_bytes(lines[2] + lines[0] + lines[0])
    assert read_ledger(path).total.tokens >= 30 + 10
    with open_ledger(path, SpendingLimits(), None) as ledger:
        assert asyncio.run(ledger.reserve(tokens(1))) == 3, "no number is given twice"
    path.write_bytes(lines[0] + lines[0])
    assert read_ledger(path).total.tokens == 10
    path.write_bytes(line("hold", 1, 10) + b'{"kind":"settled","hold":1,"nano":-9,"tokens":-9}\n')
    assert read_ledger(path).total.tokens >= 10


@pytest.mark.parametrize("dollars", [1e300, float("inf"), 1e-300])
def test_limits_of_any_size(path: Path, dollars: float) -> None:
    with open_ledger(path, SpendingLimits(max_usd=dollars), Dollar()) as ledger:
        if dollars > 1:
            asyncio.run(ledger.reserve(tokens(5)))
        else:
            with pytest.raises(BudgetExhausted):
                asyncio.run(ledger.reserve(tokens(5)))


def test_no_ledger_is_an_empty_one(path: Path) -> None:
    assert read_ledger(path) == Balance()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    limit=st.integers(1, 3000),
    seed=st.integers(0, 2**32),
    workers=st.integers(1, 8),
    cut=st.floats(0, 1),
)
def test_never_above_the_limit_also_after_a_kill(
    tmp_path: Path, limit: int, seed: int, workers: int, cut: float
) -> None:
    """Concurrent workers with an honest server; then the file as a kill at any byte leaves it."""
    path = tmp_path / "ledger.jsonl"
    path.unlink(missing_ok=True)
    dice, billed = random.Random(seed), 0

    async def work(ledger: Ledger) -> None:
        nonlocal billed
        for _ in range(6):
            worst = dice.randrange(1, 400)
            hold = await ledger.reserve(tokens(worst))
            used = dice.randrange(worst + 1)
            await asyncio.sleep(0)
            fate = dice.choice(("settle", "release", "billed and lost", "lost"))
            billed += used if fate in ("settle", "billed and lost") else 0
            if fate == "settle":
                ledger.settle(hold, tokens(used))
            elif fate == "release":
                ledger.release(hold)
            else:
                ledger.uncertain(hold)
            assert ledger.summary().total.tokens <= limit

    async def work_on(ledger: Ledger) -> None:
        with suppress(BudgetExhausted):
            await work(ledger)

    async def main(ledger: Ledger) -> None:
        await asyncio.gather(*(work_on(ledger) for _ in range(workers)))

    with open_ledger(path, SpendingLimits(max_tokens=limit), Dollar()) as ledger:
        asyncio.run(main(ledger))
        now = ledger.summary()
    assert now.settled.tokens <= billed <= (now.settled + now.uncertain).tokens <= limit
    assert now.overruns == 0

    whole = path.read_bytes()
    kept = whole[: int(len(whole) * cut)]
    path.write_bytes(kept)
    holds = kept.count(b'"kind":"hold"') - (
        not kept.endswith((b"\n", b'"}')) and kept.rpartition(b"\n")[2].count(b'"kind":"hold"')
    )
    with open_ledger(path, SpendingLimits(max_tokens=limit), Dollar()) as ledger:
        again = ledger.summary()
        assert again.total.tokens <= limit
        if holds:
            assert asyncio.run(ledger.reserve(Usage())) == holds + 1


def test_kill_loses_no_spending(path: Path) -> None:
    """A process holds and settles as fast as it can; whatever it had said before the kill is on disk."""
    code = f"""
import asyncio, sys
from pathlib import Path
from sera.records import Usage
from sera.runs.ledger import SpendingLimits, open_ledger

async def main(ledger):
    for n in range(10**6):
        hold = await ledger.reserve(Usage(prompt=7))
        print("hold", flush=True)
        if n % 2:
            ledger.settle(hold, Usage(prompt=5))
            print("settled", flush=True)

with open_ledger(Path({str(path)!r}), SpendingLimits(), None) as ledger:
    asyncio.run(main(ledger))
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(200)]
        os.kill(process.pid, signal.SIGKILL)
        said += process.stdout.readlines()
    holds, ended = said.count("hold\n"), said.count("settled\n")
    balance = read_ledger(path)
    lines = path.read_text().count('"kind":"hold"')
    assert lines - holds in (0, 1)
    assert balance.settled.tokens // 5 - ended in (0, 1)
    assert balance.uncertain.tokens == 7 * (lines - balance.settled.tokens // 5)


@pytest.mark.parametrize(
    "used",
    [
        Usage(calls=1, prompt=-40, completion=12),
        Usage(calls=1, prompt=40, completion=-9000),
        Usage(calls=1, prompt=40, cached=-(10**9), completion=1),
    ],
)
def test_less_than_nothing_is_not_settled(path: Path, used: Usage) -> None:
    """Whatever a teacher that somebody else wrote says."""
    with open_ledger(path, SpendingLimits(), Price(input=1, output=1)) as ledger:
        ledger.settle(asyncio.run(ledger.reserve(tokens(500))), used)
        ledger.settle(asyncio.run(ledger.reserve(tokens(70))), tokens(70), written=-60)
        assert ledger.summary().uncertain.tokens == 570
    now = read_ledger(path)
    assert (now.uncertain.tokens, now.uncounted, now.flaws) == (570, 2, ())


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -0.5, 1e300, "3"])
def test_numbers_given_directly_are_checked(number: Any) -> None:
    for field in ("input", "cached", "output", "written"):
        with pytest.raises(ValueError, match=f"{field} is "):
            Price(**{"input": 1.0, "output": 1.0, field: number})
    with pytest.raises(ValueError, match="max_tokens is "):
        SpendingLimits(max_tokens=number)


@pytest.mark.parametrize("number", [float("nan"), -0.5, 0.0, "3"])
def test_a_limit_that_nothing_can_exceed_is_none(number: Any) -> None:
    for field in ("max_usd", "max_hours"):
        with pytest.raises(ValueError, match=f"{field} is "):
            SpendingLimits(**{field: number})
