"""`sera generate`: run the teacher over a repository and record every rollout."""

import asyncio
import shlex
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sera.cli.common import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    FILE,
    PATH,
    FloatRange,
    IntRange,
    complain,
    console,
    leave_out_option,
    sampling_options,
    tell_flaws,
)
from sera.cli.interrupts import INTERRUPTED, interruptible

if TYPE_CHECKING:
    from sera.cli.progress import Finished
    from sera.generation.job import GenerateConfig, Job
    from sera.records import Pair
    from sera.runs import Run
    from sera.teachers import Waits


@click.command(
    epilog="""\b
Examples:
  sera generate ./my-project --out run --functions 20
  sera generate project-1.0.tar.gz --out run --teacher http://localhost:8000/v1 --model glm-4.5-air
  sera generate ./my-project --out run --set agent.step_limit=60 --max-usd 20
The same command once more goes on where the last one stopped. A key for the teacher is read
from the environment variable SERA_API_KEY."""
)
@click.argument("repo")
@click.option(
    "--out", type=PATH, required=True, metavar="RUN", help="The run directory; made if it is missing."
)
@click.option("--config", "file", type=FILE, help="Settings in TOML, or another run's run.json.")
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="One setting; may be repeated.")
@click.option(
    "--teacher",
    metavar="rehearsal|local|URL",
    help="The built-in teacher (default), weights on this machine, or a base URL.",
)
@click.option("--model", metavar="NAME", help="The model's name at that URL, or the weights' name or path.")
@click.option("--environment", metavar="auto|none|PATH", help="What sera prepare has made (default), or not.")
@click.option(
    "--held-out", type=FILE, metavar="LIST", help="Functions kept for an evaluation: TASKS/held_out.txt."
)
@sampling_options
@leave_out_option
@click.option("--functions", type=IntRange(1), metavar="N", help="Functions to sample.  [default: 100]")
@click.option("--concurrency", type=IntRange(1), metavar="K", help="Rollouts at work at once.  [default: 16]")
@click.option("--seed", type=int, metavar="S", help="Seed of every choice.  [default: 0]")
@click.option("--max-usd", type=FloatRange(0, min_open=True), help="Dollars the run may cost in all.")
@click.option("--max-tokens", type=IntRange(1), help="Tokens the run may use in all.")
@click.option("--max-hours", type=FloatRange(0, min_open=True), help="Hours the run may work in all.")
@click.option(
    "--stop-below",
    type=FloatRange(0, 1),
    metavar="SHARE",
    help="Stop when fewer of the ended tasks gave a pair, from 20 on; 0: never.  [default: 0.02]",
)
@click.option(
    "--pilot",
    type=IntRange(2),
    metavar="P",
    help="Do only the first P tasks, and forecast the rest from them.",
)
def command(
    repo: str,
    out: Path,
    file: Path | None,
    pairs: tuple[str, ...],
    teacher: str | None,
    model: str | None,
    environment: str | None,
    held_out: Path | None,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    leave_out: tuple[str, ...],
    pilot: int | None,
    **numbers: float | None,
) -> None:
    """Run the teacher over functions of REPO and record every rollout in RUN.

    For each function: a rollout from a vague prompt, the teacher's own check of it, an issue text
    written from it, and a second rollout from that text alone. The two patches are then compared.
    """
    import msgspec

    from sera.generation.job import GenerateConfig, plan_job
    from sera.repositories.held_out import read_held_out
    from sera.runs import open_run
    from sera.runs.run import planned
    from sera.runs.summary import why_no_pair
    from sera.sandboxes.protections import require
    from sera.settings import load_config

    listed: dict[str, object] = {
        "index.held_out": list(read_held_out(held_out)) if held_out else None,
        "index.include": list(include) or None,
        "index.exclude": list(exclude) or None,
        "leave_out": list(leave_out) or None,
    }
    limits = {f"limits.{name}" if name.startswith("max_") else name: value for name, value in numbers.items()}
    config = load_config(
        GenerateConfig,
        file,
        pairs,
        teacher_settings(teacher, model, file, pairs) | limits | listed | {"environment": environment},
    )
    require(config.sandbox)
    wanted = config.functions
    job = plan_job(repo, out, msgspec.structs.replace(config, functions=min(pilot or wanted, wanted)))
    before = planned(out)
    if not before:
        _say_environment(job, repo)
    if job.notice:
        complain(job.notice)
    if len(job.tasks) < before:
        complain(
            f"the plan of {out} had {before} tasks and has {len(job.tasks)} from now on; nothing that was done is "
            f"lost, and --functions {before} brings the others back"
        )
    with open_run(out, job.manifest, job.profile, job.tasks) as run:
        run.orders.begin()
        halted = _work(job, run)
        owed, no_pair = len(run.owed()), why_no_pair(run)
    if halted:
        complain(
            f"{halted}; everything so far is saved, and the same command goes on with the {owed} tasks left"
        )
    elif owed:
        complain(
            f"{owed} tasks have failed; `sera status {shlex.quote(str(out))}` says why, the same command tries them again"
        )
    if owed:
        raise click.exceptions.Exit(EXIT_INTERRUPTED if halted == INTERRUPTED else EXIT_FAILED)
    is_part = bool(pilot and pilot < wanted)
    if is_part:
        _forecast(job, run, wanted)
    if no_pair:
        complain(
            f"no task came to a pair ({no_pair}), so there is no T2 to train on: `sera show {shlex.quote(str(out))}` shows the "
            "rollouts"
        )
        raise click.exceptions.Exit(EXIT_FAILED)
    if not is_part:
        again = shlex.quote(str(out))
        console().print(f"done: {out}. Next: sera status {again}, sera dataset build {again} --out DIR")


def _say_environment(job: "Job", repo: str) -> None:
    from sera.environments.choosing import why_none
    from sera.repositories.remotes import redacted
    from sera.sandboxes import NamespacesConfig

    missing = job.environment is None and job.config.environment == "auto"
    words = [redacted(repo), *(word for glob in job.config.leave_out for word in ("--leave-out", glob))]
    if missing and isinstance(job.config.sandbox, NamespacesConfig):
        why = why_none(job.snapshot, job.config.sandbox)
        complain(
            f"{why}: commands see the Python that runs sera, without the "
            f"project's dependencies. `sera prepare {shlex.join(words)}` makes one, for new runs"
        )


def _forecast(job: "Job", run: "Run", wanted: int) -> None:
    """Print what the whole plan will come to by the tasks of a pilot."""
    from sera.cli.estimate import forecast_job, print_forecast
    from sera.teachers import price_of

    out = console()
    print_forecast(out, forecast_job(job, wanted, run, price_of(job.config.teacher)))
    out.print(f"the pilot is done: {run.path}. The same command without --pilot goes on from it, and does "
              f"none of its {len(job.tasks)} tasks again")  # fmt: skip


def teacher_settings(
    teacher: str | None, model: str | None, file: Path | None, pairs: Iterable[str], table: str = ""
) -> dict[str, object]:
    """The settings that `--teacher` and `--model` stand for, the latter alone beside a teacher of `file` or
    `pairs`."""
    if teacher is None:
        if model and not file and not any(pair.startswith(f"{table}teacher") for pair in pairs):
            raise click.UsageError(
                f"--model {model} needs --teacher: `local` for weights on this machine, or the URL of the server "
                "that has the model"
            )
        return {"teacher.model": model} if model else {}
    if teacher == "rehearsal":
        return {"teacher.kind": "rehearsal"}
    if teacher != "local" and "://" not in teacher:
        raise click.BadParameter(
            f"{teacher!r} is neither 'rehearsal', 'local' nor a URL such as http://localhost:8000/v1",
            param_hint="--teacher",
        )
    if not model:
        raise click.UsageError(
            "--teacher local needs --model NAME, one that `sera model list` shows, or a path"
            if teacher == "local"
            else "--teacher URL needs --model NAME, the name the model is served under"
        )
    if teacher == "local":
        return {"teacher.kind": "local", "teacher.model": model}
    return {"teacher.kind": "chat", "teacher.base_url": teacher, "teacher.model": model}


def _work(job: "Job", run: "Run") -> str:
    from sera.analysis import Outlook
    from sera.cli.progress import progress
    from sera.teachers import Waits, price_of

    total, owed = len(run.tasks), len(run.owed())
    outlook, waits = Outlook(run, price_of(job.config.teacher)), Waits()
    with progress(f"generating from {job.snapshot.name}", total, total - owed, outlook, waits) as finished:
        try:
            return asyncio.run(_generate(job, run, finished, waits))
        except asyncio.CancelledError:
            return INTERRUPTED


async def _generate(job: "Job", run: "Run", finished: "Finished[Pair]", waits: "Waits") -> str:
    """Work off the run; why it was ended early, or nothing. One that owes nothing asks nobody anything."""
    from sera.cli.first_check import first_check
    from sera.engines.local import Shift
    from sera.runs import LEDGER, open_ledger
    from sera.sandboxes import make_backend
    from sera.teachers import make_teacher, price_of

    config = job.config
    with open_ledger(run.path / LEDGER, config.limits, price_of(config.teacher), run.proven) as ledger:
        tell_flaws(run.flaws, ledger.summary())
        if not run.owed():
            return ""
        teacher = make_teacher(config.teacher, ledger if _is_metered(config) else None, waits)
        async with teacher, make_backend(job.sandbox, job.layer) as backend:
            if backend.notice:
                complain(backend.notice)
            shift = Shift(job, run, teacher, backend, finished, ledger, waits)
            with interruptible(shift):
                await shift.work(partial(first_check, config.teacher, teacher, run.profile, True))
            return shift.halted


def _is_metered(config: "GenerateConfig") -> bool:
    """Teachers on this machine cost nothing: their calls are counted only where a limit is to be tried."""
    from sera.runs import SpendingLimits
    from sera.teachers import RemoteConfig

    return isinstance(config.teacher, RemoteConfig) or config.limits != SpendingLimits()
