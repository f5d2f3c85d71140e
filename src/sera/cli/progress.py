"""Progress of a run: a bar on a terminal, a line now and then elsewhere."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeVar

from sera.cli.common import console, counted, duration, tell

if TYPE_CHECKING:
    from rich.console import RenderableType

_EVERY, _AGAIN, _LOOKS = 10.0, 60.0, 1.0
"""Seconds between two plain lines, between two that say the same, and between two looks at what is the matter."""
_TITLE, _BAR = 30, 18
"""Columns at most, so that all of the bar's line fits into 80."""


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
def progress(
    title: str, total: int, before: int, outlook: Outlook[E], waits: object = ""
) -> Iterator[Finished[E]]:
    """Show how a run of `total` pieces of work goes, `before` of which were done in earlier runs, what it will
    come to, and by `str(waits)`, looked at again and again, what is the matter. Yields what to call with every
    end."""
    show = _bar if sys.stderr.isatty() else _lines
    with show(title, total, before, outlook, waits) as finished:
        yield finished


@contextmanager
def telling(waits: object) -> Iterator[None]:
    """Say by lines what is the matter, as long as something is."""
    over = threading.Event()

    def watch() -> None:
        told, last = "", -_AGAIN
        while not over.wait(_LOOKS):
            said, now = str(waits), time.monotonic()
            if said and now - last >= (_EVERY if said != told else _AGAIN):
                told, last = said, now
                tell(said)

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()


@contextmanager
def _bar(title: str, total: int, before: int, outlook: Outlook[E], waits: object) -> Iterator[Finished[E]]:
    """A bar that fits into 80 columns, and under it what may be long."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column
    from rich.text import Text

    states, said = Counter[str](), ("", str(outlook))

    class Board(Progress):
        def get_renderables(self) -> "Iterable[RenderableType]":  # called by a thread of its own
            yield self.make_tasks_table(self.tasks)
            yield from (Text(f"  {line}") for line in (*said, str(waits)) if line)

    name = Column(no_wrap=True, overflow="ellipsis", max_width=_TITLE)
    columns = (
        TextColumn("{task.description}", markup=False, table_column=name), BarColumn(bar_width=_BAR),
        MofNCompleteColumn(), TaskProgressColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Board(*columns, console=console(stderr=True), refresh_per_second=4) as bar:
        line = bar.add_task(title, total=total, completed=before)

        def finished(ended: E) -> None:
            nonlocal said
            states[ended.state] += 1
            outlook.count(ended)
            said = _describe(states), str(outlook)
            bar.advance(line)

        yield finished


@contextmanager
def _lines(title: str, total: int, before: int, outlook: Outlook[E], waits: object) -> Iterator[Finished[E]]:
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

    with telling(waits):
        yield finished


def _describe(states: Counter[str]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
