"""What a sandbox of the namespace backend costs: time of each operation, our own CPU, memory at rest.

    python benchmarks/sandbox.py [--rounds N] [--open 100,500] [--files N] [--json]

The layer is a made-up repository of `--files` Python files. Times are wall-clock medians in
milliseconds on an otherwise quiet machine; CPU is that of this process alone; memory is the
proportional share (PSS) of process 1 and its shell, does not count the kernel's own, and
needs root: process 1 shows its memory to nobody else.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

from sera.sandboxes.contract import Layer, Sandbox
from sera.sandboxes.namespaces import Namespaces

T = TypeVar("T")


def make_layer(tree: Path, files: int) -> Layer:
    for number in range(files):
        path = tree / f"package{number // 50}" / f"module{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"def function_{number}():\n    return {number}\n" * 50)
    git = ["git", "-C", str(tree), "-c", "user.name=b", "-c", "user.email=b@b"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "layer"]):
        subprocess.run([*git, *arguments], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return Layer(tree=tree, commit=head.stdout.strip())


class Clock:
    """Collects durations by name."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}

    async def timed(self, name: str, work: Awaitable[T]) -> T:
        start = time.perf_counter()
        result = await work
        self.times.setdefault(name, []).append((time.perf_counter() - start) * 1000)
        return result


async def one_round(backend: Namespaces, clock: Clock) -> None:
    manager = backend.sandbox()
    box = await clock.timed("create", manager.__aenter__())
    try:
        await clock.timed("first command", box.run("true", 10))
        for _ in range(10):
            await clock.timed("trivial command", box.run("true", 10))
        await clock.timed("command with a process", box.run("/bin/true", 10))
        await clock.timed("output of 100 KB", box.run("head -c 100000 /dev/zero | tr '\\0' x", 10))
        await clock.timed("write 100 KB", box.write("new.txt", b"x" * 100_000))
        await clock.timed("read 100 KB", box.read("new.txt"))
        await clock.timed("list", box.list(".", 2))
        await box.run("sed -i s/return/yield/ package0/module1.py", 10)
        await clock.timed("patch", box.patch())
    finally:
        await clock.timed("destroy", manager.__aexit__(None, None, None))


async def cpu_per_command(backend: Namespaces, count: int = 500) -> float:
    async with backend.sandbox() as box:
        await box.run("true", 10)
        start = time.process_time()
        for _ in range(count):
            await box.run("true", 10)
        return (time.process_time() - start) * 1000 / count


def proportional_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [found for child in map(int, children) for found in (child, *descendants(child))]


async def memory_at_rest(backend: Namespaces, count: int) -> dict[str, float]:
    async with AsyncExitStack() as stack:
        start, cpu = time.perf_counter(), time.process_time()
        boxes: list[Sandbox] = await asyncio.gather(
            *(stack.enter_async_context(backend.sandbox()) for _ in range(count))
        )
        await asyncio.gather(*(box.run("true", 60) for box in boxes))
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        assert backend._spawner
        total = 0
        for pid in descendants(backend._spawner.pid):
            try:
                total += proportional_kb(pid)
            except OSError:
                continue
        start = time.perf_counter()
        await asyncio.gather(*(box.run("true", 60) for box in boxes))
        return {
            "open": count,
            "seconds to open all": round(seconds, 2),
            "our CPU per opening (ms)": round(cpu * 1000 / count, 2),
            "KB per sandbox (PSS)": round(total / count),
            "one command in all (s)": round(time.perf_counter() - start, 3),
        }


async def measure(options: argparse.Namespace) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as base:
        Path(base).chmod(0o755)
        layer = make_layer(Path(base) / "tree", options.files)
        clock = Clock()
        async with Namespaces(layer) as backend:
            for _ in range(options.rounds):
                await one_round(backend, clock)
            cpu = await cpu_per_command(backend)
            memory = [await memory_at_rest(backend, int(count)) for count in options.open.split(",") if count]
            notice = backend.notice
    medians = {name: round(statistics.median(times), 2) for name, times in clock.times.items()}
    return {
        "median_ms": medians,
        "our_cpu_ms_per_command": round(cpu, 3),
        "memory": memory,
        "notice": notice,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--open", default="100,500", help="numbers of sandboxes open at once")
    parser.add_argument("--files", type=int, default=1000, help="files in the layer")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = asyncio.run(measure(options))
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for name, value in result["median_ms"].items():  # type: ignore[attr-defined]
        print(f"{name:28}{value:10.2f} ms")
    print(f"{'our CPU per command':28}{result['our_cpu_ms_per_command']:10.3f} ms")
    for row in result["memory"]:  # type: ignore[attr-defined]
        print("  ".join(f"{name}: {value}" for name, value in row.items()))
    print(result["notice"] or "the layer is shared by an overlay")


if __name__ == "__main__":
    main()
