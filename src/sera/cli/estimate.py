"""`sera estimate`: what a run will take and yield, before anything is spent."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sera.cli.common import (
    FILE,
    PATH,
    FloatRange,
    IntRange,
    bill,
    complain,
    console,
    duration,
    json_option,
    print_json,
    table,
)

if TYPE_CHECKING:
    from rich.console import Console

    from sera.analysis import Forecast
    from sera.generation.job import GenerateConfig, Job
    from sera.runs import Run
    from sera.teachers import Price

_PRICE_PARTS = (2, 3)
_ROUND = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@click.command(
    epilog="""\b
Examples:
  sera estimate ./my-project --functions 500 --model glm-4.5-air
  sera estimate ./my-project --functions 500 --price 0.60,0.11,2.20 --concurrency 32
  sera estimate ./my-project --functions 5000 --run run"""
)
@click.argument("repo")
@click.option("--functions", type=IntRange(1), metavar="N", help="Functions to sample.")
@click.option("--config", "file", type=FILE, help="Settings in TOML, as for sera generate.")
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="One setting; may be repeated.")
@click.option("--teacher", metavar="rehearsal|URL", help="As for sera generate; nothing is asked there.")
@click.option("--model", metavar="NAME", help="The model, for its price in the shipped table.")
@click.option("--price", "told", metavar="IN,CACHED,OUT", help="Dollars per million tokens; or IN,OUT.")
@click.option("--concurrency", type=IntRange(1), metavar="K", help="Rollouts at work at once.")
@click.option(
    "--seconds-per-call",
    type=FloatRange(0, min_open=True),
    metavar="S",
    help="What a model call takes, its tool included.",
)
@click.option(
    "--run", "tried", type=PATH, metavar="RUN", help="Measure on this run of the repository, e.g. a pilot."
)
@json_option
def command(
    repo: str,
    functions: int | None,
    file: Path | None,
    pairs: tuple[str, ...],
    teacher: str | None,
    model: str | None,
    told: str | None,
    concurrency: int | None,
    seconds_per_call: float | None,
    tried: Path | None,
    as_json: bool,
) -> None:
    """Forecast a run of sera generate over REPO with the same options: cost, time, tokens, disk, yield.

    Every figure comes with an interval and the statement where it comes from: the method's published
    statistics, or with --run what that run's tasks took. Nothing is sent to any teacher.
    """
    from sera.cli.generate import teacher_settings
    from sera.generation.job import GenerateConfig, plan_job
    from sera.runs import read_run
    from sera.settings import load_config
    from sera.teachers import RehearsalConfig

    told_teacher = teacher_settings(teacher, model, file, pairs) if teacher else {}
    given = told_teacher | {"functions": functions, "concurrency": concurrency}
    config = load_config(GenerateConfig, file, pairs, given)
    job = plan_job(repo, None, config)
    if job.notice:
        complain(job.notice)
    run = read_run(tried) if tried else None
    price = _price(told, None if teacher else model, config, run)
    is_rehearsal = isinstance(config.teacher, RehearsalConfig) and not (model or told or run)
    made = forecast_job(job, config.functions, run, price, seconds_per_call, is_rehearsal)
    if as_json:
        print_json(made)
    else:
        _report(repo, job.snapshot.name, made, bool(run), is_rehearsal)


def _report(repo: str, name: str, made: "Forecast", measured: bool, rehearsal: bool) -> None:
    """The forecast, and how to get a better one."""
    from sera.repositories.remotes import redacted

    out = console()
    out.print(f"{name}: {made.functions} functions can be sampled")
    print_forecast(out, made)
    if rehearsal:
        out.print("this is the rehearsal teacher, which is no model and makes no training data; for a model: --model "
                  "NAME, or --price IN,CACHED,OUT")  # fmt: skip
    if not made.price:
        out.print("dollars: the price of the model is not known; give --price IN,CACHED,OUT "
                  "in dollars per million tokens, e.g. --price 0.60,0.11,2.20")  # fmt: skip
    if not measured:
        out.print(f"measured instead of published figures: sera generate {redacted(repo)} --out run "
                  f"--functions {made.tasks} --pilot 10")  # fmt: skip


def forecast_job(
    job: "Job",
    tasks: int,
    run: "Run | None",
    price: "Price | None",
    seconds_per_call: float | None = None,
    rehearsal: bool = False,
) -> "Forecast":
    """The forecast for the first `tasks` tasks of a job, measured on `run` if there is one; else of the
    job's rehearsal teacher, or of a model."""
    import msgspec

    from sera.analysis import Basis, Plan, forecast, measure, published, rehearsed
    from sera.errors import UsageError
    from sera.repositories import index_functions
    from sera.runs import LEDGER, read_ledger
    from sera.teachers import RehearsalConfig

    index = index_functions(job.snapshot.tree, job.config.index)
    plan = Plan(functions=len(index.sampleable), tasks=tasks)
    if run and run.manifest.source["name"] != job.snapshot.name:
        raise UsageError(
            f"{run.path} is a run of {run.manifest.source['name']}, and its tasks say nothing about {job.snapshot.name}"
        )
    teacher, concurrency = job.config.teacher, job.config.concurrency
    basis: Basis
    if run:
        basis = measure(run, {task.id for task in job.tasks})
    elif rehearsal and isinstance(teacher, RehearsalConfig):
        basis, concurrency = rehearsed(teacher.latency), min(concurrency, 2 * len(os.sched_getaffinity(0)))
    else:
        basis = published()
    made = forecast(basis, plan, price, concurrency, seconds_per_call)
    return (
        msgspec.structs.replace(made, billed=read_ledger(run.path / LEDGER, run.proven, price))
        if run
        else made
    )


def _price(
    told: str | None, model: str | None, config: "GenerateConfig", run: "Run | None"
) -> "Price | None":
    """As told, else of the named model, else of the settings; if they name no teacher, of the run's."""
    from sera.generation.job import GenerateConfig
    from sera.settings import convert
    from sera.teachers import RehearsalConfig, price_of
    from sera.teachers.prices import listed_price

    if told:
        return _read_price(told)
    if model:
        return listed_price(model)
    if run and config.teacher == RehearsalConfig():
        config = convert(run.manifest.config, GenerateConfig, f"the settings recorded in {run.path}")
    return price_of(config.teacher)


def _read_price(told: str) -> "Price":
    from sera.teachers import Price

    try:
        numbers = [float(part) for part in told.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in _PRICE_PARTS or not all(0 <= number <= 1_000_000 for number in numbers):
        raise click.BadParameter(
            f"{told!r} is not IN,CACHED,OUT in dollars per million tokens, e.g. 0.60,0.11,2.20",
            param_hint="--price",
        )
    return Price(
        input=numbers[0], cached=numbers[1] if len(numbers) > len(_PRICE_PARTS) else None, output=numbers[-1]
    )


# ── printing ──────────────────────────────────────────────────────────────────────────────────────


def print_forecast(out: "Console", made: "Forecast") -> None:
    """The figures with their sources, for a person."""
    notes: dict[str, int] = {}
    rows = []
    for figure in made.figures:
        note = notes.setdefault(figure.source, len(notes) + 1)
        bounds = [_amount(figure.unit, value) for value in (figure.low, figure.likely, figure.high)]
        done = (
            _amount(figure.unit, figure.already)
            if made.done and figure.unit not in ("hours", "bytes")
            else ""
        )
        rows.append((figure.name, done, *bounds, f"[{note}]"))
    title = f"{made.tasks} tasks, {made.done} of them done, {made.concurrency} at once"
    columns = ["", "already", "low", "likely", "high", "from"]
    out.print(table(title, columns, rows, columns[1:5]))
    rows = []
    for found in made.yields:
        note = notes.setdefault(found.source, len(notes) + 1)
        share = [_amount("share", value) for value in (found.share.low, found.share.likely, found.share.high)]
        pairs = [_amount("pairs", value) for value in (found.pairs.low, found.pairs.likely, found.pairs.high)]
        rows.append(
            (f"r ≥ {found.recall:g}", *pairs, " – ".join(part for part in share if part != "?"), f"[{note}]")
        )
    columns = ["T2 with", "low", "likely", "high", "of all tasks", "from"]
    out.print(table("Yield, before the filters of sera dataset build", columns, rows, columns[1:5]))
    for source, note in notes.items():
        out.print(f"[{note}] {source}")
    if made.billed and made.billed.total.tokens:
        out.print(bill(made.billed, made.price is not None))


def _amount(unit: str, value: float | None) -> str:
    if value is None:
        return "?"
    match unit:
        case "usd":
            return f"${value:,.2f}"
        case "hours":
            return duration(value * 3600)
        case "share":
            return f"{value:.0%}"
        case "pairs":
            return f"{value:,.0f}"
        case "bytes":
            return f"{_brief(value)}B"
        case _:
            return _brief(value).strip()


def _brief(value: float) -> str:
    """Three digits and a letter, with a blank before a unit."""
    for size, letter in _ROUND:
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:.3g} "
