"""What our own process costs: pairs of scripted 12-step rollouts in real sandboxes, instant teacher.

    python benchmarks/orchestration.py [--concurrent 16 100 500] [--pairs N] [--json]

With `--latency` the share of the ideal rate is what sleeping teachers alone would allow.
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
import tempfile
import time
from pathlib import Path
from typing import Any

from sera.engines.local import Shift
from sera.generation.job import GenerateConfig, plan_job
from sera.records import Pair, State
from sera.runs import open_run
from sera.sandboxes import make_backend
from sera.settings import load_config
from sera.teachers.scripted import ScriptedTeacher, call, say

MODULE = "".join(f"def f{n}(x):\n    y = x + {n}\n    z = y * 2\n    return z\n\n\n" for n in range(50))
FILE = "/testbed/bench.py"
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
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [
        measure(concurrent, options.pairs or max(50, concurrent), options.latency)
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


def measure(concurrent: int, pairs: int, latency: float) -> dict[str, float]:
    """One measurement in a process of its own, so that peaks do not mix."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(run, (concurrent, pairs, latency))


def run(concurrent: int, pairs: int, latency: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "repository"
        repository.mkdir()
        (repository / "bench.py").write_text(MODULE)
        config = load_config(GenerateConfig, given={"functions": pairs, "concurrency": concurrent})
        return asyncio.run(generate_pairs(str(repository), Path(folder) / "run", config, latency))


async def generate_pairs(
    repository: str, out: Path, config: GenerateConfig, latency: float
) -> dict[str, float]:
    job = plan_job(repository, out, config)
    ends: list[Pair] = []
    with open_run(out, job.manifest, job.profile, job.tasks) as opened:
        async with (
            ScriptedTeacher(SCRIPT, latency) as teacher,
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
