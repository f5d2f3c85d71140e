"""Two hundred pairs with a teacher of which three requests in ten go wrong."""

import asyncio
import time
from collections import Counter
from pathlib import Path

import pytest
from faulty_server import FAULTS, MODEL, TOLD, UNBILLED, FaultyServer

from sera.engines.local import Shift
from sera.generation.job import GenerateConfig, plan_job
from sera.records import Pair, State
from sera.runs import LEDGER, SpendingLimits, open_ledger, open_run, read_ledger
from sera.sandboxes import make_backend
from sera.settings import load_config
from sera.teachers import Price, RehearsalConfig, RehearsalTeacher, make_teacher

pytestmark = pytest.mark.soak
PAIRS = 200
PRICE = Price(input=0.6, cached=0.11, output=2.2)
CERTAIN = tuple(fault for fault in (*UNBILLED, *TOLD) if fault.startswith("429") or fault in TOLD)


@pytest.mark.parametrize(
    ("faults", "exact"), [(FAULTS, False), (CERTAIN, True)], ids=["all-faults", "unambiguous-faults"]
)
def test_every_pair_has_a_definite_end_and_the_books_agree(
    tiny_repo: Path,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    faults: tuple[str, ...],
    exact: bool,
) -> None:
    monkeypatch.setenv("SERA_CACHE", str(cache))
    ends: list[Pair] = []

    async def main() -> FaultyServer:
        async with FaultyServer(
            RehearsalTeacher(RehearsalConfig()), seed=11, rate=0.3, faults=faults, price=PRICE
        ) as server:
            teacher = {
                "kind": "chat",
                "base_url": server.base_url,
                "model": MODEL,
                "timeout": 60.0 if exact else 4.0,
                "retries": 12,
                "trip_after": 99,
                "max_tokens": 2048,
                "price": {"input": 0.6, "cached": 0.11, "output": 2.2},
            }
            config = load_config(
                GenerateConfig, given={"functions": PAIRS, "concurrency": 24, "teacher": teacher}
            )
            job = plan_job(str(tiny_repo), tmp_path / "run", config)
            with open_run(tmp_path / "run", job.manifest, job.profile, job.tasks) as run:
                with open_ledger(run.path / LEDGER, SpendingLimits(max_usd=500), PRICE) as ledger:
                    async with make_teacher(config.teacher, ledger) as remote:
                        async with make_backend(config.sandbox, job.snapshot.layer) as backend:
                            await Shift(job, run, remote, backend, ends.append).work()
                assert run.owed() == []
            return server

    started = time.monotonic()
    server = asyncio.run(asyncio.wait_for(main(), 1500))
    states = Counter(pair.state for pair in ends)
    ours, theirs = read_ledger(tmp_path / "run" / LEDGER), server.bill
    print(
        f"{PAIRS} pairs in {time.monotonic() - started:.0f} s, {server.requests} requests, faults {dict(server.faults)}, {dict(states)}; "
        f"billed {theirs.nano / 1e9:.6f}, settled {ours.settled.usd:.6f}, uncertain {ours.uncertain.usd:.6f}"
    )
    assert len(ends) == PAIRS
    assert states[State.FAILED] == 0
    assert ours.overruns == 0
    if exact:
        assert (ours.settled.nano, ours.uncertain.nano) == (theirs.nano, 0)
    assert ours.settled.nano <= theirs.nano <= ours.settled.nano + ours.uncertain.nano
