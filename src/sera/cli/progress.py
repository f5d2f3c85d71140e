"""Progress of a run: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from sera.cli.common import duration
from sera.records import Pair, State

_EVERY = 10.0
"""Seconds between two plain lines."""

Finished = Callable[[Pair], None]


@contextmanager
def progress(title: str, total: int, before: int) -> Iterator[Finished]:
    """Show how a run of `total` tasks goes, `before` of which were done in earlier runs. Yields what
    to call with every pair."""
    show = _bar if sys.stderr.isatty() else _lines
    with show(title, total, before) as finished:
        yield finished


@contextmanager
def _bar(title: str, total: int, before: int) -> Iterator[Finished]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    states: Counter[State] = Counter()
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[states]}"),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        line = bar.add_task(title, total=total, completed=before, states="")

        def finished(pair: Pair) -> None:
            states[pair.state] += 1
            bar.update(line, advance=1, states=_describe(states))

        yield finished


@contextmanager
def _lines(title: str, total: int, before: int) -> Iterator[Finished]:
    states: Counter[State] = Counter()
    started = last = time.monotonic()
    click.echo(f"{title}: {total} tasks" + f", {before} of them done before" * bool(before), err=True)

    def finished(pair: Pair) -> None:
        nonlocal last
        states[pair.state] += 1
        now, done = time.monotonic(), before + states.total()
        if now - last >= _EVERY or done == total:
            last = now
            left = (now - started) / states.total() * (total - done)
            rest = f", about {duration(left)} left" * (done < total)
            click.echo(f"{done}/{total}: {_describe(states)}{rest}", err=True)

    yield finished


def _describe(states: Counter[State]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
