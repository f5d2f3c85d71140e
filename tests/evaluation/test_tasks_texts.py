"""Texts and patches of tasks: what a text says, what it must not, tests that are taken out."""

from pathlib import Path

import pytest

from sera.evaluation.tasks.changed import changed_functions
from sera.evaluation.tasks.diffs import diff, parts_of
from sera.evaluation.tasks.hiding import hide
from sera.evaluation.tasks.issue import leaks, write_issue
from sera.evaluation.tasks.running import Outcome

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
