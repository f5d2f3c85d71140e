"""Texts and patches of tasks: what a text says, what it must not, tests that are taken out."""

from pathlib import Path

import pytest

from sera.environments.suite_answers import Outcome
from sera.evaluation.tasks.changed import changed_functions
from sera.evaluation.tasks.diffs import diff, parts_of
from sera.evaluation.tasks.hiding import hide
from sera.evaluation.tasks.issue import Issue, leaks
from sera.evaluation.tasks.issue import write_issue as issue_of

TESTS = '''\
import unittest
from shop import cart
from shop.cart import Cart, price

LIMIT = 3


def half(value):
    return value / 2


class TestCart(unittest.TestCase):
    """All of it."""

    def test_total(self):
        """A docstring of the test."""
        cart = Cart([half(4), LIMIT])
        self.assertEqual(
            cart.total(), 5
        )
        self.assertEqual(price(1), 1)


class TestEmpty(unittest.TestCase):
    @unittest.expectedFailure
    def test_nothing(self):
        Cart([])
'''
PATCH = """\
diff --git a/shop/cart.py b/shop/cart.py
--- a/shop/cart.py
+++ b/shop/cart.py
@@ -3,3 +3,3 @@
 def total(items):
-    return sum(items) - 1
+    return sum(items)
"""


def failure(kind: str = "AssertionError", said: str = "AssertionError: 4 != 5", **facts: object) -> Outcome:
    return Outcome(
        id="tests/test_cart.py::TestCart::test_total",
        outcome="failed",
        kind=kind,
        said=said,
        line=18,
        **facts,  # type: ignore[arg-type]
    )


def write_issue(text: str, failed: Outcome, project: str, seed: int) -> str:
    """A text about one test of one file."""
    files = {failed.id.partition("::")[0]: text}
    return issue_of(lambda path: files.get(path, ""), [failed], "", project, seed, held=True).text


def test_a_text_shows_the_code_up_to_what_failed() -> None:
    text = write_issue(TESTS, failure(), "shop", 0)
    assert "cart = Cart([half(4), LIMIT])" in text
    assert "cart.total(), 5\n)" in text
    assert "AssertionError: 4 != 5" in text
    assert "def half(value):\n    return value / 2" in text
    assert "LIMIT = 3" in text
    assert "from shop.cart import Cart\n" in text
    assert "price(1)" not in text
    assert "`cart.total`" not in text, "that cart is a variable of the test"
    assert "unittest" not in text
    assert leaks(text, PATCH, [failure().id]) == []
    assert text == write_issue(TESTS, failure(), "shop", 0)


FIXTURES = """\
import pytest
from shop import cart


@pytest.fixture
def full():
    return cart.Cart([1, 2])


def half():
    "Of no use here."


class TestCart:
    @pytest.mark.parametrize("count", [1, 2])
    def test_take(self, full, count, opened, tmp_path):
        full.take(count)  # what half says
        assert not opened
        assert full.total() == 3 - count


class TestOld(unittest.TestCase):
    def setUp(self):
        self.cart = cart.Cart([])

    def test_empty(self):
        self.assertEqual(self.cart.total(), 0)
"""
CONFTEST = """\
import os
import shelve

import pytest


@pytest.fixture
def opened():
    return shelve.open(os.devnull)
"""


def told_of(*tests: str, held: bool = True, line: int = 19) -> Issue:
    files = {"tests/test_cart.py": FIXTURES, "tests/conftest.py": CONFTEST}
    failures = [
        Outcome(
            id=f"tests/test_cart.py::{one}", outcome="failed", kind="AssertionError", said="no", line=line
        )
        for one in tests
    ]
    return issue_of(lambda path: files.get(path, ""), failures, "", "shop", 0, held)


def test_fixtures_cases_and_what_a_class_sets_up_are_shown() -> None:
    text = told_of("TestCart::test_take[1]").text
    code = text.partition("```python\n")[2].partition("```")[0]
    assert (
        code
        == """\
import pytest
from shop import cart
import os
import shelve

@pytest.fixture
def opened():
    return shelve.open(os.devnull)

@pytest.fixture
def full():
    return cart.Cart([1, 2])

@pytest.mark.parametrize("count", [1, 2])
def test_example(full, count, opened, tmp_path):
    full.take(count)  # what half says
    assert not opened
    assert full.total() == 3 - count
"""
    )
    text = told_of("TestOld::test_empty", line=28).text
    assert "self.cart = cart.Cart([])\nself.assertEqual(self.cart.total(), 0)" in text


def test_every_test_that_is_asked_for_is_told() -> None:
    both = ("TestCart::test_take[1]", "TestCart::test_take[2]", "TestOld::test_empty")
    issue = told_of(*both, held=False)
    assert issue.told == {
        "tests/test_cart.py::TestCart::test_take",
        "tests/test_cart.py::TestOld::test_empty",
    }
    assert "full.take(count)" in issue.text
    assert "self.cart.total()" in issue.text
    rest = "all of them worked before"
    assert rest not in issue.text
    assert rest not in told_of(*both).text
    assert rest in told_of(*both, "TestGone::test_that_cannot_be_found").text


def test_what_is_news_is_shown_whole_or_not_told() -> None:
    """Up to the line that failed is enough where the rest held before."""
    rest = "full.total() == 3"
    assert rest not in told_of("TestCart::test_take[1]", line=17).text
    assert rest in told_of("TestCart::test_take[1]", line=17, held=False).text
    helper = "def much():\n" + "    cart.Cart([])\n" * 30
    text = f"from shop import cart\n\n\n{helper}\n\ndef test_it():\n    assert much()\n"
    failed = Outcome(id="t.py::test_it", outcome="failed", kind="AssertionError", said="no", line=37)
    assert issue_of(lambda _: text, [failed], "", "shop", 0, held=True).text
    assert not issue_of(lambda _: text, [failed], "", "shop", 0, held=False).text


def test_a_long_test_is_cut_and_keeps_what_the_rest_needs() -> None:
    filler = "".join(f"    assert {n} + LIMIT\n" for n in range(30))
    source = f"from shop import cart\n\n\ndef test_long():\n    mine = cart.make()\n    other = 1\n{filler}    assert mine\n"
    failed = Outcome(
        id="t.py::test_long", outcome="failed", kind="AssertionError", said="AssertionError", line=37
    )
    text = write_issue(source, failed, "shop", 0)
    assert "mine = cart.make()" in text
    assert "other" not in text.partition("```python")[2]
    assert "assert 0 +" not in text
    assert "assert 29 + LIMIT\nassert mine" in text


@pytest.mark.parametrize(
    ("kind", "said", "inside", "word"),
    [
        ("TypeError", "TypeError: bad", True, "raises"),
        ("Failed", "Failed: DID NOT RAISE <class 'ValueError'>", False, "exception"),
        ("ImportError", "ImportError: cannot import name 'x'", False, "ImportError"),
    ],
)
def test_each_kind_of_failure_has_its_words(kind: str, said: str, inside: bool, word: str) -> None:
    text = write_issue(TESTS, failure(kind, said, inside=inside), "shop", 0)
    assert word in text
    assert said in text


def test_places_in_the_files_are_not_told() -> None:
    said = 'AssertionError: 4 != 5\nshop/cart.py:4: in total\n  File "x", line 4\n<object at 0x7f00aa>'
    text = write_issue(TESTS, failure(said=said), "shop", 0)
    assert "cart.py" not in text
    assert "line 4" not in text
    assert "0x7f" not in text


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("It should be `return  sum(items)`.", "of the patch"),
        ("See shop/cart.py.", "the file shop/cart.py"),
        ("A mutation of the total.", "the words"),
        ("This looks like constant-off-by-one.", "the kind of bug"),
        ("test_total fails.", "the test test_total"),
        ("It happens on line 4.", "a line number"),
    ],
)
def test_what_gives_an_answer_away_is_found(text: str, what: str) -> None:
    assert any(what in one for one in leaks(text, PATCH, [failure().id]))


def test_tests_are_taken_out_whole(tmp_path: Path) -> None:
    (tmp_path / "test_cart.py").write_text(TESTS)
    named = ["test_cart.py::TestCart::test_total[1]", "test_cart.py::TestEmpty::test_nothing", "gone.py::x"]
    hidden = hide(tmp_path, named)
    before, after = hidden["test_cart.py"]
    assert before == TESTS
    assert "test_total" not in after
    assert "expectedFailure" not in after
    assert after.endswith("class TestEmpty(unittest.TestCase):\n    pass\n")
    compile(after, "test_cart.py", "exec")
    assert hide(tmp_path, ["test_cart.py::TestCart::inherited"]) == {}


def test_patches_are_those_of_git() -> None:
    patch = diff("a.txt", "one\ntwo", "one\nthree\n")
    assert patch.splitlines() == [
        "diff --git a/a.txt b/a.txt",
        "--- a/a.txt",
        "+++ b/a.txt",
        "@@ -1,2 +1,2 @@",
        " one",
        "-two",
        "\\ No newline at end of file",
        "+three",
    ]
    assert diff("a.txt", "same", "same") == ""
    assert parts_of(patch + PATCH) == [patch, PATCH]


def test_the_functions_that_a_patch_changes(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import x\n\n\ndef one():\n    return 1\n\n\ndef two():\n    return 2\n")
    after = (
        "import y\n\n\ndef one():\n    return 1\n\n\ndef two():\n    return 3\n\n\ndef three():\n    pass\n"
    )
    patch = diff("a.py", (tmp_path / "a.py").read_text(), after)
    assert changed_functions(tmp_path, patch) == ("a.py:two", "a.py:three")
    assert changed_functions(tmp_path, diff("a.py", "import x\n", "import y\n")) == ("a.py",)


@pytest.mark.parametrize("body", ["x" + ".b" * 600 + "()", "x" + "(1)" * 900], ids=["attributes", "calls"])
def test_an_expression_too_deep_to_be_told_has_no_text(body: str) -> None:
    text = f"def test_it():\n    x = 1\n    {body}\n    assert x == 2\n"
    failure = Outcome(id="t.py::test_it", outcome="failed", kind="AssertionError", said="1 != 2", line=4)
    assert write_issue(text, failure, "shop", 0) == ""
    assert write_issue(text.replace(body, "x"), failure, "shop", 0)


def test_a_test_below_a_long_row_of_conditions_is_found(tmp_path: Path) -> None:
    row = "if x == 0:\n    pass\n" + "".join(f"elif x == {n}:\n    pass\n" for n in range(1, 1500))
    last = "def test_first(): pass\ndef test_second(): pass\n"
    (tmp_path / "test_row.py").write_text(f"x = 1\n{row}{last}")
    assert (
        hide(tmp_path, ["test_row.py::test_second"])["test_row.py"][1]
        == f"x = 1\n{row}def test_first(): pass\n"
    )
