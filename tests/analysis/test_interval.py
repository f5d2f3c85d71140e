"""The two intervals: what they promise, by simulation and by their corner cases."""

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sera.analysis import interval

VALUES = st.lists(st.floats(0, 1e6), min_size=2, max_size=30)


@given(VALUES, st.floats(0, 1e6), st.integers(0, 1000))
def test_total_is_in_order_and_contains_what_is_known(values: list[float], known: float, more: int) -> None:
    found = interval.total(values, known, more)
    assert found.likely is not None
    assert known <= found.low <= found.likely <= found.high


def test_nothing_more_to_come_is_certain() -> None:
    found = interval.total([1.0, 9.0], 10.0, 0)
    assert (found.low, found.likely, found.high) == (10.0, 10.0, 10.0)


def test_equal_values_are_certain() -> None:
    found = interval.total([2.0] * 10, 0.0, 100)
    assert (found.low, found.likely, found.high) == (200.0, 200.0, 200.0)


def test_the_same_values_give_the_same_interval() -> None:
    assert interval.total([1.0, 2.0, 4.0], 7.0, 10) == interval.total([1.0, 2.0, 4.0], 7.0, 10)


@pytest.mark.parametrize(("measured", "least"), [(10, 0.86), (30, 0.90)])
def test_the_true_total_is_inside_about_as_often_as_promised(measured: int, least: float) -> None:
    """Costs of tasks are skewed; the interval of a pilot must still hold nearly what it says."""
    draw, hits, trials, tasks = random.Random(5), 0, 150, 300
    for _ in range(trials):
        values = [draw.lognormvariate(0, 0.5) for _ in range(measured)]
        rest = sum(draw.lognormvariate(0, 0.5) for _ in range(tasks - measured))
        found = interval.total(values, sum(values), tasks - measured)
        hits += found.low <= sum(values) + rest <= found.high
    assert hits / trials >= least


def test_a_mean_of_few_values_spreads_as_wide_as_it_should() -> None:
    """Of 12 values and very many further ones the interval is that of the mean by Student's t with 11 degrees of
    freedom: 2.20 standard errors to each side. Drawing all 12 in a replicate gives 2.07, the normal tail 1.96."""
    widths, draw = [], random.Random(8)
    for _ in range(60):
        values = [draw.gauss(100, 10) for _ in range(12)]
        found = interval.total(values, 0, 10**6)
        error = statistics.stdev(values) / 12**0.5
        widths.append((found.high - found.low) / 10**6 / error / 2)
    assert statistics.fmean(widths) == pytest.approx(2.20, abs=0.06)


def test_more_measurements_make_it_narrower() -> None:
    draw = random.Random(1)
    values = [draw.lognormvariate(0, 0.5) for _ in range(100)]
    few, many = interval.total(values[:10], 0, 1000), interval.total(values, 0, 1000)
    assert many.high - many.low < (few.high - few.low) / 2


def test_share_is_wilsons() -> None:
    """8 of 10: 0.490 to 0.943, as in the literature."""
    found = interval.share(8, 10)
    assert (round(found.low, 3), found.likely, round(found.high, 3)) == (0.490, 0.8, 0.943)


@given(st.integers(0, 200), st.integers(0, 200))
def test_share_stays_a_probability(hits: int, misses: int) -> None:
    found = interval.share(hits, hits + misses)
    assert 0 <= found.low <= found.high <= 1
    if found.likely is not None:
        assert found.low <= found.likely <= found.high
