"""Settling a large set: what it keeps of a sample, and that the time grows with their number."""

import random
import statistics
import time
import tracemalloc

import msgspec

from sera.datasets import DatasetConfig, Source
from sera.datasets.candidate import Figures
from sera.datasets.decide import Decision
from sera.datasets.recipe import parse_recipe
from sera.datasets.selection.config import Balance, NearDuplicates
from sera.datasets.settle import settle
from sera.records import Stage

SOURCE = Source(repository="example/shop", commit="c0ffee", run="a" * 16)
MOST = 1_500
"""Bytes kept in memory of a sample that is signed; 200,000 of them are 300 MB."""


def decision(number: int) -> Decision:
    """As it is read from a worker: nothing is shared that the reader does not share."""
    draw = random.Random(number)
    stage = Stage.T2 if number % 2 else Stage.T1
    made = Decision(
        figures=Figures(
            id=f"{number:016x}",
            task=f"{number // 2:016x}",
            index=number // 2,
            stage=stage,
            run=SOURCE.run,
            recall=draw.random(),
            patch_lines=12,
            patch_files=1,
            tool_tokens=321.5,
            answer_tokens=900,
            tokens=draw.randrange(100_000),
            ratio=draw.choice([1.0, 0.88 + draw.random() / 10]),
        ),
        parts=2 - (stage is Stage.T2),
        category=f"category {number % 51}",
        path=f"package/module_{number % 97}.py",
        function=f"Class.function_{number % 3_000}",
        claim=b"" if number % 2 else draw.randbytes(16),
        patch_signature=b"" if number % 2 else draw.randbytes(500),
        issue_signature=draw.randbytes(500) if number % 2 else b"",
        tokens=5_000,
        teacher='{"model":"teacher"}',
        start=number * 30_000,
        size=30_000,
    )
    return msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=Decision)


def kept_bytes(numbers: range) -> float:
    """Of memory, by sample."""
    before, _ = tracemalloc.get_traced_memory()
    kept = [decision(number) for number in numbers]
    after, _ = tracemalloc.get_traced_memory()
    return (after - before) / len(kept)


def test_little_is_kept_of_a_sample() -> None:
    """The median of several windows: in one of them the interpreter's table of strings may grow, by as much as
    all strings of the process need, or another thread may be at work."""
    decision(0)
    tracemalloc.start()
    try:
        windows = [kept_bytes(range(start, start + 800)) for start in range(0, 7_200, 800)]
    finally:
        tracemalloc.stop()
    assert 500 < statistics.median(windows) < MOST


def test_twenty_thousand_are_settled_in_seconds() -> None:
    decisions = [decision(number) for number in range(20_000)]
    parts = parse_recipe("4000 T2 + 3000 T1")
    config = DatasetConfig(
        recipe="4000 T2 + 3000 T1",
        near=NearDuplicates(patches=0.8, issues=0.8),
        balance=Balance(category=180),
    )
    started = time.process_time()
    settled = settle(decisions, config, parts, [SOURCE])
    assert time.process_time() - started < 10
    assert settled.parts == [4_000, 3_000]
    assert len(settled.rows) == 7_000
    assert len(settled.rejected) == 13_000
    assert sum(figures.reason == "over_cap" for figures in settled.rejected) == 20_000 - 2 * 51 * 180
