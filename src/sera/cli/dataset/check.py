"""`sera dataset check`: prove that a dataset trains what will be served."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sera.cli.common import EXIT_FAILED, PATH, IntRange, console, json_option, print_json, table
from sera.cli.dataset.students import reading, student_option

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from sera.datasets.proof import Fault, Report


@click.command(
    epilog="""\b
Examples:
  sera dataset check data --tokenizer tokenizer.json
  sera dataset check data --student smollm2 --tokenizer smollm2/tokenizer.json
  sera dataset check data --student ./Qwen3-8B
  sera dataset check data --tokenizer tokenizer.json --template chat_template.jinja --json
docs/proofs.md says what is proven and how. Exit code 1: something is wrong."""
)
@click.argument("dataset", type=PATH, metavar="DIR")
@student_option
@click.option("--tokenizer", default="", metavar="FILE", help="The student's tokenizer.json.")
@click.option("--template", default="", metavar="FILE", help="Its chat template, or chatml.")
@click.option(
    "--workers", type=IntRange(0), default=0, metavar="N", help="Processes; default: one for each core."
)
@json_option
@click.pass_context
def command(
    context: click.Context,
    /,
    dataset: Path,
    student: str,
    tokenizer: str,
    workers: int,
    as_json: bool,
    **names: str,
) -> None:
    """Prove for every row of the dataset in DIR that the loss covers what the assistant says and nothing
    else, that servers read the recorded calls from it, and that they show the student what it was
    trained on."""
    from sera.datasets.proof import StudentNames, check_dataset

    report = check_dataset(dataset, StudentNames(**names, **reading(student, tokenizer)), workers)
    if as_json:
        print_json(report)
    else:
        _print(dataset, report)
    context.exit(0 if report.ok else EXIT_FAILED)


def _print(dataset: Path, report: "Report") -> None:
    from sera.datasets.proof.proofs import promises

    page = console()
    page.print(f"{dataset}: {report.format} rows for {report.student} with the template {report.template}")
    proofs = [
        (f"{report.passed[name]:,}", f"{report.rows - report.passed[name]:,}", name, promise)
        for name, promise in promises()
    ]
    page.print(table("Proofs", ["rows ok", "not", "proof", "what holds"], proofs, ["rows ok", "not"]))
    for fault in report.faults[:1]:
        _print_fault(page, fault)
    if report.ok:
        page.print("nothing is wrong")
    else:
        kinds = [(f"{number:,}", kind) for kind, number in report.counts.items()]
        page.print(table("Faults", ["times", "kind"], kinds, ["times"]))
    if report.altered:
        page.print(f"the tokenizer changes the text of {report.altered:,} rows: {report.alteration}")
    page.print(
        f"{report.rows:,} rows, {report.tokens:,} tokens, {report.trained:,} of them in the loss; "
        f"{report.seconds:.1f} s, {report.rows / max(report.seconds, 0.001):,.0f} rows/s"
    )


def _print_fault(page: "Console", fault: "Fault") -> None:
    turn = f", message {fault.turn}" if fault.turn is not None else ""
    page.print(f"first fault: {fault.kind}" + (f" in sample {fault.sample}{turn}" if fault.sample else ""))
    page.print(fault.message)
    if fault.tokens:
        page.print("tokens, those in the loss in [brackets], the place behind an arrow:")
        page.print(_tokens(fault))


def _tokens(fault: "Fault") -> "Text":
    from rich.text import Text

    shown = Text()
    for token in fault.tokens:
        text = token.text.replace("\n", "⏎")
        style = "reverse" if token.here else "green" if token.loss else "dim"
        shown.append(" → " if token.here else "")
        shown.append(f"[{text}]" if token.loss else text, style)
    return shown
