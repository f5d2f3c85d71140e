"""Prices: whole nano-dollars, nothing guessed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sera.records import Usage
from sera.teachers import Price, RehearsalConfig, RemoteConfig, price_of
from sera.teachers.prices import FREE, listed_price

GLM = Price(input=0.6, cached=0.11, output=2.2)


def test_a_trajectory_of_the_paper() -> None:
    """750K cached, 24K new, 7.7K output tokens at GLM-4.6's prices: the paper says $0.1139 with its figures."""
    assert GLM.cost(Usage(prompt=774_000, cached=750_000, completion=7_700)) == 113_840_000


def test_written_tokens_cost_more_where_they_do() -> None:
    sonnet = listed_price("anthropic/claude-3.7-sonnet")
    assert sonnet is not None
    assert (
        sonnet.cost(Usage(prompt=1000, cached=400, completion=10), written=500)
        == 100 * 3000 + 400 * 300 + 500 * 3750 + 10 * 15000
    )
    assert sonnet.worst(Usage(prompt=1000, completion=10)) == 1000 * 3750 + 10 * 15000


def test_less_than_a_nano_dollar_is_rounded_up() -> None:
    assert Price(input=0.0001, output=0).cost(Usage(prompt=1)) == 1


def test_more_cached_than_there_was_takes_nothing_off_the_rest() -> None:
    """Some servers count what they read from the cache beside the prompt, not in it."""
    used = Usage(prompt=10, cached=1000, completion=5)
    assert GLM.cost(used, written=100) == 1000 * 110 + 100 * 600 + 5 * 2200


counts, dollars = st.integers(0, 10**6), st.floats(0, 100)


@given(dollars, dollars, dollars, dollars, counts, counts, counts, counts)
def test_nothing_costs_more_than_its_worst(
    i: float, c: float, o: float, w: float, plain: int, cached: int, written: int, answer: int
) -> None:
    price = Price(input=i, cached=c, output=o, written=w)
    used = Usage(prompt=plain + cached + written, cached=cached, completion=answer)
    assert price.cost(used, written) <= price.worst(used) <= price.worst(used + Usage(prompt=1, completion=1))


@pytest.mark.parametrize(
    ("model", "known"),
    [
        ("glm-4.6", True),
        ("z-ai/GLM-4.6", True),
        ("glm-4.6-fp8", False),
        ("glm-4.6:free", False),
        ("m", False),
    ],
)
def test_only_what_the_table_names_has_a_price(model: str, known: bool) -> None:
    assert listed_price(model) == (GLM if known else None)


def test_the_price_in_force() -> None:
    assert price_of(RehearsalConfig()) == FREE
    assert price_of(RemoteConfig(base_url="http://x", model="glm-4.6")) == GLM
    assert price_of(RemoteConfig(base_url="http://x", model="m")) is None
    assert price_of(RemoteConfig(base_url="http://x", model="glm-4.6", price=FREE)) == FREE
