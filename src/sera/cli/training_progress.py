"""How a training goes, for a person: loss, tokens a second and time left, a line at a time."""

import sys
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

import click

from sera.cli.common import duration

if TYPE_CHECKING:
    from sera.training import Plan
    from sera.training.contract import Step

_EVERY = 10.0
"""Seconds between lines that go into a file."""
_RECENT = 20
"""Steps that speed and time left are reckoned from."""


class TrainingProgress:
    """A `Progress` on stderr. On a terminal the line of the last step is written over."""

    def __init__(self, show_plan: "Callable[[Plan], None]") -> None:
        self._show_plan = show_plan
        self._steps = 0
        self._recent: deque[tuple[int, float]] = deque(maxlen=_RECENT)
        self._last = 0.0
        self._open = False

    def __enter__(self) -> "TrainingProgress":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        self._end_line()

    def begin(self, plan: "Plan", done: int) -> None:
        """The plan, and from where it goes on."""
        self._steps = plan.steps
        self._show_plan(plan)
        if done:
            click.echo(f"going on after step {done}", err=True)

    def step(self, step: "Step") -> None:
        """One line, or none if the last was just now."""
        if step.held_out_loss is not None:
            self._end_line()
            click.echo(f"step {step.step}: loss on what is held out {step.held_out_loss:.4f}", err=True)
            return
        self._recent.append((step.tokens or 0, step.seconds or 0.0))
        tokens, seconds = (sum(column) for column in zip(*self._recent, strict=True))
        left = seconds / len(self._recent) * (self._steps - step.step)
        line = (
            f"step {step.step}/{self._steps}: loss {step.loss:.4f}, {tokens / max(seconds, 1e-9):,.0f} tokens/s, "
            f"about {duration(left)} left"
        )
        self._write(line, last=step.step >= self._steps)

    def shortened(self, steps: int) -> None:
        """How many steps there is time for."""
        self._end_line()
        click.echo(f"trl.max_hours has time for {steps} of {self._steps} steps", err=True)
        self._steps = steps

    def _write(self, line: str, last: bool) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r\x1b[K{line}", err=True, nl=False)
            self._open = True
        elif last or time.monotonic() - self._last >= _EVERY:
            click.echo(line, err=True)
            self._last = time.monotonic()

    def _end_line(self) -> None:
        if self._open:
            click.echo("", err=True)
            self._open = False
