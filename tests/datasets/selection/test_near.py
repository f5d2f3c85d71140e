"""Near-duplicates: what is told apart, and that it scales."""

import random
import time

import pytest

from sera.datasets.selection.near import near_duplicates, sign, similarity

WORDS = [f"word{number}" for number in range(3_000)]


def text(seed: int, length: int = 120) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=length))


def changed(original: str, places: int, seed: int = 0) -> str:
    """The text with some words next to each other exchanged, so that few runs of words change."""
    words = original.split()
    words[:places] = [f"new{seed}{number}" for number in range(places)]
    return " ".join(words)


def runs(of: str, size: int = 5) -> set[tuple[str, ...]]:
    words = of.split()
    return {tuple(words[n : n + size]) for n in range(len(words) - size + 1)}


@pytest.mark.parametrize("places", [0, 2, 5, 10, 20, 40])
def test_similarity_is_near_the_true_one(places: int) -> None:
    errors = []
    for seed in range(10):
        one, other = text(seed, 200), changed(text(seed, 200), places)
        true = len(runs(one) & runs(other)) / len(runs(one) | runs(other))
        errors.append(similarity(sign(one), sign(other)) - true)
    assert abs(sum(errors) / len(errors)) < 0.04
    assert max(map(abs, errors)) < 0.16


def test_the_earlier_one_stays() -> None:
    near = [text(1), text(2), changed(text(1), 4), text(3), changed(text(2), 3), text(2)]
    assert near_duplicates(enumerate(map(sign, near)), 0.7) == [2, 4, 5]
    assert near_duplicates(enumerate(map(sign, near)), 0.999) == [5]
    assert near_duplicates(enumerate(map(sign, near[::-1])), 0.7) == [1, 4, 5]


def test_short_and_empty_texts() -> None:
    assert sign("") == sign(" \n") == b""
    assert near_duplicates([(1, b""), (2, b""), (3, sign("fix")), (4, sign("fix"))], 0.8) == [4]


def test_a_signature_is_the_same_everywhere() -> None:
    assert sign("a removed line of code")[:8].hex() == SIGNED


SIGNED = "cf9202f45bf9f1ee"


def test_half_of_many_are_found_in_bounded_time() -> None:
    originals = [sign(text(seed, 40)) for seed in range(3_000)]
    signed = [*enumerate(originals), *enumerate(originals, 3_000)]
    started = time.process_time()
    assert near_duplicates(signed, 0.8) == list(range(3_000, 6_000))
    assert time.process_time() - started < 10


@pytest.mark.parametrize("shared", [0.3, 0.6])
def test_copies_are_found_among_texts_that_all_share_much(shared: float) -> None:
    """Texts around one template, and copies of every fortieth with one word changed; comparing them costs no
    more than a few times what signing them did, which comparing each with each would by far."""
    template = text(-1, round(100 * shared))
    own = [text(seed, 100 - round(100 * shared)) for seed in range(2_000)]
    started = time.process_time()
    signed = [sign(f"{template} {one}") for one in own]
    signing = time.process_time() - started
    copies = [sign(f"{template} {changed(one, 1)}") for one in own[::40]]
    started = time.process_time()
    found = near_duplicates(enumerate(signed + copies), 0.85)
    assert time.process_time() - started < 12 * signing
    assert len([number for number in found if number < 2_000]) < 20
    assert len([number for number in found if number >= 2_000]) >= 45
