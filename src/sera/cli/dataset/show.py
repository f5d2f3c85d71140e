"""`sera dataset show`: a dataset's rows, or one of them with what is trained marked."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sera.cli.common import PATH, IntRange, complain, console, print_json, table
from sera.cli.dataset.students import reading, student_option

if TYPE_CHECKING:
    from sera.datasets.look.find import Numbered
    from sera.datasets.look.view import View
    from sera.datasets.rendering import Student


@click.command(
    epilog="""\b
Examples:
  sera dataset show data
  sera dataset show data 3
  sera dataset show data 9c41 --turns 3-6 --tokens
  sera dataset show data 3 --html sample.html
  sera dataset show data --first 50 --html samples.html
Tokens in the loss are green and stand behind a bar. Without a tokenizer whole messages are marked."""
)
@click.argument("dataset", type=PATH, metavar="DIR")
@click.argument("sample", required=False, metavar="[ID|N]")
@click.option("--turns", metavar="N[-M]", help="Only these turns, counted from 1.")
@click.option("--tokens", is_flag=True, help="Show where one token ends and the next begins.")
@click.option("--raw", is_flag=True, help="The row as it stands in the file, as indented JSON.")
@click.option("--html", "page", type=PATH, metavar="FILE", help="Write an HTML page instead.")
@click.option("--first", type=IntRange(1), default=20, show_default=True, help="Rows where none is named.")
@student_option
@click.option("--tokenizer", default="", metavar="FILE", help="The student's tokenizer.json.")
@click.option("--template", default="", metavar="FILE", help="Its chat template, or chatml.")
def command(
    dataset: Path,
    sample: str | None,
    turns: str | None,
    tokens: bool,
    raw: bool,
    page: Path | None,
    first: int,
    **student: str,
) -> None:
    """List the first rows of the dataset in DIR, or show the row with that number, from 0 (or the beginning
    of that id) as the student sees it, with the tokens of the loss marked."""
    from sera.datasets.look.find import find_row, first_rows

    shown = _range(turns)
    rows = [find_row(dataset, sample)] if sample else list(first_rows(dataset, first))
    if raw:
        for found in rows:
            print_json(found.row)
    elif not sample and page is None:
        _list(rows)
    else:
        from sera.datasets.look.view import make_view

        loaded = _student(**student)
        views = [make_view(found.row, found.number, loaded) for found in rows]
        if page is None:
            _print(views[0], tokens, shown)
        else:
            _write(dataset, page, views, tokens)


def _range(turns: str | None) -> tuple[int, int] | None:
    from sera.errors import UsageError

    if turns is None:
        return None
    first, _, last = turns.partition("-")
    try:
        found = int(first), int(last or first)
    except ValueError:
        found = (0, 0)
    if not 1 <= found[0] <= found[1]:
        raise UsageError(f"--turns {turns}: write one number or two, e.g. --turns 3 or --turns 3-6")
    return found


def _student(**given: str) -> "Student | None":
    """The student; None, with a word about it, if none was asked for and none can be had."""
    from sera.datasets.rendering import load_student
    from sera.errors import UsageError

    try:
        return load_student(**given | reading(given["student"], given["tokenizer"]))
    except UsageError as missing:
        if any(given.values()):
            raise
        complain(f"whole messages are marked, not tokens: {missing}")
        return None


def _list(rows: "list[Numbered]") -> None:
    columns = ["row", "id", "stage", "r", "ratio", "tokens", "category", "function"]
    cells = []
    for number, row in rows:
        place = f"{row.get('path', '')}:{row.get('function', '')}"
        figures = (f"{row.get(key, 0):.2f}" for key in ("recall", "ratio"))
        named = (row.get("category", ""), place)
        cells.append(
            (number, row.get("id", ""), row.get("stage", ""), *figures, row.get("tokens", ""), *named)
        )
    console().print(table("", columns, cells, ["row", "r", "ratio", "tokens"]))


def _print(view: "View", tokens: bool, turns: tuple[int, int] | None) -> None:
    """Through a pager on a terminal, which keeps colours."""
    from sera.datasets.look.terminal import view_text
    from sera.errors import UsageError

    if turns and turns[0] > len(view.turns):
        raise UsageError(f"row {view.number} has {len(view.turns)} turns: --turns begins behind them")
    out = console()
    text = view_text(view, tokens, turns)
    if sys.stdout.isatty():
        with out.pager(styles=True):
            out.print(text)
    else:
        out.print(text)


def _write(dataset: Path, page: Path, views: "list[View]", tokens: bool) -> None:
    from sera.datasets.look.sample_page import sample_page
    from sera.errors import DatasetError, boundary

    with boundary(DatasetError, f"{page} cannot be written"):
        page.write_text(sample_page(dataset.resolve().name, views, tokens), "utf-8")
    click.echo(f"{page}: {len(views)} row{'s' if len(views) > 1 else ''}")
