"""A small shop, and the command over it as a user types it: no network, no weights."""

from pathlib import Path

from environment_support import fill_index, only, write_tree
from user_shell import SERA, environment

SHOP = {
    "shop/__init__.py": "",
    "shop/cart.py": '''\
"""A cart."""


def total(prices, discount=0):
    """Sum of the prices less a discount in percent."""
    result = 0
    for price in prices:
        result += price
    return result - result * discount / 100


def cheapest(prices):
    """The lowest price."""
    best = None
    for price in prices:
        if best is None or price < best:
            best = price
    return best


def receipt(names, prices):
    """A line for each."""
    lines = []
    for name, price in zip(names, prices):
        lines.append("%s: %d" % (name, price))
    return lines


def grouped(names):
    """Names by their first letter."""
    found = {}
    for name in names:
        found.setdefault(name[:1], []).append(name)
    return found
''',
    "tests/test_cart.py": """\
import unittest

from shop.cart import cheapest, grouped, receipt, total


class TestCart(unittest.TestCase):
    def test_total(self):
        self.assertEqual(total([1, 2]), 3)
        self.assertEqual(total([100], 10), 90)

    def test_cheapest(self):
        self.assertEqual(cheapest([3, 1, 2]), 1)

    def test_receipt(self):
        self.assertEqual(receipt(["a"], [2]), ["a: 2"])

    def test_grouped(self):
        self.assertEqual(grouped(["ab", "ac"]), {"a": ["ab", "ac"]})
""",
}
LOOP = """\
student = "smollm2-135m-instruct"
base = "empty"
trained = "gold"

[tasks]
mutants = 1
history = 0
test_seconds = 10.0

[generate]
functions = 2
concurrency = 2

[dataset]
student = "qwen3"
min_recall = 0.0
min_ratio = 0.0

[train]
warmup_steps = 0
device.gpu = "cpu"

[evaluate]
seeds = 1
check = false
"""


class Place:
    """A folder with the project, its settings, and a shell in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"
        write_tree(folder / "project", SHOP)
        (folder / "loop.toml").write_text(LOOP, "utf-8")
        (folder / "cache").mkdir()
        fill_index(folder / "wheels")
        self.shell = environment(folder / "cache", **only(folder / "wheels"))

    def argv(self, *more: str) -> list[str]:
        """The command."""
        project, settings = str(self.folder / "project"), str(self.folder / "loop.toml")
        return [str(SERA), "specialize", project, "--out", str(self.out), "--config", settings, *more]
