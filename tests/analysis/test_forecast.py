"""A forecast as a function of statistics, plan, price and concurrency."""

import pytest
from made_tasks import spent

from sera.analysis import Forecast, Measured, Plan, forecast, published
from sera.errors import UsageError
from sera.teachers import Price
from sera.teachers.prices import FREE, listed_price

PLAN = Plan(functions=300, tasks=100)
AIR = listed_price("glm-4.5-air")


def likely(made: Forecast, name: str) -> float:
    figure = made.figure(name)
    assert figure is not None
    assert figure.likely is not None
    return figure.likely


def test_published_figures_are_those_of_the_paper() -> None:
    """35 calls, 750,000 cached, 24,000 new and 7,700 answered tokens a trajectory; $0.0358 of GLM-4.5-Air."""
    made = forecast(published(), PLAN, AIR, 16)
    questions = 2 * 100
    assert likely(made, "trajectories") == 200
    assert likely(made, "model calls") == 35 * 200 + questions
    assert likely(made, "prompt tokens, cached") == 750_000 * 200 + questions * 30_000
    assert likely(made, "cost") == pytest.approx(0.0358 * 200, rel=0.08)


def test_every_figure_has_an_interval_and_a_source() -> None:
    made = forecast(published(), PLAN, AIR, 16)
    for figure in made.figures:
        assert figure.low < (figure.likely or 0) < figure.high, figure
        assert figure.source
    assert [found.recall for found in made.yields] == [0, 0.25, 0.5, 0.75, 1]
    assert made.yields[0].share.low == 0.516
    assert made.yields[2].share.likely is None, "nobody has published how recall is spread"


def test_an_unknown_price_leaves_out_the_dollars_alone() -> None:
    made = forecast(published(), PLAN, None, 16)
    assert made.figure("cost") is None
    assert made.figure("hours to come") is not None


def test_a_free_teacher_costs_nothing() -> None:
    cost = forecast(published(), PLAN, FREE, 16).figure("cost")
    assert cost is not None
    assert (cost.low, cost.likely, cost.high) == (0, 0, 0)


def test_dearer_without_a_cache() -> None:
    made = forecast(published(), PLAN, AIR, 16)
    assert likely(made, "cost if nothing were cached") > 4 * likely(made, "cost")


def test_writing_to_the_cache_has_its_own_price() -> None:
    plain, written = (
        Price(input=3, cached=0.3, output=15),
        Price(input=3, cached=0.3, output=15, written=3.75),
    )
    dear, cheap = (likely(forecast(published(), PLAN, price, 1), "cost") for price in (written, plain))
    assert dear - cheap == pytest.approx(
        0.75 * likely(forecast(published(), PLAN, None, 1), "prompt tokens, new") / 1e6
    )


def test_what_is_done_is_not_paid_again() -> None:
    measured = [spent(0.8), spent(1.0), spent(1.2), spent(1.0)]
    basis = Measured(measured, [1.0, 0.4, None, 0.6], [True, True, True, False], "run")
    made = forecast(basis, PLAN, AIR, 16)
    calls = made.figure("model calls")
    assert calls is not None
    assert made.done == 3
    assert calls.already == pytest.approx(210)
    assert calls.low >= 210
    assert calls.likely == pytest.approx(210 + 97 * 70)


def test_a_plan_that_is_done_is_certain() -> None:
    basis = Measured([spent(), spent()], [1.0, 0.0], [True, True], "run")
    made = forecast(basis, Plan(functions=2, tasks=2), AIR, 16)
    for figure in made.figures:
        assert figure.low == figure.likely == figure.high
    assert likely(made, "hours to come") == 0
    assert [found.pairs.likely for found in made.yields] == [2, 1, 1, 1, 1]


def test_recall_thresholds_are_counted() -> None:
    basis = Measured([spent()] * 10, [1.0] * 4 + [0.5] * 3 + [0.0] * 2 + [None], [False] * 10, "run")
    made = forecast(basis, PLAN, None, 16)
    assert [found.share.likely for found in made.yields] == [0.9, 0.7, 0.7, 0.4, 0.4]
    half = made.yields[2]
    assert half.pairs.low < 70 < half.pairs.high


def test_hours_are_between_even_work_and_one_straggler_at_the_end() -> None:
    """Graham's bound: a K-th of the work, and at most that and the longest task."""
    basis = Measured([spent(seconds=3600.0)] * 5, [1.0] * 5, [False] * 5, "run")
    hours = forecast(basis, PLAN, None, 10).figure("hours to come")
    assert hours is not None
    assert hours.low == pytest.approx(10)
    assert hours.high == pytest.approx(10.9)


def test_more_workers_than_tasks_are_of_no_use() -> None:
    basis = Measured([spent(seconds=3600.0)] * 5, [1.0] * 5, [False] * 5, "run")
    hours = forecast(basis, Plan(functions=9, tasks=4), None, 100).figure("hours to come")
    assert hours is not None
    assert hours.likely == pytest.approx(1)


def test_seconds_per_call_replace_the_time_that_is_assumed() -> None:
    hours = forecast(published(), PLAN, None, 10, seconds_per_call=10).figure("hours to come")
    assert hours is not None
    assert hours.likely == pytest.approx(7200 * 10 / 10 / 3600)
    assert "10 s per call as given" in hours.source


def test_one_task_is_not_enough() -> None:
    with pytest.raises(UsageError, match="has 1 tasks that have ended"):
        Measured([spent()], [None], [True], "run")
