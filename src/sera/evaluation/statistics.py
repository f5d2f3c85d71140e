"""What the outcomes of an evaluation say, and how far they can be trusted.

An outcome is resolved or not, by task and seed. Small sets of tasks give wide intervals; nothing here makes
them look narrower:

- the *resolve rate* of a seed is the share of its tasks that were resolved; a model's is the mean over
  seeds, with the standard deviation between seeds (n - 1) beside it;
- the *interval* of a rate resamples tasks (10,000 draws, 95 %), each with the outcomes of all its seeds,
  since seeds of one task are not independent of each other;
- a *comparison* is paired: only tasks that both models were asked, resampled together;
- McNemar's exact test counts the tasks that only one of them resolved (by the majority of the seeds);
- a difference is *beyond noise* if its interval is clear of 0 and McNemar's p is below 0.05: of a few tasks
  that all change one way every draw says the same, and the interval is clear of 0 for that reason alone;
- the *signal-to-noise ratio* is the difference over the standard deviation between seeds, as in the paper.

Draws are seeded: the same outcomes give the same figures.
"""

import math
import random
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

from sera.records import Record

DRAWS = 10_000
_LEVEL = 0.95
_MOST_P = 0.05
_SMALL = 3.0
"""Points under which an effect deserves doubt whatever the interval says, as the paper has it."""

Outcomes = Mapping[str, Sequence[bool]]
"""Task to whether it was resolved, one entry a seed, the same seeds in the same order for every task."""


class Interval(Record, frozen=True):
    """A range that holds 95 % of the draws, in the unit of what it belongs to."""

    low: float
    high: float


class Rate(Record, frozen=True):
    """How often a model resolves a set of tasks, in percent."""

    tasks: int
    seeds: int
    mean: float
    deviation: float | None
    """Standard deviation between seeds, in points; None with one seed."""
    interval: Interval


class Comparison(Record, frozen=True):
    """A model after training against the same model before, or any two, in points."""

    tasks: int
    difference: float
    """Mean of the second less mean of the first."""
    interval: Interval
    won: int
    """Tasks that only the second resolved, by the majority of its seeds."""
    lost: int
    p_value: float
    """McNemar's exact test, two-sided."""
    signal_to_noise: float | None
    """Absolute difference over the standard deviation between seeds; None where that is unknown or 0."""

    def sentence(self, second: str = "The second") -> str:
        """What may be said of it, in words."""
        low, high = self.interval.low, self.interval.high
        draws = f"95 % of the draws lie between {low:+.1f} and {high:+.1f}"
        counts = f"{self.won} won, {self.lost} lost, McNemar's p {self.p_value:.3f}"
        if low <= 0 <= high:
            return f"The difference of {self.difference:+.1f} points is within noise: {draws}; {counts}."
        told = f"{second} is {abs(self.difference):.1f} points {'better' if self.difference > 0 else 'worse'}"
        if self.p_value >= _MOST_P:
            return f"{told} and {draws}, clear of 0, but too few tasks changed to tell: {counts}."
        doubt = " So small an effect deserves doubt all the same." if abs(self.difference) < _SMALL else ""
        return f"{told}, beyond noise: {draws}; {counts}.{doubt}"


def rate_of(outcomes: Outcomes, seed: int = 0) -> Rate:
    """The resolve rate of one model. Raises `ValueError` without a task, or with unequal numbers of seeds."""
    by_seed = _by_seed(outcomes)
    rows = [outcomes[task] for task in sorted(outcomes)]
    return Rate(
        tasks=len(rows),
        seeds=len(by_seed),
        mean=fmean(by_seed),
        deviation=_deviation(outcomes),
        interval=bootstrap([100 * fmean(row) for row in rows], seed),
    )


def compare(first: Outcomes, second: Outcomes, seed: int = 0) -> Comparison:
    """The second model against the first, on the tasks that both have.

    Raises `ValueError` if there is none, or with unequal numbers of seeds within one of them.
    """
    tasks = sorted(first.keys() & second.keys())
    one, two = ({task: side[task] for task in tasks} for side in (first, second))
    deviations = [value for value in (_deviation(one), _deviation(two)) if value is not None]
    noise = math.sqrt(fmean(value**2 for value in deviations)) if deviations else 0.0
    differences = [100 * (fmean(two[task]) - fmean(one[task])) for task in tasks]
    won = sum(_majority(two[task]) and not _majority(one[task]) for task in tasks)
    lost = sum(_majority(one[task]) and not _majority(two[task]) for task in tasks)
    return Comparison(
        tasks=len(tasks),
        difference=fmean(differences),
        interval=bootstrap(differences, seed),
        won=won,
        lost=lost,
        p_value=mcnemar(won, lost),
        signal_to_noise=abs(fmean(differences)) / noise if noise else None,
    )


def mcnemar(won: int, lost: int) -> float:
    """Two-sided p of the exact test: how often a fair coin splits so many tosses at least as unevenly."""
    tosses, fewer = won + lost, min(won, lost)
    tail = sum(math.comb(tosses, k) for k in range(fewer + 1)) / 2**tosses
    return float(min(1.0, 2 * tail))


def _by_seed(outcomes: Outcomes) -> list[float]:
    """The rate of each seed, in percent."""
    lengths = {len(row) for row in outcomes.values()}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"every task needs the same seeds, at least one: {sorted(lengths) or 'no task'}")
    return [100 * fmean(column) for column in zip(*outcomes.values(), strict=True)]


def _deviation(outcomes: Outcomes) -> float | None:
    rates = _by_seed(outcomes)
    return stdev(rates) if len(rates) > 1 else None


def _majority(row: Sequence[bool]) -> bool:
    return 2 * sum(row) > len(row)


def bootstrap(values: Sequence[float], seed: int = 0) -> Interval:
    """The middle 95 % of the means of resampled values."""
    dice = random.Random(seed)
    means = sorted(fmean(dice.choices(values, k=len(values))) for _ in range(DRAWS))
    cut = int(DRAWS * (1 - _LEVEL) / 2)
    return Interval(low=means[cut], high=means[-1 - cut])
