"""Dealing samples to parts: exact, best first, and short only if there is no way."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from sera.datasets.mixing import Eligible, deal


def samples(*masks: int) -> list[Eligible]:
    return [Eligible((0.0, f"{key:04}"), mask, key) for key, mask in enumerate(masks)]


def test_each_part_takes_the_best_of_its_own() -> None:
    assert deal([2, 1], samples(0b01, 0b10, 0b01, 0b01, 0b10)) == [[0, 2], [1]]


def test_nothing_is_dealt_twice() -> None:
    assert deal([2, 2], samples(0b11, 0b11, 0b11)) == [[0, 1], [2]]


def test_a_part_gives_up_what_it_can_replace() -> None:
    # The first part would take 0 and 1, the only ones that the second may have.
    assert deal([2, 2], samples(0b11, 0b11, 0b01, 0b01)) == [[2, 3], [0, 1]]


def test_samples_are_passed_along_over_several_hands() -> None:
    # 0: parts 0 and 1; 1: parts 1 and 2; 2: part 2 only. Greedy: 0 → part 0, 1 → part 1, 2 → part 2.
    assert deal([1, 1, 1], samples(0b011, 0b110, 0b100)) == [[0], [1], [2]]
    assert sorted(itertools.chain(*deal([1, 1, 1], samples(0b011, 0b001, 0b110)))) == [0, 1, 2]
    assert sorted(itertools.chain(*deal([1, 1, 1], samples(0b111, 0b110, 0b100)))) == [0, 1, 2]
    assert sorted(itertools.chain(*deal([1, 1, 1], samples(0b111, 0b011, 0b001)))) == [0, 1, 2]


def test_all_takes_what_the_others_leave() -> None:
    assert deal([None, 2], samples(0b11, 0b11, 0b11, 0b01)) == [[2, 3], [0, 1]]


def most(wanted: list[int], masks: list[int]) -> int:
    """The most samples that can be dealt, by trying for every set of parts what it can get (Hall)."""
    parts = range(len(wanted))
    best = sum(wanted)
    for size in range(1, len(wanted) + 1):
        for chosen in itertools.combinations(parts, size):
            reach = sum(any(mask >> part & 1 for part in chosen) for mask in masks)
            rest = sum(wanted[part] for part in parts if part not in chosen)
            best = min(best, reach + rest)
    return best


@given(st.lists(st.integers(0, 8), min_size=1, max_size=4), st.lists(st.integers(0, 15), max_size=25))
def test_as_many_are_dealt_as_can_be(wanted: list[int], masks: list[int]) -> None:
    masks = [mask & (1 << len(wanted)) - 1 for mask in masks]
    dealt = deal(wanted, samples(*masks))
    keys = list(itertools.chain(*dealt))
    assert len(keys) == len(set(keys)) == most(wanted, masks)
    for part, taken in enumerate(dealt):
        assert len(taken) <= wanted[part]
        assert taken == sorted(taken)
        assert all(masks[key] >> part & 1 for key in taken)
