"""The paper's questions at the scale of a plan, in one command:

    python recipes/experiments/run.py recipes/experiments/cpu.toml --out OUT

Each step is a `sera` command that can be typed by hand; `--dry-run` shows them. What is done is not done
again, and the same command goes on after an interrupt. An arm that fails is reported as failed, with its
reason, and the others go on. OUT/results.jsonl and OUT/results.md are written after every arm.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from figures import write_results
from plan import Cell, Plan, cells
from work import Work

from sera.errors import Halted, SeraError, UsageError
from sera.runs.folder import locked
from sera.settings import load_config
from sera.specialize.run import StageFailed, carry_out
from sera.specialize.stage import Stage


def main() -> int:
    """The exit code: 1 if an arm has failed."""
    options = _options()
    try:
        plan = load_config(Plan, options.plan, options.set)
        work = Work(plan, options.out)
        chosen = _chosen(plan, options.only)
        if options.dry_run:
            for folder, stages in _steps(work, chosen):
                for stage in stages:
                    print(f"{folder}: {stage.line}")
            return 0
        options.out.mkdir(parents=True, exist_ok=True)
        with locked(options.out):
            return _do(work, chosen)
    except Halted as interrupted:
        return _complain(str(interrupted), 130)
    except SeraError as problem:
        return _complain(str(problem), 2 if isinstance(problem, UsageError) else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("plan", type=Path, help="cpu.toml, gpu.toml, or your own")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", action="append", default=[], metavar="ARM", help="may be repeated")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="may be repeated")
    parser.add_argument("--dry-run", action="store_true", help="show the commands, and stop")
    return parser.parse_args()


def _chosen(plan: Plan, only: list[str]) -> list[Cell]:
    """The cells of these arms; the untrained student is always among them, since all are compared with it."""
    if unknown := [arm for arm in only if arm not in plan.arms]:
        raise UsageError(f"there is no arm {unknown[0]!r}: choose {', '.join(plan.arms)}")
    return [cell for cell in cells(plan) if not only or cell.arm in (plan.base, *only)]


def _steps(work: Work, chosen: list[Cell]) -> Iterator[tuple[Path, Iterator[Stage]]]:
    """Everything in order: where records are kept, and stages. Evaluations are the slowest and come last."""
    for name in work.plan.repositories:
        yield work.repository(name), work.of_repository(name)
    for cell in chosen:
        if cell.arm == work.plan.base:
            yield work.place(cell).parent, work.of_measured(cell)
    for cell in chosen:
        yield work.place(cell), work.of_training(cell)
    for cell in chosen:
        if work.is_evaluated(cell.arm):
            yield work.place(cell), work.of_evaluation(cell)


def _do(work: Work, chosen: list[Cell]) -> int:
    failed: set[Path] = set()
    for folder, stages in _steps(work, chosen):
        if folder in failed:
            continue
        try:
            for stage in stages:
                logs = folder / "stages"
                logs.mkdir(parents=True, exist_ok=True)
                carry_out(folder, stage, _tell, logs / f"{stage.name}.log")
        except StageFailed as failure:
            failed.add(folder)
            _tell(str(failure))
        write_results(work)
    _tell(f"results: {work.out / 'results.md'}")
    return int(bool(failed))


def _tell(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def _complain(sentence: str, code: int) -> int:
    print(f"sera: {sentence}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
