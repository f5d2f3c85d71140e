"""`sera verify`: recall on two files of predictions."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sera.cli.common import EXIT_FAILED, FILE, FloatRange, console, json_option, print_json, table

if TYPE_CHECKING:
    from sera.generation.verify import Verification


@click.command(
    epilog="""\b
Examples:
  sera verify first/preds.json second/preds.json
  sera verify t1.jsonl t2.jsonl --min 0.5 --json
A file holds instance_id and model_patch: as a JSON object by instance, a JSON list, or JSON Lines
(*.jsonl). With --min the exit code is 1 if an instance is below it or in A alone."""
)
@click.argument("a", type=FILE)
@click.argument("b", type=FILE)
@click.option(
    "--min",
    "least",
    type=FloatRange(0, 1),
    metavar="R",
    help="Lowest r that every instance of A must have.",
)
@json_option
def command(a: Path, b: Path, least: float | None, as_json: bool) -> None:
    """How much of each patch in the predictions A is found again in B.

    A holds the patches of the first rollouts, B those of the second; r is recomputed for every instance
    that both have. See `sera recall` for one pair, line by line.
    """
    from sera.datasets.exchange.predictions import read_predictions
    from sera.generation.verify import verify

    found = verify(read_predictions(a), read_predictions(b))
    if as_json:
        print_json(found)
    else:
        _print(found)
    if least is not None and (
        found.only_first or any(row.agreement.recall < least for row in found.instances)
    ):
        sys.exit(EXIT_FAILED)


def _print(found: "Verification") -> None:
    rows = [
        (
            row.instance,
            f"{row.agreement.recall:.3f}",
            row.verification,
            f"{row.agreement.precision:.3f}",
            f"{row.agreement.f1:.3f}",
            f"{row.agreement.file_recall:.3f}",
            f"{row.agreement.place_recall:.3f}",
            f"{row.agreement.common}/{row.agreement.lines_a}",
            row.agreement.lines_b,
        )
        for row in found.instances
    ]
    columns = ["instance", "r", "", "precision", "F1", "by file", "by place", "found", "lines of B"]
    page = console()
    page.print(table("", columns, rows, [column for column in columns if column not in ("instance", "")]))
    classes = ", ".join(f"{count} {name}" for name, count in found.classes.items())
    means = ", ".join(f"{name} {value:.3f}" for name, value in found.mean.items())
    page.print(f"{len(found.instances)} compared: {classes}" + (f"; means: {means}" if means else ""))
    for name, missing in (("A", found.only_first), ("B", found.only_second)):
        if missing:
            page.print(f"{len(missing)} in {name} alone, in no mean: {_some(missing)}")


def _some(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown
