"""Where a conversation is cut."""

from hypothesis import given
from hypothesis import strategies as st

from sera.datasets.truncation import fit

turns = st.lists(st.tuples(st.integers(1, 50), st.booleans()), max_size=40)


@given(turns, st.integers(0, 600))
def test_a_cut_is_the_longest_that_ends_on_an_assistant(parts: list[tuple[int, bool]], limit: int) -> None:
    tokens, assistant = [length for length, _ in parts], [mark for _, mark in parts]
    kept = fit(tokens, assistant, limit)
    assert kept.tokens == sum(tokens[: kept.turns]) <= limit
    if sum(tokens) <= limit:
        assert (kept.turns, kept.ratio) == (len(tokens), 1)
        return
    assert kept.ratio == kept.turns / len(tokens) < 1
    assert kept.turns == 0 or assistant[kept.turns - 1]
    longer = [n for n in range(kept.turns + 1, len(tokens)) if assistant[n - 1]]
    assert all(sum(tokens[:n]) > limit for n in longer)


@given(turns, st.integers(0, 600))
def test_a_higher_limit_never_keeps_less(parts: list[tuple[int, bool]], limit: int) -> None:
    tokens, assistant = [length for length, _ in parts], [mark for _, mark in parts]
    assert fit(tokens, assistant, limit).turns <= fit(tokens, assistant, limit + 1).turns


def test_the_boundaries() -> None:
    tokens, assistant = [10, 10, 10, 10], [False, True, False, True]
    assert fit(tokens, assistant, 40) == (4, 40, 1.0)
    assert fit(tokens, assistant, 39) == (2, 20, 0.5)
    assert fit(tokens, assistant, 20) == (2, 20, 0.5)
    assert fit(tokens, assistant, 19) == (0, 0, 0.0)
    assert fit([], [], 0) == (0, 0, 1.0)
