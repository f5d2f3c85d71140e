"""Two intervals at 95 %: of a sum of further values like some seen before, and of a share.

`total` is a percentile bootstrap (Efron 1979) of a prediction. Each replicate draws n − 1 of the n values
with replacement, which makes the spread of their mean unbiased for small n, and adds the chance of the
further values themselves, taken as normal: their number times the replicate's mean, plus its standard
deviation times the root of their number times a normal draw. The percentiles are widened for small n as
Student's t is (Hesterberg 2015). `share` is Wilson's score interval (1927).
"""

import math
import statistics
from collections.abc import Sequence
from random import Random

from sera.records import Record

_SEED = 0
_REPLICATES, _DRAWS = 1000, 400_000
"""Replicates, fewer where that many values would have to be drawn in all; never under 200."""
_TAIL = 0.025
_NORMAL = statistics.NormalDist().inv_cdf(1 - _TAIL)


class Interval(Record, frozen=True):
    """From low to high, with the likeliest value in between."""

    low: float
    likely: float | None
    """None where nobody has published or measured it."""
    high: float


def total(values: Sequence[float], known: float, more: int) -> Interval:
    """Of `known` plus the sum of `more` further values like `values`, of which there must be two."""
    if not more:
        return Interval(low=known, likely=known, high=known)
    random = Random(_SEED)
    count = max(200, min(_REPLICATES, _DRAWS // len(values)))
    sums = sorted(_replicate(values, more, random) for _ in range(count))
    likely = more * statistics.fmean(values)
    cut = round(_tail(len(values)) * count)
    low, high = max(sums[cut], 0.0), sums[-1 - cut]
    return Interval(low=known + min(low, likely), likely=known + likely, high=known + max(high, likely))


def _replicate(values: Sequence[float], more: int, random: Random) -> float:
    drawn = random.choices(values, k=len(values) - 1)
    mean = statistics.fmean(drawn)
    deviation = math.sqrt(statistics.fmean((value - mean) ** 2 for value in drawn))
    return more * mean + math.sqrt(more) * deviation * random.gauss()


def _tail(n: int) -> float:
    """The share of replicates to cut off at each end: the normal tail beyond t with n − 1 degrees of
    freedom, whose quantile is Cornish and Fisher's expansion."""
    z, freedom = _NORMAL, n - 1
    t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return statistics.NormalDist().cdf(-t)


def share(hits: float, trials: float) -> Interval:
    """Of a probability, after `hits` in `trials`, either of which may be a fraction where trials depend on
    each other; nothing is known after none."""
    if not trials:
        return Interval(low=0.0, likely=None, high=1.0)
    rate, weight = hits / trials, _NORMAL**2 / trials
    centre = (rate + weight / 2) / (1 + weight)
    half = _NORMAL * math.sqrt(rate * (1 - rate) / trials + weight / trials / 4) / (1 + weight)
    return Interval(
        low=max(min(centre - half, rate), 0.0), likely=rate, high=min(max(centre + half, rate), 1.0)
    )
