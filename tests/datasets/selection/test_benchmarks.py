"""Decontamination: each rule finds what it is for, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest
from made_samples import SOURCE, patch, sample
from msgspec.structs import replace

from sera.datasets.selection.benchmarks import Contamination, load_benchmarks
from sera.datasets.selection.config import Benchmarks
from sera.errors import ConfigError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FIX = """\
diff --git a/shop/cart.py b/shop/cart.py
--- a/shop/cart.py
+++ b/shop/cart.py
@@ -1,2 +1,5 @@ def total(self):
     prices = self.prices()
-    return sum(prices)
+    if not prices:
+        return self.currency.zero()
+    rounded = [price.rounded() for price in prices]
+    return sum(rounded, self.currency.zero())
"""
ELSEWHERE = FIX.replace("shop/cart.py", "vendored/basket.py").replace("def total(self)", "class Basket")
ISSUE = (
    "An empty cart has no total. Asking for the total of a cart that was never filled raises a TypeError "
    "instead of giving zero in the currency of the shop, so the checkout page cannot be shown at all."
)
INSTANCE = {
    "instance_id": "example__shop-1",
    "repo": "example/shop",
    "base_commit": COMMIT,
    "patch": FIX,
    "test_patch": patch("tests/test_cart", 5),
    "problem_statement": ISSUE,
    "version": "1.0",
}


def load(tmp_path: Path, rules: Any = None, **changes: Any) -> Contamination:
    file = tmp_path / "bench.jsonl"
    file.write_text(json.dumps(INSTANCE | changes) + "\n\n" + json.dumps({"repo": "other/thing"}) + "\n")
    settings = {"rules": tuple(rules)} if rules else {}
    return load_benchmarks(Benchmarks(files=(str(file),), **settings))


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({}, None),
        ({"source": replace(SOURCE, commit=COMMIT)}, "commit"),
        ({"source": replace(SOURCE, commit=COMMIT[:12])}, "commit"),
        ({"source": replace(SOURCE, commit=COMMIT, repository="Shop")}, "commit"),
        ({"source": replace(SOURCE, commit=COMMIT, repository="other/shop")}, None),
        ({"patch": FIX}, "function"),
        ({"patch": FIX.replace("prices", "costs").replace("zero", "nil")}, "function"),
        (
            {
                "patch": FIX.replace("def total", "def other")
                .replace("prices", "costs")
                .replace("zero", "nil")
            },
            None,
        ),
        ({"patch": ELSEWHERE}, "patch"),
        ({"patch": ELSEWHERE.replace("    ", "        ")}, "patch"),
        ({"patch": patch("tests/test_cart", 5)}, "patch"),
        ({"patch": FIX, "source": replace(SOURCE, repository="fork/shop")}, "patch"),
        ({"issue": ISSUE.upper()}, "issue"),
        ({"issue": "Hello! " + ISSUE[:120]}, "issue"),
        ({"issue": "An empty cart has no total."}, None),
    ],
)
def test_what_is_too_near(tmp_path: Path, changes: dict[str, Any], rule: str | None) -> None:
    assert load(tmp_path).rule_against(sample(**changes)) == rule


def test_rules_are_chosen(tmp_path: Path) -> None:
    same_file = sample(
        patch=FIX.replace("def total", "def other").replace("prices", "costs").replace("zero", "nil")
    )
    assert load(tmp_path, ["file"]).rule_against(same_file) == "file"
    assert load(tmp_path, ["commit", "issue"]).rule_against(sample(patch=FIX)) is None


def test_a_fix_of_one_line_is_compared_whole(tmp_path: Path) -> None:
    short = patch("lib", 1)
    found = load(tmp_path, patch=short, test_patch="")
    assert found.rule_against(sample(patch=short)) == "patch"
    assert found.rule_against(sample(patch=patch("lib", 2))) is None


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    file = tmp_path / "bench.jsonl"
    file.write_text(json.dumps(INSTANCE) + "\n{}\n")
    with pytest.raises(ConfigError, match=r"bench.jsonl, line 2: .*repo"):
        load_benchmarks(Benchmarks(files=(str(file),)))
    with pytest.raises(ConfigError, match=r"missing\.jsonl"):
        load_benchmarks(Benchmarks(files=(str(tmp_path / "missing.jsonl"),)))
