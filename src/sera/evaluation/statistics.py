"""What the outcomes of an evaluation say, and how far they can be trusted.

An outcome is resolved or not, by task and seed. Small sets of tasks give wide intervals; nothing here makes
them look narrower:

- the *resolve rate* of a seed is the share of its tasks that were resolved; a model's is the mean over
  seeds, with the standard deviation between seeds (n - 1) beside it;
- the *interval* of a rate is Wilson's (1927), of as many independent trials as the outcomes are worth: the
  seeds of one task are not independent of each other (Kish's design effect; Korn and Graubard 1998). It has
  a width at 0 of n and at n of n too;
- a *comparison* is paired: only tasks that both models were asked. A task is won or lost if the second model
  resolved it in a larger or smaller share of its seeds;
- its *interval* is that of Bonett and Price (2012), on the differences of those shares;
- its *p* is that of the sign-flip permutation test on the same differences, worked out exactly: how often
  they would add up to as much if it were a coin's toss for each task which model is which. With one seed
  this is McNemar's exact test;
- a difference is *beyond noise* if its interval is clear of 0 and p is below 0.05;
- the *signal-to-noise ratio* is the difference over the standard deviation between seeds, as in the paper.

How often the intervals hold the truth and how often the test errs is measured in
`tests/evaluation/test_statistics.py`; docs/evaluation.md has the figures.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import NormalDist, fmean, stdev

from sera.analysis import interval as binomial
from sera.records import Record

_Z = NormalDist().inv_cdf(0.975)
_MOST_P = 0.05
_SMALL = 3.0
"""Points under which an effect deserves doubt whatever the interval says, as the paper has it."""
_ALIKE, _ALIKE_WEIGHT = 0.7, 2.0
"""How alike the seeds of one task are held to be before any was seen (0: independent, 1: always the same),
and how many tasks of rate 1/2 weigh as much as that. Chosen by simulation: see docs/evaluation.md."""

Outcomes = Mapping[str, Sequence[bool]]
"""Task to whether it was resolved, one entry a seed, the same seeds in the same order for every task."""


class Interval(Record, frozen=True):
    """Holds the truth in 95 % of evaluations like this one; in the unit of what it belongs to."""

    low: float
    high: float


def told(percent: float, interval: Interval | None) -> str:
    """A share in percent with what it is worth."""
    between = f" (95 % interval {interval.low:.1f} to {interval.high:.1f})" if interval else ""
    return f"{percent:.1f} %{between}"


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
    """Tasks that the second resolved in a larger share of its seeds."""
    lost: int
    """In a smaller share."""
    p_value: float
    """Sign-flip permutation test, two-sided; with one seed McNemar's exact test."""
    signal_to_noise: float | None
    """Absolute difference over the standard deviation between seeds; None where that is unknown or 0."""

    def sentence(self, second: str = "The second") -> str:
        """What may be said of it, in words."""
        low, high = self.interval.low, self.interval.high
        sure = f"95 % interval {low:+.1f} to {high:+.1f}"
        counts = f"{self.won} won, {self.lost} lost, p {self.p_value:.3f}"
        if low <= 0 <= high:
            return f"The difference of {self.difference:+.1f} points is within noise: {sure}; {counts}."
        told = f"{second} is {abs(self.difference):.1f} points {'better' if self.difference > 0 else 'worse'}"
        if self.p_value >= _MOST_P:
            return f"{told} ({sure}), but too few tasks changed to tell: {counts}."
        doubt = " So small an effect deserves doubt all the same." if abs(self.difference) < _SMALL else ""
        return f"{told}, beyond noise: {sure}; {counts}.{doubt}"


def rate_of(outcomes: Outcomes) -> Rate:
    """The resolve rate of one model. Raises `ValueError` without a task, or with unequal numbers of seeds."""
    by_seed = _by_seed(outcomes)
    mean, worth = fmean(by_seed) / 100, _independent_trials(outcomes)
    found = binomial.share(mean * worth, worth)
    return Rate(
        tasks=len(outcomes),
        seeds=len(by_seed),
        mean=100 * mean,
        deviation=_deviation(outcomes),
        interval=Interval(low=100 * found.low, high=100 * found.high),
    )


def clustered(hits: Sequence[int], trials: Sequence[int]) -> Interval | None:
    """Of a share of trials that come in clusters, such as the answers of a task's rollouts, in percent: as
    Wilson's of as many independent trials as they are worth. None without a trial."""
    total, count = sum(trials), sum(size > 0 for size in trials)
    if not total:
        return None
    mean, size = sum(hits) / total, sum(one**2 for one in trials) / total
    spread, weight = mean * (1 - mean), 4 * count * mean * (1 - mean)
    seen = 0.0
    if spread and count > 1 and size > 1:
        apart = math.fsum((hit - mean * one) ** 2 for hit, one in zip(hits, trials, strict=True))
        seen = (count / (count - 1) * apart / total / spread - 1) / (size - 1)
    worth = total / (1 + (size - 1) * _alike(seen, weight))
    found = binomial.share(mean * worth, worth)
    return Interval(low=100 * found.low, high=100 * found.high)


def compare(first: Outcomes, second: Outcomes) -> Comparison:
    """The second model against the first, on the tasks that both have.

    Raises `ValueError` if there is none, or with unequal numbers of seeds within one of them.
    """
    tasks = sorted(first.keys() & second.keys())
    one, two = ({task: side[task] for task in tasks} for side in (first, second))
    seeds = len(_by_seed(one)), len(_by_seed(two))
    deviations = [value for value in (_deviation(one), _deviation(two)) if value is not None]
    noise = math.sqrt(fmean(value**2 for value in deviations)) if deviations else 0.0
    unit = math.lcm(*seeds)
    apart = [sum(two[task]) * unit // seeds[1] - sum(one[task]) * unit // seeds[0] for task in tasks]
    difference = 100 * fmean(apart) / unit
    return Comparison(
        tasks=len(tasks),
        difference=difference,
        interval=_paired_interval([step / unit for step in apart], seeds),
        won=sum(step > 0 for step in apart),
        lost=sum(step < 0 for step in apart),
        p_value=sign_flip(apart),
        signal_to_noise=abs(difference) / noise if noise else None,
    )


def sign_flip(differences: Sequence[int]) -> float:
    """Two-sided p: how often the sum is at least as far from 0 when each difference has a coin's sign.

    Exact: the distribution of the sum is worked out step by step, in time of the number of differences times
    the sum of their sizes.
    """
    chances: dict[int, float] = {0: 1.0}
    for step in filter(None, map(abs, differences)):
        then: dict[int, float] = defaultdict(float)
        for total, chance in chances.items():
            then[total + step] += chance / 2
            then[total - step] += chance / 2
        chances = then
    seen = abs(sum(differences))
    return min(1.0, math.fsum(chance for total, chance in chances.items() if abs(total) >= seen))


def _independent_trials(outcomes: Outcomes) -> float:
    """How many independent trials tell as much: tasks × seeds over Kish's design effect.

    How alike the seeds of a task are is the intraclass correlation (analysis of variance), held near
    `_ALIKE` while the outcomes hardly tell: few tasks, or nearly all of them resolved, or none.
    """
    tasks, seeds = len(outcomes), len(next(iter(outcomes.values())))
    if seeds == 1:
        return tasks
    means = [fmean(row) for row in outcomes.values()]
    mean = fmean(means)
    between = seeds * sum((one - mean) ** 2 for one in means) / (tasks - 1) if tasks > 1 else 0.0
    within = seeds * fmean(one * (1 - one) for one in means) / (seeds - 1)
    spread = between + (seeds - 1) * within
    weight = 4 * tasks * mean * (1 - mean) if spread else 0.0
    seen = (between - within) / spread if spread else 0.0
    return tasks * seeds / (1 + (seeds - 1) * _alike(seen, weight))


def _alike(seen: float, weight: float) -> float:
    """How alike the trials of a cluster are held to be, by what was seen and by how much that tells."""
    alike = (weight * seen + _ALIKE_WEIGHT * _ALIKE) / (weight + _ALIKE_WEIGHT)
    return min(max(alike, 0.0), 1.0)


def _paired_interval(differences: Sequence[float], seeds: tuple[int, int]) -> Interval:
    """In points, of a mean difference between -1 and 1. Bonett and Price add pseudo-observations, here half a
    task won and half a task lost, the smaller the more seeds there are."""
    pseudo = (1 / seeds[0] + 1 / seeds[1]) / 2
    count = len(differences) + 1
    centre = sum(differences) / count
    variance = (math.fsum(one**2 for one in differences) + pseudo) / count - centre**2
    half = _Z * math.sqrt(variance / count)
    return Interval(low=100 * max(centre - half, -1.0), high=100 * min(centre + half, 1.0))


def _by_seed(outcomes: Outcomes) -> list[float]:
    """The rate of each seed, in percent."""
    lengths = {len(row) for row in outcomes.values()}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"every task needs the same seeds, at least one: {sorted(lengths) or 'no task'}")
    return [100 * fmean(column) for column in zip(*outcomes.values(), strict=True)]


def _deviation(outcomes: Outcomes) -> float | None:
    rates = _by_seed(outcomes)
    return stdev(rates) if len(rates) > 1 else None
