"""`sera dataset stats`: a dataset in figures."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sera.cli.common import PATH, console, json_option, print_json, table
from sera.cli.dataset.students import reading, student_option

if TYPE_CHECKING:
    from sera.datasets.look.statistics import Statistics
    from sera.datasets.look.tables import Table
    from sera.datasets.manifest import Manifest
    from sera.datasets.rendering import Student

_BAR = 24
"""Characters of the longest bar."""
_EIGHTHS = " ▏▎▍▌▋▊▉"


@click.command(
    epilog="""\b
Examples:
  sera dataset stats data
  sera dataset stats data --student qwen3 --tokenizer tokenizer.json
  sera dataset stats data --json
  sera dataset stats data --plots figures
--plots needs pip install "sera[plots]". Tokens in the loss are counted with --student or --tokenizer only."""
)
@click.argument("dataset", type=PATH, metavar="DIR")
@click.option("--plots", type=PATH, metavar="OUT", help="Write figures (SVG, PNG) and a page of them there.")
@student_option
@click.option("--tokenizer", default="", metavar="FILE", help="The student's tokenizer.json.")
@click.option("--template", default="", metavar="FILE", help="Its chat template, or chatml.")
@json_option
def command(dataset: Path, plots: Path | None, as_json: bool, **student: str) -> None:
    """Print the figures of the dataset in DIR: lengths, ratios, r, steps, tools, categories, modules, what
    is in the loss, licences, and what the scan found."""
    from sera.datasets.look.statistics import survey
    from sera.datasets.manifest import read_manifest
    from sera.errors import DatasetError, boundary

    manifest = read_manifest(dataset)
    found = survey(dataset, _student(**student))
    statistics = found.result()
    if plots is not None:
        from sera.datasets.look.stats_page import write_plots

        with boundary(DatasetError, f"figures cannot be written to {plots}"):
            write_plots(dataset.resolve().name, found, manifest, plots)
    if as_json:
        print_json(_document(statistics, manifest))
    else:
        _print(statistics, manifest)
        if plots is not None:
            click.echo(f"figures: {plots / 'stats.html'}")


def _student(**given: str) -> "Student | None":
    from sera.datasets.rendering import load_student

    return (
        load_student(**given | reading(given["student"], given["tokenizer"])) if any(given.values()) else None
    )


def _document(statistics: "Statistics", manifest: "Manifest") -> dict[str, object]:
    """The figures, and those of the manifest that stand beside them."""
    return {
        "statistics": statistics,
        "licences": {source.repository: source.licence for source in manifest.sources},
        "tallies": manifest.row_tallies,
        "canaries": manifest.canaries,
        "counts": manifest.counts,
    }


def _print(statistics: "Statistics", manifest: "Manifest") -> None:
    from sera.datasets.look.tables import facts, tables

    page = console()
    page.print(table("Dataset", ("figure", "value"), facts(statistics, manifest), ["value"]))
    for found in tables(statistics, manifest):
        _print_table(found)


def _print_table(found: "Table") -> None:
    head = [*found.head, *([" "] if found.shares else [])]
    rows = [[*row, *([_bar(found.shares[n])] if found.shares else [])] for n, row in enumerate(found.rows)]
    console().print(table(found.title, head, rows, [found.head[n] for n in found.numbers]))


def _bar(share: float) -> str:
    """A bar of blocks, an eighth of a character fine."""
    eighths = round(share * _BAR * 8)
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8]).rstrip()
