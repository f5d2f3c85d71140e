"""The 51 categories of the method, in its order, each with a concern of its own."""

import re
from collections import Counter
from difflib import SequenceMatcher
from itertools import combinations

import pytest

from sera.harness.profile import load_profile

METHOD = """
generic; resource lifecycle; data validation; error handling; state consistency; configuration; concurrency;
API contract; performance; dependencies; control flow; data transformation; async; boundary conditions;
documentation; security; modularity; observability; platform compatibility; business logic; failure recovery;
scalability; conventions; complexity; integration; missing functionality; determinism; preconditions;
side effects; abstraction; duplication; ordering; algorithm; output; coupling; naming; readability;
testability; backward compatibility; invariants; responsibility; parameterization; transactions;
resource efficiency; environment; composability; lifecycle in time; idempotency; null safety;
memory; input/output
"""
CONCERNS = load_profile("sera-1").categories


def test_the_names_are_those_of_the_method_in_its_order() -> None:
    expected = [re.sub(r"\W+", "_", name.strip().lower()) for name in METHOD.split(";")]
    assert len(expected) == 51
    assert list(CONCERNS) == expected


@pytest.mark.parametrize("name", CONCERNS)
def test_a_concern_fits_into_the_request(name: str) -> None:
    concern = CONCERNS[name]
    assert 15 <= len(concern.split()) <= 45
    assert len(re.findall(r"[.?!](?= |$)", concern)) in (1, 2)
    assert concern[0].isupper()
    assert concern.endswith(".")
    assert not re.search(r"[`{}()\n]|\btests?\b|\b\w+_\w+\b", concern), "names a construct or a test"


def test_no_two_concerns_begin_or_read_alike() -> None:
    openings = Counter(tuple(re.findall(r"\w+", concern.lower())[:4]) for concern in CONCERNS.values())
    assert max(openings.values()) == 1
    for one, other in combinations(CONCERNS.values(), 2):
        assert SequenceMatcher(None, one.split(), other.split(), autojunk=False).ratio() < 0.4
