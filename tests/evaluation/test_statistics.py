"""The figures of an evaluation, against hand-made cases, known values, and simulations of what they promise.

The simulations print their figures: `python -m pytest tests/evaluation/test_statistics.py -s -k simulated`.
"""

import itertools
import random
from collections.abc import Iterator, Sequence

import pytest

from sera.evaluation.statistics import Outcomes, clustered, compare, rate_of, sign_flip, told

SIZES = (6, 10, 20, 40, 100, 300)


def outcomes(share: float, tasks: int = 200, seeds: int = 3, seed: int = 1) -> dict[str, list[bool]]:
    dice = random.Random(seed)
    return {f"task-{n}": [dice.random() < share for _ in range(seeds)] for n in range(tasks)}


def test_rate_by_hand() -> None:
    """Seeds that agree within 3 of 4 tasks: 8 trials are worth 5.18, and Wilson's interval of 37.5 % of those."""
    rate = rate_of({"a": [True, True], "b": [True, False], "c": [False, False], "d": [False, False]})
    assert (rate.tasks, rate.seeds, rate.mean) == (4, 2, 37.5)
    assert rate.deviation == pytest.approx(17.678, abs=1e-3)  # of 50 and 25
    between, within = 2 * (0.625**2 + 0.125**2 + 2 * 0.375**2) / 3, 2 * 0.25 / 4
    weight = 4 * 4 * 0.375 * 0.625
    alike = (weight * (between - within) / (between + within) + 2 * 0.7) / (weight + 2)
    worth, z = 8 / (1 + alike), 1.959964
    root = z * (0.375 * 0.625 / worth + z * z / (4 * worth * worth)) ** 0.5
    for bound, sign in ((rate.interval.low, -1), (rate.interval.high, 1)):
        assert bound == pytest.approx(100 * (0.375 + z * z / (2 * worth) + sign * root) / (1 + z * z / worth))


def test_one_seed_gives_wilsons_interval_and_no_deviation() -> None:
    """8 of 10: 49.0 to 94.3, as in the literature."""
    rate = rate_of({str(n): [n < 8] for n in range(10)})
    assert rate.deviation is None
    assert (round(rate.interval.low, 1), round(rate.interval.high, 1)) == (49.0, 94.3)


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("resolved", [True, False])
def test_all_or_none_leaves_room(seeds: int, resolved: bool) -> None:
    """8 of 8 says no more than that the rate is above about two thirds."""
    few, many = (rate_of({str(n): [resolved] * seeds for n in range(tasks)}).interval for tasks in (8, 80))
    assert few.high - few.low > 25
    assert few.high - few.low > 5 * (many.high - many.low)
    assert (few.high if resolved else 100 - few.low) == 100


def test_seeds_that_repeat_each_other_add_little() -> None:
    """Three times the same answer is hardly more than one; three answers of a coin's toss are three."""
    same = {str(n): [n % 2 == 0] * 3 for n in range(60)}
    dice = random.Random(3)
    tossed = {str(n): [dice.random() < 0.5 for _ in range(3)] for n in range(60)}
    once = {task: row[:1] for task, row in same.items()}
    widths = [found.high - found.low for found in (rate_of(x).interval for x in (once, same, tossed))]
    assert widths[1] == pytest.approx(widths[0], rel=0.03)
    assert widths[2] < 0.7 * widths[0]


def drawn(dice: random.Random, tasks: int, rate: float, alike: float) -> list[float]:
    """How likely each task is resolved: Beta, of that mean; `alike` is the correlation of two seeds of a task."""
    first, second = rate * (1 / alike - 1), (1 - rate) * (1 / alike - 1)
    return [dice.betavariate(first, second) for _ in range(tasks)]


def tried(dice: random.Random, chances: Sequence[float], seeds: int) -> Outcomes:
    return {f"{n:03}": [dice.random() < chance for _ in range(seeds)] for n, chance in enumerate(chances)}


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("tasks", SIZES)
def test_intervals_of_rates_hold_the_truth_as_often_as_they_say_simulated(tasks: int, seeds: int) -> None:
    """Over rates from 2.5 to 97.5 %, and tasks whose seeds agree little, somewhat, and nearly always."""
    dice, hits, trials = random.Random(tasks * 10 + seeds), 0, 0
    for rate, alike, _ in itertools.product(
        [n / 40 for n in range(1, 40, 2)], (0.3, 0.6, 0.9), range(60 if tasks < 40 else 12)
    ):
        found = rate_of(tried(dice, drawn(dice, tasks, rate, alike), seeds)).interval
        hits += found.low <= 100 * rate <= found.high
        trials += 1
    print(f"\nrate: {tasks} tasks, {seeds} seeds: {hits / trials:.1%} of {trials}")
    assert 0.93 <= hits / trials <= 0.97


CHANGES = ((0.05, 0.0), (0.1, 0.1), (0.3, 0.0), (0.3, 0.2), (0.5, 0.0), (0.5, 0.2), (0.7, 0.2), (0.05, 0.3))
"""Rate of the first model, and what the second has more."""


def pairs(
    dice: random.Random, tasks: int, seeds: tuple[int, int], again: int
) -> Iterator[tuple[float, Outcomes, Outcomes]]:
    """The true difference and the outcomes of two models that find the same tasks easy, by seven in ten."""
    for (rate, more), alike, _ in itertools.product(CHANGES, (0.3, 0.6, 0.9), range(again)):
        one, fresh = drawn(dice, tasks, rate, alike), drawn(dice, tasks, rate + more, alike)
        if more:
            two = fresh
        else:
            two = [kept if dice.random() < 0.7 else new for kept, new in zip(one, fresh, strict=True)]
        yield more, tried(dice, one, seeds[0]), tried(dice, two, seeds[1])


@pytest.mark.parametrize("seeds", [(1, 1), (3, 3), (1, 3)])
@pytest.mark.parametrize("tasks", SIZES)
def test_comparisons_hold_what_they_say_simulated(tasks: int, seeds: tuple[int, int]) -> None:
    """False positives and the interval's hold, and that equal models are not told apart more often than by noise."""
    dice, hits, wrong, equal, trials = random.Random(tasks), 0, 0, 0, 0
    for more, one, two in pairs(dice, tasks, seeds, 30 if tasks < 300 else 10):
        found = compare(one, two)
        hits += found.interval.low <= 100 * more <= found.interval.high
        wrong += more == 0 and "beyond noise" in found.sentence()
        equal += more == 0
        trials += 1
    print(
        f"\ndifference: {tasks} tasks, {seeds} seeds: {hits / trials:.1%} of {trials}; false positives {wrong / equal:.1%}"
    )
    assert 0.93 <= hits / trials <= 0.98
    assert wrong / equal <= 0.05


def test_a_gain_within_the_seeds_is_found_simulated() -> None:
    """40 tasks that go from hardly ever to one seed in three: no majority changes, and yet it is a gain."""
    dice, found = random.Random(2), 0
    for _ in range(100):
        one, two = tried(dice, [0.02] * 40, 3), tried(dice, [0.12] * 40, 3)
        found += "better, beyond noise" in compare(one, two).sentence()
    print(f"\npower: {found} %")
    assert found >= 60


def test_from_none_to_one_seed_in_three_is_won() -> None:
    none = {str(n): [False] * 3 for n in range(40)}
    third = {str(n): [n % 4 == 0, False, False] for n in range(40)}
    found = compare(none, third)
    assert (found.won, found.lost) == (10, 0)
    assert found.p_value == pytest.approx(2 / 1024)
    assert "better, beyond noise" in found.sentence()


@pytest.mark.parametrize(
    ("won", "lost", "p"),
    [(0, 0, 1.0), (5, 5, 1.0), (10, 0, 2 / 1024), (8, 2, 0.109375), (15, 5, 0.041389)],
)
def test_with_one_seed_it_is_mcnemars_test(won: int, lost: int, p: float) -> None:
    assert sign_flip([1] * won + [-1] * lost + [0] * 7) == pytest.approx(p, abs=1e-6)
    assert sign_flip([-1] * won + [1] * lost) == pytest.approx(p, abs=1e-6)


@pytest.mark.parametrize(
    "differences", [(3, -1, 2, 2), (1, 1, 3, -2, 0, 3), (6, -6), (5,), (2, 1, 1, 1, -1, 3, 3, -2)]
)
def test_sign_flips_as_counted_one_by_one(differences: tuple[int, ...]) -> None:
    seen = abs(sum(differences))
    flips = [
        abs(sum(step * sign for step, sign in zip(differences, signs, strict=True))) >= seen
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    assert sign_flip(differences) == pytest.approx(sum(flips) / len(flips))


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


def test_a_few_tasks_are_not_beyond_noise() -> None:
    """All won, and still: of two or four tasks that may be luck."""
    two = compare({"a": [False], "b": [False]}, {"a": [True], "b": [True]})
    assert two.interval.low < 0
    assert two.interval.high == 100
    assert two.sentence() == (
        "The difference of +100.0 points is within noise: 95 % interval -17.7 to +100.0; 2 won, 0 lost, p 0.500."
    )
    five, six = (
        compare({str(n): [True] for n in range(size)}, {str(n): [False] for n in range(size)}).sentence("It")
        for size in (5, 6)
    )
    assert "too few tasks changed" in five
    assert six.startswith("It is 100.0 points worse, beyond noise")


def test_other_numbers_of_seeds_compare_by_shares() -> None:
    """One of two against two of three and the like, without rounding."""
    found = compare({"a": [True, False], "b": [True, True]}, {"a": [True, True, False], "b": [True] * 3})
    assert (found.won, found.lost) == (1, 0)
    assert found.difference == pytest.approx(100 / 12)


def test_pairing_takes_common_tasks_only() -> None:
    result = compare({"a": [True], "b": [False]}, {"b": [True], "c": [False]})
    assert (result.tasks, result.difference, result.won, result.lost) == (1, 100, 1, 0)


def test_a_small_gain_deserves_doubt() -> None:
    first = {f"t{n}": [False] for n in range(600)}
    second = first | {f"t{n}": [True] for n in range(12)}
    assert "deserves doubt" in compare(first, second).sentence()


def test_the_order_of_tasks_and_runs_changes_nothing() -> None:
    one, two = outcomes(0.3), outcomes(0.5, seed=4)
    turned = dict(reversed(one.items()))
    assert rate_of(one) == rate_of(turned)
    assert compare(one, two) == compare(turned, two)
    assert compare(two, one).difference == -compare(one, two).difference


@pytest.mark.parametrize("bad", [{}, {"a": []}, {"a": [True], "b": [True, False]}])
def test_what_cannot_be_counted(bad: dict[str, list[bool]]) -> None:
    with pytest.raises(ValueError, match="same seeds"):
        rate_of(bad)


def test_a_share_of_clusters_by_hand() -> None:
    """Clusters of one are Wilson's; all alike in three clusters of ten are hardly more than three trials."""
    single = clustered([1] * 8 + [0] * 2, [1] * 10)
    assert single
    assert (round(single.low, 1), round(single.high, 1)) == (49.0, 94.3)
    every = clustered([10, 10, 10], [10, 10, 10])
    assert every
    assert every.high == 100
    assert 38 < every.low < 60  # Wilson's of 3 of 3 is 43.9, of 30 of 30 is 88.6
    assert clustered([], []) is None
    assert clustered([0, 0], [0, 0]) is None
    assert told(100.0, every).startswith("100.0 % (95 % interval ")
    assert told(100.0, None) == "100.0 %"


@pytest.mark.parametrize(("clusters", "alike"), [(8, 0.3), (8, 0.7), (30, 0.3), (30, 0.05), (100, 0.3)])
def test_shares_of_clusters_hold_the_truth_simulated(clusters: int, alike: float) -> None:
    """Answers of rollouts of 3 to 40 answers, whose chance of a strict call differs (beta) by rollout."""
    dice, held, draws = random.Random(clusters), 0, 400
    for share in (0.1, 0.5, 0.9):
        strength = 1 / alike - 1
        for _ in range(draws):
            sizes = [dice.randint(3, 40) for _ in range(clusters)]
            chances = [dice.betavariate(share * strength, (1 - share) * strength) for _ in sizes]
            hits = [sum(dice.random() < p for _ in range(n)) for p, n in zip(chances, sizes, strict=True)]
            found = clustered(hits, sizes)
            assert found
            held += found.low <= 100 * share <= found.high
    print(f"{clusters} clusters, alike {alike}: {held / draws / 3:.1%}")
    assert 0.90 <= held / draws / 3 <= 0.995
