"""The published recipes, built from 60,000 pairs: exact counts, in bounded memory, at a known rate; and what
200,000 trajectories would take."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

import pytest

import sera

SERA = Path(sys.executable).parent / "sera"
TOKENIZER = Path(__file__).parents[2] / ".cache" / "tokenizer" / "tokenizer.json"
PAIRS = int(os.environ.get("SERA_SOAK_PAIRS", "60000"))
FEW = 1_000, 4_000
"""Pairs of the two runs whose builds are compared."""
MEMORY = 2 << 30
"""Bytes that a build may use in all its processes together."""

pytestmark = pytest.mark.soak


class Used(NamedTuple):
    """What a command has used: seconds, and the most bytes of memory."""

    seconds: float
    memory: int
    """With its workers."""
    own: int
    """Its first process alone."""


def command(*arguments: object) -> Used:
    """Run `sera`."""
    environment = {"SERA_TOKENIZER": str(TOKENIZER)} | os.environ
    started, peak, own, done = time.monotonic(), [0], [0], Event()
    process = subprocess.Popen(
        [SERA, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    )

    def watch() -> None:
        while not done.wait(0.5):
            held = memory_of_session(process.pid)
            peak[0] = max(peak[0], sum(held.values()))
            own[0] = max(own[0], held.get(process.pid, 0))

    watcher = Thread(target=watch)
    watcher.start()
    try:
        printed, _ = process.communicate(timeout=7200)
    finally:
        process.kill()
        done.set()
        watcher.join()
    assert process.returncode == 0, printed
    return Used(time.monotonic() - started, peak[0], own[0])


def memory_of_session(session: int) -> dict[int, int]:
    """Bytes that the processes of a session hold, by process."""
    held = {}
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split() if entry.name.isdigit() else []
        except OSError:
            continue
        if fields and int(fields[3]) == session:
            held[int(entry.name)] = int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    return held


def count_lines(file: Path) -> int:
    """Rollouts of a run: two a pair, and one more for each answer that was rejected by the self-check."""
    with file.open("rb") as lines:
        return sum(1 for _ in lines)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over a part of sera itself."""
    run = tmp_path_factory.mktemp("real") / "run"
    command("generate", Path(sera.__file__).parent / "runs", "--out", run, "--functions", 24)
    return run


@pytest.fixture(scope="module")
def runs(real: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs, of half the pairs each, multiplied from the real one."""
    folder = tmp_path_factory.mktemp("runs")
    halves = [folder / "first", folder / "second"]
    for seed, half in enumerate(halves):
        used = command("rehearse", "run", real, half, "--pairs", PAIRS // 2, "--seed", seed)
        size = (half / "rollouts.jsonl").stat().st_size
        print(f"\n{PAIRS // 2:,} pairs written in {used.seconds:.0f} s: {size / 1e9:.2f} GB of rollouts")
    return halves


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ("sera-32b", {"t2": 25_224}),
        ("specialist", {"t1": 5_000, "t2": 3_000}),
        ("multi-repository", {"t2": 8_000}),
    ],
)
def test_a_recipe_is_built_exactly(
    runs: list[Path], tmp_path: Path, recipe: str, expected: dict[str, int]
) -> None:
    out = tmp_path / recipe
    seconds, memory, _ = command("dataset", "build", *runs, "--out", out, "--recipe", recipe)
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    size = (out / "train.jsonl").stat().st_size
    samples = sum(c["selected"] + sum(c["rejected"].values()) for c in manifest["counts"].values())
    print(
        f"\n{recipe}: {manifest['rows']:,} rows of {samples:,} samples in {seconds:.0f} s, "
        f"{samples / seconds:.0f} samples/s, {size / 1e9:.2f} GB, {memory / 2**20:.0f} MiB"
    )
    found, ids, sources = Counter[str](), set(), Counter[str]()
    with (out / "train.jsonl").open("rb") as rows:
        for line in rows:
            row = json.loads(line)
            found[row["stage"]] += 1
            sources[row["run"]] += 1
            ids.add((row["run"], row["id"]))
            assert row["tokens"] <= 32_768
            assert row["ratio"] >= 0.88
            assert recipe != "specialist" or row["stage"] == "t1" or row["recall"] >= 0.5
    assert found == expected
    assert len(ids) == sum(expected.values()) == manifest["rows"]
    assert samples == sum(count_lines(run / "rollouts.jsonl") for run in runs) >= 2 * PAIRS
    assert recipe != "multi-repository" or list(sources.values()) == [4_000, 4_000]
    assert memory < MEMORY


def test_memory_for_two_hundred_thousand(real: Path, tmp_path: Path) -> None:
    """Only the first process keeps something of every sample; the others have bounded memories."""
    used = []
    for pairs in FEW:
        command("rehearse", "run", real, tmp_path / f"{pairs}", "--pairs", pairs)
        used.append(
            command(
                "dataset", "build", tmp_path / f"{pairs}", "--out", tmp_path / f"d{pairs}", "--workers", 2
            )
        )
    few, many = used
    each = (many.own - few.own) / (2 * (FEW[1] - FEW[0]))
    foreseen = many.memory + each * (200_000 - 2 * FEW[1])
    print(
        f"\n{[2 * pairs for pairs in FEW]} samples: {few.own / 2**20:.0f} and {many.own / 2**20:.0f} MiB of the first "
        f"process, {few.memory / 2**20:.0f} and {many.memory / 2**20:.0f} MiB in all; {each:.0f} bytes a sample, "
        f"{foreseen / 2**20:.0f} MiB for 200,000"
    )
    assert foreseen < MEMORY
