"""The language of recipes: what it reads, and where it says a text is wrong."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sera.datasets.recipe import Condition, Part, find_recipe, parse_recipe, shipped_recipes
from sera.datasets.sample import Source
from sera.datasets.selection.metrics import METRICS
from sera.errors import ConfigError
from sera.records import Stage

BOTH = (Stage.T1, Stage.T2)


def source(repository: str, run: str) -> Source:
    return Source(repository=repository, commit="c0ffee", run=run)


TWO = [source("django/django", "a"), source("sympy/sympy", "b")]
FIVE = [*TWO, source("django/django", "c"), source("sympy/sympy", "d"), source("django/django", "e")]


def condition(metric: str, compare: str, number: float = 0) -> Condition:
    return Condition(metric=metric, compare=compare, number=number)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("all", [Part(count=None)]),
        ("3000", [Part(count=3000)]),
        ("25,224", [Part(count=25224)]),
        ("25_224 t2", [Part(count=25224, stages=(Stage.T2,))]),
        ("47,498 T1|T2", [Part(count=47498, stages=BOTH)]),
        (
            "3000 T2 r>=0.5 + 5000 T1",
            [
                Part(count=3000, stages=(Stage.T2,), conditions=(condition("r", ">=", 0.5),)),
                Part(count=5000, stages=(Stage.T1,)),
            ],
        ),
        ("1+2+all T1", [Part(count=1), Part(count=2), Part(count=None, stages=(Stage.T1,))]),
        (
            "  25224 T2 r≥0 ratio≥0.88 ",
            [
                Part(
                    count=25224,
                    stages=(Stage.T2,),
                    conditions=(condition("r", ">=", 0), condition("ratio", ">=", 0.88)),
                )
            ],
        ),
        ("5 r > .5 F1<=1", [Part(count=5, conditions=(condition("r", ">", 0.5), condition("f1", "<=", 1)))]),
        (
            "5 patch=any TOOL = Any",
            [Part(count=5, conditions=(condition("patch", "any"), condition("tool", "any")))],
        ),
        ("5 repo:a/b-c.d run:12", [Part(count=5, repository="a/b-c.d", run=12)]),
    ],
)
def test_what_is_read(text: str, parts: list[Part]) -> None:
    assert list(parse_recipe(text)) == parts


@pytest.mark.parametrize(
    ("text", "column", "why"),
    [
        ("", 1, "begins with how many"),
        ("+ 5", 1, "begins with how many"),
        ("5 +", 4, "begins with how many"),
        ("5 + + 6", 5, "begins with how many"),
        ("T2 5", 1, "begins with how many"),
        ("5 6", 3, "one count"),
        ("0 T2", 1, "at least one"),
        ("5 T3", 3, "'T3' is neither"),
        ("5 T1 T2", 6, "one stage"),
        ("5 taste>1", 3, "no metric 'taste'; there are recall, "),
        ("5 r>=high", 3, "'r>=high' is neither"),
        ("5 r>=0.5x", 3, "neither"),
        ("5 r>=any", 3, "neither"),
        ("5 r=anything", 3, "neither"),
        ("5 run:0", 3, "counted from 1"),
        ("5 run:x", 3, "neither"),
        ("1.5 T2", 1, "'1.5' is neither"),
        ("-5 T2", 1, "'-5' is neither"),
        ("5 T2, 6 T1", 3, "'T2,' is neither"),
    ],
)
def test_an_error_points_at_its_column(text: str, column: int, why: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_recipe(text)
    first, shown, mark = str(raised.value).split("\n")
    assert first.startswith(f"recipe, column {column}: ")
    assert why in first
    assert shown == f"  {text}"
    assert mark.index("^") == column + 1


parts = st.builds(
    Part,
    count=st.none() | st.integers(1, 10**6),
    stages=st.sampled_from([(), (Stage.T1,), (Stage.T2,), BOTH]),
    conditions=st.lists(
        st.builds(
            Condition,
            metric=st.sampled_from(sorted(METRICS)),
            compare=st.sampled_from([">=", "<=", ">", "<", "="]),
            number=st.integers(0, 99_999).map(lambda number: number / 8),
        )
        | st.sampled_from(sorted(METRICS)).map(lambda metric: Condition(metric=metric, compare="any")),
        max_size=3,
    ).map(tuple),
    repository=st.from_regex(r"([a-z][\w.-]{0,9}(/[\w.-]{1,9})?)?", fullmatch=True).filter(str.isascii),
    run=st.integers(0, 20),
)


@given(st.lists(parts, min_size=1, max_size=4))
def test_what_is_written_reads_back(recipe: list[Part]) -> None:
    assert list(parse_recipe(" + ".join(map(str, recipe)))) == recipe


@given(st.text(alphabet="019 +T2r>=.≥|:allrun\n\tx", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        outcome = str(parse_recipe(text))
    except ConfigError as refused:
        outcome = str(refused)
    assert re.match(r"recipe, column \d+: |\(Part\(", outcome)


def test_bare_counts_go_to_runs_or_repositories() -> None:
    by_run = parse_recipe("4000 + 4000", TWO)
    assert [(part.run, part.repository) for part in by_run] == [(1, ""), (2, "")]
    by_repository = parse_recipe("4000 + 4000", FIVE)
    assert [(p.run, p.repository) for p in by_repository] == [(0, "django/django"), (0, "sympy/sympy")]
    with pytest.raises(ConfigError, match=r"3 bare counts .* 5 runs of 2 repositories"):
        parse_recipe("1 + 2 + 3", FIVE)
    assert parse_recipe("4000", FIVE) == (Part(count=4000),)
    assert [part.run for part in parse_recipe("1 + 2 T1 + 3", FIVE)] == [0, 0, 0]
    alike = parse_recipe("1 T2 patch<=40 + 2 T2 patch<=40", TWO)
    assert [part.run for part in alike] == [1, 2]
    assert [part.repository for part in parse_recipe("1 T2 + 2 T2", FIVE)] == ["django/django", "sympy/sympy"]
    assert [part.run for part in parse_recipe("1 T2 + 2 T2 + 3 T2", FIVE)] == [0, 0, 0]


def test_places_are_known() -> None:
    (part,) = parse_recipe("5 repo:Django", FIVE)
    assert [part.takes_from(one, FIVE) for one in FIVE] == [True, False, True, False, True]
    (part,) = parse_recipe("5 run:3", FIVE)
    assert [part.takes_from(one, FIVE) for one in FIVE] == [False, False, True, False, False]
    with pytest.raises(ConfigError, match="run:6 was asked for, and 5 are given"):
        parse_recipe("5 run:6", FIVE)
    with pytest.raises(
        ConfigError, match="nothing is given for `5 repo:flask`; the repositories are django/django, sympy"
    ):
        parse_recipe("5 repo:flask", FIVE)


def test_every_shipped_recipe_is_valid() -> None:
    assert shipped_recipes() == ["multi-repository", "sera-32b", "sera-8b-ga", "specialist"]
    counts = {name: [part.count for part in find_recipe(name, TWO)] for name in shipped_recipes()}
    assert counts == {
        "sera-32b": [25_224],
        "sera-8b-ga": [16_000],
        "specialist": [3_000, 5_000],
        "multi-repository": [4_000, 4_000],
    }
    places = [(part.run, part.repository) for part in find_recipe("multi-repository", FIVE)]
    assert places == [(0, "django/django"), (0, "sympy/sympy")]
    for name in shipped_recipes():
        for part in find_recipe(name, TWO):
            said = {condition.metric for condition in part.conditions}
            assert said >= {"patch", "tool", "ratio"}, "no setting changes what a named recipe stands for"
            assert "r" in said or part.stages == (Stage.T1,)
    with pytest.raises(ConfigError, match="no recipe 'sera-33b'; there are multi-repository, sera-32b"):
        find_recipe("sera-33b", TWO)
    assert find_recipe("", TWO) == (Part(count=None),)
