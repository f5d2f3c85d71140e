"""Progress of a run: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Protocol, TypeVar

from sera.cli.common import console, counted, duration, tell

_EVERY = 10.0
"""Seconds between two plain lines."""


class Ended(Protocol):
    """The end of a piece of work."""

    @property
    def state(self) -> StrEnum: ...


E = TypeVar("E", bound=Ended)
E_in = TypeVar("E_in", bound=Ended, contravariant=True)
Finished = Callable[[E], None]


class Outlook(Protocol[E_in]):
    """A forecast in words, which learns from every piece of work that ends."""

    def count(self, ended: E_in, /) -> None: ...

    def __str__(self) -> str: ...


@contextmanager
def progress(title: str, total: int, before: int, outlook: Outlook[E]) -> Iterator[Finished[E]]:
    """Show how a run of `total` pieces of work goes, `before` of which were done in earlier runs, and what it
    will come to. Yields what to call with every end."""
    show = _bar if sys.stderr.isatty() else _lines
    with show(title, total, before, outlook) as finished:
        yield finished


@contextmanager
def _bar(title: str, total: int, before: int, outlook: Outlook[E]) -> Iterator[Finished[E]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    states: Counter[str] = Counter()
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[states]}"), TextColumn("{task.fields[outlook]}"),
    )  # fmt: skip
    with Progress(*columns, console=console(stderr=True)) as bar:
        line = bar.add_task(title, total=total, completed=before, states="", outlook=str(outlook))

        def finished(ended: E) -> None:
            states[ended.state] += 1
            outlook.count(ended)
            bar.update(line, advance=1, states=_describe(states), outlook=str(outlook))

        yield finished


@contextmanager
def _lines(title: str, total: int, before: int, outlook: Outlook[E]) -> Iterator[Finished[E]]:
    states: Counter[str] = Counter()
    started = last = time.monotonic()
    tell(f"{title}: {counted(total, 'task')}" + f", {before} of them done before" * bool(before))

    def finished(ended: E) -> None:
        nonlocal last
        states[ended.state] += 1
        outlook.count(ended)
        now, done = time.monotonic(), before + states.total()
        if now - last >= _EVERY or done == total:
            last = now
            left = (now - started) / states.total() * (total - done)
            rest = f", about {duration(left)} left" * (done < total)
            tell(f"{done}/{total}: {_describe(states)}{rest}; {outlook}")

    yield finished


def _describe(states: Counter[str]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
