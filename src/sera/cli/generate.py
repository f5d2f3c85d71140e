"""`sera generate`: run the teacher over a repository and record every rollout."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sera.cli.common import EXIT_FAILED, FILE, PATH, complain, console

if TYPE_CHECKING:
    from sera.cli.progress import Finished
    from sera.generation.job import Job
    from sera.runs import Run


@click.command(
    epilog="""\b
Examples:
  sera generate ./my-project --out run --functions 20
  sera generate project-1.0.tar.gz --out run --teacher http://localhost:8000/v1 --model glm-4.5-air
  sera generate ./my-project --out run --set agent.step_limit=60 --set sandbox.memory_mb=4096
The same command once more goes on where the last one stopped. A key for the teacher is read
from the environment variable SERA_API_KEY."""
)
@click.argument("repo")
@click.option(
    "--out", type=PATH, required=True, metavar="RUN", help="The run directory; made if it is missing."
)
@click.option("--config", "file", type=FILE, help="Settings in TOML; see docs/configuration.md.")
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="One setting; may be repeated.")
@click.option("--teacher", metavar="rehearsal|URL", help="The built-in teacher (default), or a base URL.")
@click.option("--model", metavar="NAME", help="The model's name at that URL.")
@click.option("--functions", type=click.IntRange(1), metavar="N", help="Functions to sample.")
@click.option("--concurrency", type=click.IntRange(1), metavar="K", help="Rollouts at work at once.")
@click.option("--seed", type=int, metavar="S", help="Seed of every choice.")
def command(
    repo: str,
    out: Path,
    file: Path | None,
    pairs: tuple[str, ...],
    teacher: str | None,
    model: str | None,
    functions: int | None,
    concurrency: int | None,
    seed: int | None,
) -> None:
    """Run the teacher over functions of REPO and record every rollout in RUN.

    For each function: a rollout from a vague prompt, the teacher's own check of it, an issue text
    written from it, and a second rollout from that text alone. The two patches are then compared.
    """
    from sera.generation.job import GenerateConfig, plan_job
    from sera.runs import open_run
    from sera.settings import load_config

    options = {"functions": functions, "concurrency": concurrency, "seed": seed}
    config = load_config(GenerateConfig, file, pairs, _teacher_settings(teacher, model) | options)
    job = plan_job(repo, out, config)
    with open_run(out, job.manifest, job.profile, job.tasks) as run:
        _work(job, run)
        owed = len(run.owed())
    if owed:
        complain(f"{owed} tasks have failed; `sera status {out}` says why, the same command tries them again")
        raise click.exceptions.Exit(EXIT_FAILED)
    console().print(f"done: {out}. Next: sera status {out}, sera dataset {out} --out DIR")


def _teacher_settings(teacher: str | None, model: str | None) -> dict[str, object]:
    """The settings that `--teacher` and `--model` stand for."""
    if teacher is None:
        return {"teacher.model": model} if model else {}
    if teacher == "rehearsal":
        return {"teacher.kind": "rehearsal"}
    if "://" not in teacher:
        raise click.BadParameter(
            f"{teacher!r} is neither 'rehearsal' nor a URL such as http://localhost:8000/v1",
            param_hint="--teacher",
        )
    if not model:
        raise click.UsageError("--teacher URL needs --model NAME, the name the model is served under")
    return {"teacher.kind": "chat", "teacher.base_url": teacher, "teacher.model": model}


def _work(job: "Job", run: "Run") -> None:
    from sera.cli.progress import progress

    owed = len(run.owed())
    with progress(f"generating from {job.snapshot.name}", len(run.tasks), len(run.tasks) - owed) as finished:
        asyncio.run(_generate(job, run, finished))


async def _generate(job: "Job", run: "Run", finished: "Finished") -> None:
    from sera.engines.local import generate
    from sera.sandboxes import make_backend
    from sera.teachers import make_teacher

    config = job.config
    async with (
        make_teacher(config.teacher) as teacher,
        make_backend(config.sandbox, job.snapshot.layer) as backend,
    ):
        if backend.notice:
            complain(backend.notice)
        await generate(job, run, teacher, backend, finished)
