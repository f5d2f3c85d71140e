"""`sera specialize`: from a repository to a student, and to the evidence for it, in one command."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sera.cli.common import EXIT_INTERRUPTED, FILE, PATH, complain, console, plan_option, table

if TYPE_CHECKING:
    from rich.console import Console

    from sera.specialize.plan import Request


@click.command(
    epilog="""\b
Examples:
  sera specialize ./my-project --out out
  sera specialize ./my-project --out out --student ./Qwen3-8B --recipe lora --set generate.functions=1000 --plan
  sera specialize ./my-project --out out --config loop.toml
  sera specialize ./my-project --out out --config loop.toml --until dataset
  sera specialize ./my-project --out out --config loop.toml --skip tasks,before,after
  sera specialize ./my-project --out out --config loop.toml --only report
The same command goes on where it was stopped, and does again what a changed setting concerns.
A key for the teacher is read from the environment variable SERA_API_KEY."""
)
@click.argument("repo")
@click.option("--out", type=PATH, required=True, metavar="OUT", help="The folder of everything.")
@click.option("--config", "file", type=FILE, help="Settings in TOML: a table for each stage.")
@click.option(
    "--set", "pairs", multiple=True, metavar="STAGE.KEY=VALUE", help="One setting; may be repeated."
)
@click.option("--student", metavar="MODEL", help="The model to train, as sera train takes it.")
@click.option("--recipe", metavar="NAME|FILE", help="Settings of the training, as sera train takes them.")
@click.option(
    "--teacher",
    metavar="rehearsal|local|URL",
    help="The built-in teacher (default), weights on this machine, or a base URL.",
)
@click.option("--model", metavar="NAME", help="The teacher's model.")
@click.option("--skip", metavar="STAGE,…", default="", help="Leave these out, and go on with what is there.")
@click.option("--until", metavar="STAGE", default="", help="The last stage to do.")
@click.option("--only", metavar="STAGE,…", default="", help="Leave all others out.")
@plan_option("Show the plan, and stop.")
def command(
    repo: str,
    out: Path,
    file: Path | None,
    pairs: tuple[str, ...],
    student: str | None,
    recipe: str | None,
    teacher: str | None,
    model: str | None,
    skip: str,
    until: str,
    only: str,
    only_plan: bool,
) -> None:
    """Specialise a student to REPO: prepare, tasks, generate, dataset, evaluate, train, evaluate, report.

    The plan is shown first. Each stage is a command of its own, which can be typed by hand as well, and puts
    what it makes into OUT. What the tasks are made of is kept from generation and from the dataset.
    """
    from sera.cli.generate import teacher_settings
    from sera.errors import Halted
    from sera.specialize.config import load_settings
    from sera.specialize.plan import Request
    from sera.specialize.readiness import refuse_unready
    from sera.specialize.report import write_report
    from sera.specialize.run import specialize

    given: dict[str, object] = {"student": student, "recipe": recipe}
    given |= {
        f"generate.{key}": value
        for key, value in teacher_settings(teacher, model, file, pairs, "generate.").items()
    }
    config, is_trial = load_settings(file, pairs, given)
    request = Request(
        repo=repo,
        out=out,
        config=config,
        repeat=_repeat(repo, out, file, pairs, student, recipe, teacher, model),
        skip=_skipped(skip, only),
        until=until,
    )
    if is_trial:
        complain(
            f"no student is named: this is a trial of the way with {config.student}, which learns the form of calls "
            "and resolves nothing. --student MODEL --recipe NAME train one in earnest"
        )
    _show(request)
    refuse_unready(request)
    if only_plan:
        return
    try:
        specialize(request, lambda: write_report(request), complain)
    except Halted as interrupted:
        complain(str(interrupted))
        raise click.exceptions.Exit(EXIT_INTERRUPTED) from None
    if "report" in request.wanted:
        click.echo(f"report: {out / 'report.html'}")


def _repeat(
    repo: str,
    out: Path,
    file: Path | None,
    pairs: tuple[str, ...],
    student: str | None,
    recipe: str | None,
    teacher: str | None,
    model: str | None,
) -> tuple[str, ...]:
    """The command line without what says how much of it is done."""
    words = ["specialize", repo, "--out", str(out)]
    named = {
        "--config": file,
        "--student": student,
        "--recipe": recipe,
        "--teacher": teacher,
        "--model": model,
    }
    for option, value in named.items():
        words += [option, str(value)] if value is not None else []
    for pair in pairs:
        words += ["--set", pair]
    return tuple(words)


def _skipped(skip: str, only: str) -> frozenset[str]:
    from sera.specialize.plan import NAMES, refuse_unknown

    left_out, kept = ({name.strip() for name in told.split(",") if name.strip()} for told in (skip, only))
    refuse_unknown(left_out | kept)
    return frozenset(left_out | (set(NAMES) - kept if kept else set()))


def _show(request: "Request") -> None:
    """The plan: what, why, where, how much, how it stands; then the command of each stage to be done."""
    from sera.repositories.remotes import redacted
    from sera.specialize.run import outlook

    standing = outlook(request)
    rows = [(one.stage.name, one.stage.why, one.stage.amount, one.stage.out, one.state) for one in standing]
    page = console()
    page.print(
        table(f"The plan for {redacted(request.repo)}", ["stage", "why", "how much", "where", "state"], rows)
    )
    for one in standing:
        if not one.state.startswith("left out") and one.state != "done":
            page.print(f"{one.stage.name}: {one.stage.line}")
            if one.stage.name == "generate":
                _forecast(request, page, going_on=one.state.startswith("goes on"))
    sys.stdout.flush()


def _forecast(request: "Request", page: "Console", going_on: bool) -> None:
    """What a teacher at an endpoint will cost; teachers on this machine cost nothing."""
    from sera.cli.estimate import forecast_job, print_forecast
    from sera.generation.job import plan_job
    from sera.runs import read_run
    from sera.specialize.config import settle
    from sera.specialize.plan import Places
    from sera.teachers import RemoteConfig, price_of

    config, run = settle(request.config).generate, Places(request.out).run
    if isinstance(config.teacher, RemoteConfig):
        job = plan_job(request.repo, None, config)
        begun = read_run(run) if going_on and (run / "run.json").exists() else None
        print_forecast(page, forecast_job(job, config.functions, begun, price_of(config.teacher)))
