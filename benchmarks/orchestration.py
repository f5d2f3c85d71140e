"""What our own process costs: pairs of scripted 12-step rollouts in real sandboxes, instant teacher.

    python benchmarks/orchestration.py [--concurrent 16 100 500] [--pairs N] [--served] [--json]

With `--latency` the share of the ideal rate is what sleeping teachers alone would allow. With `--served`
the same teacher answers over HTTP, from a process of its own on loopback, which does the waiting too: our
process then holds connections, writes and reads requests and keeps a ledger, as a run on an endpoint does.
CPU is that of this process alone (user and system, without children), per agent step: one teacher's
answer, one tool call in the sandbox, bookkeeping and journals included. Memory is what this process grew
by at its peak, per concurrent rollout. The sandboxes' own processes are not counted here; see
benchmarks/sandbox.py.
"""

import argparse
import asyncio
import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from sera.engines.local import Shift
from sera.generation.job import GenerateConfig, plan_job
from sera.records import Pair, State, Usage
from sera.runs import LEDGER, SpendingLimits, open_ledger, open_run
from sera.sandboxes import make_backend
from sera.settings import load_config
from sera.teachers import ChatRequest, RemoteConfig, Reply, Teacher, make_teacher
from sera.teachers.prices import FREE
from sera.teachers.scripted import ScriptedTeacher, call, say
from sera.teachers.server import serve

MODULE = "".join(f"def f{n}(x):\n    y = x + {n}\n    z = y * 2\n    return z\n\n\n" for n in range(50))
FILE = "/testbed/bench.py"
MODEL = "script"
SCRIPT = [
    call("bash", command="ls"),
    call("bash", command="grep -n 'def f1' bench.py"),
    call("str_replace_editor", command="view", path=FILE, view_range=[1, 60]),
    call("bash", command="grep -rn f1 . | head"),
    call("str_replace_editor", command="create", path="/testbed/try.py", file_text="print(1)\n"),
    call("bash", command="cat try.py"),
    call(
        "str_replace_editor", command="str_replace", path=FILE, old_str="y = x + 1\n", new_str="y = 1 + x\n"
    ),
    call("str_replace_editor", command="view", path=FILE, view_range=[1, 20]),
    call("bash", command="git status --short"),
    call("bash", command="rm try.py"),
    call("submit"),
    call("submit"),
    say("<output>\nyes\nIt is valid.\n</output>"),
]
STEPS = 2 * 12
CALLS = STEPS + 2
"""Of the teacher, for one pair: the steps, the self-check and the pull request."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--concurrent", type=int, nargs="+", default=[16, 100, 500])
    parser.add_argument("--pairs", type=int, default=0, help="default: one per rollout at once, at least 50")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds the teacher takes for an answer")
    parser.add_argument("--served", action="store_true", help="ask it over HTTP, with a ledger")
    parser.add_argument("--only-serve", action="store_true", help="be the server of --served")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.only_serve:
        serve(Counted(SCRIPT, options.latency), MODEL)
        return
    rows = [
        measure(concurrent, options.pairs or max(50, concurrent), options.latency, options.served)
        for concurrent in options.concurrent
    ]
    print(json.dumps(rows, indent=2) if options.json else as_table(rows))


def as_table(rows: list[dict[str, float]]) -> str:
    """The figures with their names as headings."""
    names = list(rows[0])
    lines = [names] + [[f"{row[name]:.4g}" for name in names] for row in rows]
    return "\n".join(
        "  ".join(cell.rjust(len(name)) for cell, name in zip(line, names, strict=True)) for line in lines
    )


def measure(concurrent: int, pairs: int, latency: float, served: bool) -> dict[str, float]:
    """One measurement in a process of its own, so that peaks do not mix."""
    with serving(latency if served else None) as url, multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(run, (concurrent, pairs, latency, url))


@contextmanager
def serving(latency: float | None) -> Iterator[str]:
    """The address of the script behind a server of its own; empty, and no server, without a `latency`."""
    if latency is None:
        yield ""
        return
    command = [sys.executable, __file__, "--only-serve", "--latency", str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


class Counted(ScriptedTeacher):
    """Says what an answer took: a server that does not count leaves every call uncertain in the ledger."""

    async def complete(self, request: ChatRequest) -> Reply:
        reply = await super().complete(request)
        return msgspec.structs.replace(reply, usage=Usage(calls=1, prompt=1000, completion=100))


def run(concurrent: int, pairs: int, latency: float, url: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "repository"
        repository.mkdir()
        (repository / "bench.py").write_text(MODULE)
        config = load_config(GenerateConfig, given={"functions": pairs, "concurrency": concurrent})
        return asyncio.run(generate_pairs(str(repository), Path(folder) / "run", config, latency, url))


@contextmanager
def scripted(out: Path, latency: float, url: str) -> Iterator[Teacher]:
    """The script in this process, or behind `url` and counted in the ledger of the run."""
    if not url:
        yield ScriptedTeacher(SCRIPT, latency)
        return
    with open_ledger(out / LEDGER, SpendingLimits(), FREE) as ledger:
        yield make_teacher(RemoteConfig(base_url=url, model=MODEL), ledger)


async def generate_pairs(
    repository: str, out: Path, config: GenerateConfig, latency: float, url: str
) -> dict[str, float]:
    job = plan_job(repository, out, config)
    ends: list[Pair] = []
    with (
        open_run(out, job.manifest, job.profile, job.tasks) as opened,
        scripted(out, latency, url) as asked,
    ):
        async with (
            asked as teacher,
            make_backend(config.sandbox, job.snapshot.layer) as backend,
        ):
            before, started = usage(), time.monotonic()
            await Shift(job, opened, teacher, backend, ends.append).work()
            after, seconds = usage(), time.monotonic() - started
    assert all(pair.state is State.COMPLETE for pair in ends), {pair.reason for pair in ends}
    steps = len(ends) * STEPS
    rounds = -(-len(ends) // config.concurrency)
    return {
        "concurrent": config.concurrency,
        "pairs": len(ends),
        "steps_per_second": steps / seconds,
        "own_cpu_ms_per_step": 1000 * (after["cpu"] - before["cpu"]) / steps,
        "own_kib_per_rollout": (after["peak_kib"] - before["peak_kib"]) / min(config.concurrency, len(ends)),
        "own_peak_mib": after["peak_kib"] / 1024,
        "share_of_ideal": rounds * CALLS * latency / seconds,
    }


def usage() -> dict[str, Any]:
    spent = resource.getrusage(resource.RUSAGE_SELF)
    return {"cpu": spent.ru_utime + spent.ru_stime, "peak_kib": spent.ru_maxrss}


if __name__ == "__main__":
    main()
