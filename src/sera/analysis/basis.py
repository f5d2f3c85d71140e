"""What a forecast rests on: how much one task takes, and how many tasks yield what.

A `Basis` answers for any number of tasks and any measure of one task; `Measured` knows tasks that were
done, `Published` (in its own module) what others have reported.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from sera.analysis import interval
from sera.analysis.interval import Interval
from sera.errors import UsageError
from sera.records import Record

THRESHOLDS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Recalls from which a T2 counts. 0: every T2 that was submitted; 1: hard-verified."""
_LEAST = 2


class Spent(Record, frozen=True):
    """What one task took from beginning to end, all its attempts and questions together."""

    trajectories: float
    calls: float
    cached: float
    """Prompt tokens that the server had in its cache."""
    fresh: float
    """Prompt tokens that it had not."""
    output: float
    """Tokens of answers, reasoning included."""
    seconds: float
    """Time that one worker was busy with it."""
    run_bytes: float
    """Of the run directory."""
    row_bytes: float
    """Of the task's T2 as a row of a dataset; 0 if it has none."""


Use = Callable[[Spent], float]
"""A measure of one task."""


class Basis(Protocol):
    """Statistics of tasks."""

    @property
    def done(self) -> tuple[Spent, ...]:
        """Tasks of the plan that are done already, and need not be paid again."""
        ...

    def total(self, use: Use, tasks: int) -> Interval:
        """Of a measure over a plan of that many tasks, those done included."""
        ...

    def longest(self, use: Use) -> float:
        """The most that one task is known or assumed to take."""
        ...

    def pairs(self, threshold: float, tasks: int) -> tuple[Interval, Interval]:
        """(share, number) of tasks with a T2 whose recall is at least `threshold`."""
        ...

    def source(self, of: str) -> str:
        """Where `work`, `time`, `disk` or `yield` comes from."""
        ...


class Measured:
    """Tasks that were done. `done` of them, by position, belong to the plan that is forecast."""

    def __init__(
        self, spent: Sequence[Spent], recalls: Sequence[float | None], included: Sequence[bool], name: str
    ) -> None:
        if len(spent) < _LEAST:
            raise UsageError(
                f"{name} has {len(spent)} tasks that have ended; a forecast needs {_LEAST}: let it do more"
            )
        self._spent, self._name = spent, name
        self._recalls = recalls
        self._included = [n for n, inside in enumerate(included) if inside]

    @property
    def done(self) -> tuple[Spent, ...]:
        """Those measured tasks that the plan has too."""
        return tuple(self._spent[n] for n in self._included)

    def total(self, use: Use, tasks: int) -> Interval:
        """What the done ones took, and as many more as are missing."""
        known = sum(map(use, self.done))
        return interval.total(
            [use(spent) for spent in self._spent], known, max(tasks - len(self._included), 0)
        )

    def longest(self, use: Use) -> float:
        """The most among the measured."""
        return max(map(use, self._spent))

    def pairs(self, threshold: float, tasks: int) -> tuple[Interval, Interval]:
        """Wilson's interval of the share, for the tasks not done yet."""
        reached = [recall is not None and recall >= threshold for recall in self._recalls]
        found = interval.share(sum(reached), len(reached))
        known, rest = sum(reached[n] for n in self._included), self._missing(tasks)
        likely = None if found.likely is None else known + rest * found.likely
        return found, Interval(low=known + rest * found.low, likely=likely, high=known + rest * found.high)

    def source(self, of: str) -> str:
        """The run, and the method of the interval."""
        method = "Wilson's interval" if of == "yield" else "bootstrap interval"
        return f"measured on {len(self._spent)} tasks of {self._name}; {method}"

    def _missing(self, tasks: int) -> int:
        return max(tasks - len(self._included), 0)
