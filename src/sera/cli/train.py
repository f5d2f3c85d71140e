"""`sera train`: train a student on a dataset, and finish its checkpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sera.cli.common import (
    FILE,
    PATH,
    FloatRange,
    console,
    duration,
    json_option,
    plan_option,
    print_json,
    table,
)
from sera.cli.training_progress import TrainingProgress

if TYPE_CHECKING:
    from sera.training import Plan, Request


@click.command(
    epilog="""\b
Examples:
  sera train data --student Qwen/Qwen3-8B --recipe sera-8b --trainer axolotl --out student
  sera train data --student ./Qwen3-8B --recipe lora --out student --plan
  sera train data --student smollm2-135m-instruct --recipe demo-loop --out student
  sera train data --student ./Qwen3-8B --recipe qlora --set device.gpu=h100 --held-out 0.02 --out student
  sera train data --student ./Qwen3-8B --recipe lora --trainer axolotl --validate axo/bin/python --out check
A training that was interrupted goes on with the same command. The checkpoint is OUT/checkpoint; what is
in it, and what is proven of it: docs/training.md."""
)
@click.argument("dataset", type=PATH, metavar="DATASET")
@click.option(
    "--student",
    required=True,
    metavar="MODEL",
    help="A folder, a name on the hub, a GGUF file, or a name of `sera model list`.",
)
@click.option("--out", type=PATH, required=True, metavar="DIR", help="The training's folder.")
@click.option(
    "--trainer",
    default="trl",
    show_default=True,
    metavar="NAME",
    help="trl: in this process. axolotl: in its own environment.",
)
@click.option(
    "--recipe",
    metavar="NAME|FILE",
    help="Settings: sera-32b, sera-8b, sera-8b-ga, lora, qlora, demo-loop, or a TOML file.",
)
@plan_option("Check everything, show what it will take, and stop.")
@click.option(
    "--held-out",
    type=FloatRange(0, 1, max_open=True),
    metavar="SHARE",
    help="Share of the tasks kept to measure the loss on.",
)
@click.option(
    "--tokenizer", default="", metavar="FILE", help="A tokenizer.json in the place of the student's."
)
@click.option("--template", default="", metavar="FILE", help="Chat template; default: the dataset's own.")
@click.option(
    "--harness",
    type=PATH,
    metavar="FILE",
    help="The dataset's run or import, or its harness.json, if the profile is not sera's own.",
)
@click.option(
    "--python", type=FILE, metavar="FILE", help="The Python of Axolotl's environment: train with it now."
)
@click.option(
    "--validate",
    type=FILE,
    metavar="FILE",
    help="The same: only compare what Axolotl reads with what is proven.",
)
@click.option("--gguf", type=click.Choice(["f16", "q8_0"]), help="Write OUT/student.gguf too, and try it.")
@click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="One setting; may be repeated.")
@json_option
def command(
    dataset: Path,
    student: str,
    out: Path,
    trainer: str,
    recipe: str | None,
    only_plan: bool,
    held_out: float | None,
    tokenizer: str,
    template: str,
    harness: Path | None,
    python: Path | None,
    validate: Path | None,
    gguf: str | None,
    pairs: tuple[str, ...],
    as_json: bool,
) -> None:
    """Train a student on the dataset in DATASET.

    Before anything is computed the dataset passes its proofs for this student, and memory, hours and
    dollars are forecast. Rows reach the trainer as tokens and labels that are compared with these proofs.
    """
    from sera.settings import load_config
    from sera.training import Request, TrainConfig
    from sera.training.recipes import find_recipe

    given = {"held_out": held_out, "axolotl.python": python and str(python.absolute())}
    config = load_config(TrainConfig, find_recipe(recipe) if recipe else None, pairs, given)
    request = Request(
        dataset=dataset, student=student, out=out, trainer=trainer, tokenizer=tokenizer,
        template=template, harness=harness, config=config,
    )  # fmt: skip
    if validate:
        _validate(request, validate.absolute())
    elif only_plan:
        _show_plan(request, as_json)
    else:
        _train(request, gguf, as_json)


def _validate(request: "Request", python: Path) -> None:
    from sera.training.axolotl.validate import validate_with

    found = validate_with(request, python)
    console().print(
        f"Axolotl {found.version} takes every one of {found.keys} keys, and reads {found.rows} rows "
        f"({found.tokens:,} tokens, {found.trained:,} in the loss) token by token as they are proven"
    )


def _show_plan(request: "Request", as_json: bool) -> None:
    from sera.training import plan_training
    from sera.training.checks import refuse_unfit

    plan = plan_training(request).plan
    if as_json:
        print_json(plan)
    else:
        print_plan(plan)
    refuse_unfit(plan)


def _train(request: "Request", gguf: str | None, as_json: bool) -> None:
    from sera.training import train_student
    from sera.training.gguf_export import export_gguf

    with TrainingProgress(print_plan) as progress:
        finished = train_student(request, progress)
    file = export_gguf(request.out, gguf) if gguf else None
    if as_json:
        print_json(finished)
        return
    page = console()
    if finished.held_out_before is not None and finished.held_out_after is not None:
        page.print(f"held-out loss: {finished.held_out_before:.4f} → {finished.held_out_after:.4f}")
    page.print(f"checkpoint: {request.out / 'checkpoint'}")
    if file:
        page.print(f"GGUF: {file}")


def print_plan(plan: "Plan") -> None:
    """What a training will take."""
    memory = plan.memory
    page = console()
    rows = [
        ("rows", f"{plan.rows:,}, and {plan.held_out:,} held out"),
        ("tokens of an epoch", f"{plan.tokens:,}, the longest row {plan.longest:,}"),
        ("steps", f"{plan.steps:,}"),
        ("parameters", f"{plan.parameters / 1e6:,.1f} million, {plan.trained_parameters / 1e6:,.1f} trained"),
        (f"memory of each {memory.device}", f"{memory.needs_gb:.1f} of {memory.has_gb:.1f} GB"),
        *((f"  {name}", f"{value:.2f} GB") for name, value in memory.parts.items()),
        ("disk", f"{plan.disk_gb:.1f} GB"),
        ("memory of the machine, to finish", f"{plan.finishing_gb:.1f} GB"),
        ("time", f"{_between(plan, plan.hours, _hours)} at {plan.tokens_per_second:,.0f} tokens/s"),
        ("cost", _between(plan, plan.dollars, "${:,.2f}".format)),
    ]
    page.print(table(f"Training {plan.student} with {plan.trainer}", ["what", "forecast"], rows))
    for assumption in plan.assumptions:
        page.print(f"assumed: {assumption}")


def _hours(hours: float) -> str:
    return duration(hours * 3600)


def _between(plan: "Plan", likely: float, shown: Callable[[float], str]) -> str:
    """What hangs on the hours, with their bounds."""
    if plan.hours_low is None or plan.hours_high is None or not (likely and plan.hours):
        return shown(likely)
    low, high = (likely * hours / plan.hours for hours in (plan.hours_low, plan.hours_high))
    return f"{shown(likely)} ({shown(low)} to {shown(high)})"
