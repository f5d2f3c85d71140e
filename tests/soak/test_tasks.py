"""Tasks of real packages, from their source archives: enough of them, in bounded time, and each one a task."""

import asyncio
import time
from pathlib import Path

import pytest

from environments import PACKAGES, archive, read
from sera.environments import prepare
from sera.evaluation.tasks.build import build
from sera.evaluation.tasks.checking import check
from sera.evaluation.tasks.config import TasksConfig
from sera.evaluation.tasks.issue import leaks
from sera.evaluation.tasks.record import read_instances
from sera.repositories import open_snapshot

pytestmark = pytest.mark.soak
NAMES = ("toolz", "more-itertools", "boltons", "click")
LEAST, MOST_SECONDS = 30, 600


@pytest.mark.parametrize("name", NAMES)
def test_package(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERA_CACHE", str(tmp_path / "cache"))
    pin = next(pin for pin in read(PACKAGES) if pin.partition("==")[0] == name)
    source, config = str(archive(pin, tmp_path)), TasksConfig(mutants=LEAST, history=0)
    prepare(open_snapshot(source), config.prepare)
    started = time.monotonic()
    manifest = asyncio.run(build(source, tmp_path / "tasks", config))
    seconds = time.monotonic() - started
    print(name, manifest.counts, manifest.operators, manifest.rejected, f"{seconds:.0f} s")
    assert manifest.counts["mutant"] >= LEAST
    assert len(manifest.operators) >= 8
    assert seconds < MOST_SECONDS
    for one in read_instances(tmp_path / "tasks"):
        assert leaks(one.problem_statement, one.patch, one.failing) == []
    result = asyncio.run(check(tmp_path / "tasks", config))
    assert (result.gold, result.empty, result.faults) == (result.tasks, 0, ())
