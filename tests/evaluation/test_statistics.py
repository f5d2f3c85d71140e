"""The figures of an evaluation, against hand-made cases and known values."""

import random

import pytest

from sera.evaluation.statistics import compare, mcnemar, rate_of


def outcomes(share: float, tasks: int = 200, seeds: int = 3, seed: int = 1) -> dict[str, list[bool]]:
    dice = random.Random(seed)
    return {f"task-{n}": [dice.random() < share for _ in range(seeds)] for n in range(tasks)}


def test_rate_by_hand() -> None:
    rate = rate_of({"a": [True, True], "b": [True, False], "c": [False, False], "d": [False, False]})
    assert (rate.tasks, rate.seeds, rate.mean) == (4, 2, 37.5)
    assert rate.deviation == pytest.approx(17.678, abs=1e-3)  # of 50 and 25
    assert rate.interval.low == 0
    assert rate.interval.high == 75  # 87.5 and more come up in 5 of 256 draws


def test_one_seed_has_no_deviation() -> None:
    rate = rate_of({"a": [True], "b": [False]})
    assert rate.deviation is None


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    hits = 0
    for n in range(30):
        interval = rate_of(outcomes(0.3, tasks=40, seeds=1, seed=n)).interval
        hits += interval.low <= 30 <= interval.high
    assert hits >= 25


@pytest.mark.parametrize(
    ("won", "lost", "p"),
    [(0, 0, 1.0), (5, 5, 1.0), (10, 0, 2 / 1024), (8, 2, 0.109375), (15, 5, 0.041389)],
)
def test_mcnemar_known_values(won: int, lost: int, p: float) -> None:
    assert mcnemar(won, lost) == pytest.approx(p, abs=1e-6)
    assert mcnemar(lost, won) == mcnemar(won, lost)


def test_equal_models_are_within_noise() -> None:
    result = compare(outcomes(0.4, seed=1), outcomes(0.4, seed=2))
    assert "within noise" in result.sentence()
    assert result.p_value > 0.05


def test_a_real_gain_is_seen() -> None:
    result = compare(outcomes(0.2, seed=1), outcomes(0.5, seed=2))
    assert result.interval.low > 0
    assert result.won > result.lost
    assert result.p_value < 0.001
    assert "better, beyond noise" in result.sentence()
    assert result.signal_to_noise is not None
    assert result.signal_to_noise > 5


def test_a_few_tasks_are_not_beyond_noise_though_every_draw_agrees() -> None:
    two = compare({"a": [False], "b": [False]}, {"a": [True], "b": [True]})
    assert two.interval.low == 100
    assert two.sentence() == (
        "The second is 100.0 points better and 95 % of the draws lie between +100.0 and +100.0, clear of 0, but too few "
        "tasks changed to tell: 2 won, 0 lost, McNemar's p 0.500."
    )
    five, six = (
        compare({str(n): [True] for n in range(size)}, {str(n): [False] for n in range(size)}).sentence("It")
        for size in (5, 6)
    )
    assert "too few tasks changed" in five
    assert six.startswith("It is 100.0 points worse, beyond noise")


def test_pairing_takes_common_tasks_only() -> None:
    result = compare({"a": [True], "b": [False]}, {"b": [True], "c": [False]})
    assert (result.tasks, result.difference, result.won, result.lost) == (1, 100, 1, 0)


def test_a_small_gain_deserves_doubt() -> None:
    first = {f"t{n}": [False] for n in range(100)}
    second = first | {"t0": [True], "t1": [True]}
    many = {f"{task}-{copy}": row for copy in range(6) for task, row in first.items()}
    more = {f"{task}-{copy}": row for copy in range(6) for task, row in second.items()}
    assert "deserves doubt" in compare(many, more).sentence()


def test_same_outcomes_same_figures() -> None:
    assert rate_of(outcomes(0.3)) == rate_of(outcomes(0.3))


@pytest.mark.parametrize("bad", [{}, {"a": []}, {"a": [True], "b": [True, False]}])
def test_what_cannot_be_counted(bad: dict[str, list[bool]]) -> None:
    with pytest.raises(ValueError, match="same seeds"):
        rate_of(bad)
