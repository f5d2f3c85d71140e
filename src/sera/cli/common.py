"""What all commands share: exit codes, the console, JSON output, option helpers."""

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sera.visible import one_line, visible

if TYPE_CHECKING:
    from rich.console import Console, RenderHook
    from rich.table import Table

    from sera.runs.ledger import Amount, Balance

F = TypeVar("F", bound=Callable[..., Any])
EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
PATH = click.Path(path_type=Path)

_FLAWS = 20
"""Places of damage that are told one by one."""
_LARGEST = 10**15
"""The largest number that an option may be, as of settings."""
_PLAIN_WIDTH = 160
"""Columns of a table that goes into a file or a pipe."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document for programs.")


def plan_option(help_: str) -> Callable[[F], F]:
    """The flag of every command that can show what it would do, and stop."""
    return click.option("--plan", "--dry-run", "only_plan", is_flag=True, help=help_)


leave_out_option = click.option(
    "--leave-out",
    multiple=True,
    metavar="GLOB",
    help="Files that are no part of the snapshot, such as data; may be repeated.",
)


def sampling_options(command: Any) -> Any:
    """`--include` and `--exclude`, of commands that sample."""
    for name, text in (
        ("exclude", "Sample no function from these files"),
        ("include", "Sample from these files only"),
    ):
        command = click.option(f"--{name}", multiple=True, metavar="GLOB", help=f"{text}; may be repeated.")(
            command
        )
    return command


class IntRange(click.IntRange):
    """Whole numbers, none beyond all use."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if abs(number) > _LARGEST:
            self.fail(f"a number up to {_LARGEST:.0e} is needed", param, ctx)
        return number


class FloatRange(click.FloatRange):
    """Numbers, none without end."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not abs(number) <= _LARGEST:
            self.fail(f"{number} is no number that can be reckoned with", param, ctx)
        return number


def complain(sentence: str) -> None:
    """One line on stderr, in the form of all other errors."""
    tell(f"sera: {sentence}")


def tell(line: str) -> None:
    """A line on stderr."""
    click.echo(visible(_set_in(line)), err=True)


def _set_in(text: str) -> str:
    """What follows a line break in it, as in a name or a complaint of strangers, never looks like a line of ours."""
    return re.sub(r"\n(?=\S)", "\n  ", text)


def print_json(value: object) -> None:
    """Print a record or plain data as indented JSON, with escapes for all letters beyond ASCII where one of
    them would not be seen."""
    import msgspec

    text = msgspec.json.format(msgspec.json.encode(value, enc_hook=str)).decode()
    click.echo(text if visible(text) == text else json.dumps(json.loads(text), indent=2))


def console(stderr: bool = False) -> "Console":
    """The console for what a person reads: colours and boxes on a terminal, plain text elsewhere. Text is
    shown as it stands: nothing in it is markup, what would steer the terminal is made visible, and a plain
    text's further lines are set in."""
    from rich.console import Console

    class Page(Console):
        def print(self, *objects: Any, **options: Any) -> None:
            super().print(*(_set_in(one) if isinstance(one, str) else one for one in objects), **options)

    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    made = Page(
        stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=not terminal,
        width=None if terminal else _PLAIN_WIDTH,
    )  # fmt: skip
    made.push_render_hook(_shown_plainly())
    return made


def _shown_plainly() -> "RenderHook":
    from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
    from rich.segment import Segment

    class Plain:
        def __init__(self, within: ConsoleRenderable) -> None:
            self._within = within

        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            for segment in console.render(self._within, options):
                yield segment if segment.control else Segment(visible(segment.text), segment.style)

    class Plainly(RenderHook):
        def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
            return [Plain(one) for one in renderables]

    return Plainly()


def table(
    title: str, columns: Iterable[str], rows: Iterable[Iterable[Any]], numbers: Iterable[str] = ()
) -> "Table":
    """A plain table; columns named in `numbers` are right-aligned."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    right = set(numbers)
    result = Table(
        title=one_line(title) or None,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for column in columns:
        whole = column == "id"  # one that is broken over two lines cannot be copied
        result.add_column(
            column, justify="right" if column in right else "left", overflow="fold", no_wrap=whole
        )
    for row in rows:
        result.add_row(*(cell if isinstance(cell, Text) else Text(one_line(str(cell))) for cell in row))
    return result


def bill(spent: "Balance", priced: bool = True) -> str:
    """What a run has spent, in a line or two; in tokens alone if nobody has said what they cost."""

    def sum_of(amount: "Amount") -> str:
        return f"${amount.usd:.2f}" if priced or amount.nano else f"{amount.tokens:,} tokens"

    told = (
        f"spent: {sum_of(spent.settled)} as billed, and at most {sum_of(spent.uncertain)} more for "
        "requests that were broken off"
    )
    if spent.reserved.tokens:
        told += f"; {sum_of(spent.reserved)} reserved for requests in flight"
    if not priced and not spent.total.nano:
        told += "\nthe price of the model is not known, so no dollars are counted: --set teacher.price.input=… says it"
    if spent.lost.tokens or spent.lost.nano:
        told += f"\n{_lost(spent)} are counted at the most for lines of the ledger that are damaged or lost"
    for flaw in spent.flaws:
        told += f"\n{flaw}"
    if spent.uncounted:
        told += (
            f"\n{counted(spent.uncounted, 'answer')} came without a count of tokens that can be true, and "
            f"{'counts' if spent.uncounted == 1 else 'count'} at the most that the request may have cost"
        )
    if spent.overruns:
        told += (
            f"\n{counted(spent.overruns, 'request')} cost more than the most that was reckoned with: the price is "
            "wrong, or the server counts otherwise"
        )
    return told


def tell_flaws(flaws: Sequence[str], spent: "Balance | None" = None) -> None:
    """Say what is wrong with the records of a folder, line by line up to twenty."""
    told = [*flaws, *(spent.flaws if spent else ())]
    for flaw in told[:_FLAWS]:
        complain(flaw)
    if len(told) > _FLAWS:
        complain(f"and {len(told) - _FLAWS:,} places more")
    if spent and spent.lost.tokens:
        complain(f"{_lost(spent)} are counted at the most for what the ledger has lost")


def _lost(spent: "Balance") -> str:
    return f"${spent.lost.usd:.2f} and " * bool(spent.total.nano) + f"{spent.lost.tokens:,} tokens"


def counted(number: int, noun: str) -> str:
    """`1 task`, `2 tasks`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
