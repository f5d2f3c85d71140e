"""The families of filters by themselves: patches, held-out lists, languages, caps."""

from collections import Counter
from pathlib import Path

import pytest
from made_samples import patch, sample
from msgspec.structs import replace

from sera.datasets.selection.balance import over_cap
from sera.datasets.selection.held_out import load_held_out
from sera.datasets.selection.language import is_english
from sera.datasets.selection.patches import read_patch
from sera.errors import ConfigError

CART = """\
diff --git a/shop/cart.py b/shop/cart.py
--- a/shop/cart.py
+++ b/shop/cart.py
@@ -10,5 +10,7 @@ def total(self):
     first = 1
-    return first
+    second = 2
+
+    return first + second
 {blank}
     def remove(self, item):
         pass
@@ -40,2 +42,2 @@ class Basket:
     kind = None
-    size = 1
+    size = 2
""".replace("{blank}", "")
RENAMED = """\
diff --git a/old.py b/new.py
similarity index 90%
rename from old.py
rename to new.py
--- a/old.py
+++ b/new.py
@@ -1,2 +1,2 @@
 import this
-import that
+import those
"""


def test_what_a_patch_changes() -> None:
    facts = read_patch(CART)
    assert facts.lines == 6
    assert facts.files == {"shop/cart.py"}
    assert facts.places == {("shop/cart.py", "total"), ("shop/cart.py", "Basket")}
    assert facts.changed == (
        "-return first",
        "+second = 2",
        "+return first + second",
        "-size = 1",
        "+size = 2",
    )


def test_a_renamed_file_is_both() -> None:
    assert read_patch(RENAMED).files == {"old.py", "new.py"}
    assert read_patch(RENAMED).places == frozenset()


def test_a_malformed_patch_has_lines_only() -> None:
    assert read_patch("--- a/x\n+++ b/x\n@@ -1 +1,9 @@\n+one\n")[:3] == (3, frozenset(), frozenset())


@pytest.mark.parametrize(
    ("entry", "path", "function", "changed", "touched"),
    [
        ("shop/cart.py", "shop/cart.py", "other", patch("m"), True),
        ("shop/cart.py", "shop/prices.py", "other", CART, True),
        ("shop/cart.py", "shop/prices.py", "other", patch("m"), False),
        ("shop/", "shop/prices.py", "other", patch("m"), True),
        ("shop/", "shopping.py", "other", patch("m"), False),
        ("shop/cart.py:Cart.total", "a.py", "other", CART, True),
        ("shop/cart.py:Cart.remove", "a.py", "other", CART, False),
        ("shop/cart.py:Cart.remove", "shop/cart.py", "Cart.remove", patch("m"), True),
        ("old.py", "a.py", "other", RENAMED, True),
    ],
)
def test_what_is_held_out(
    tmp_path: Path, entry: str, path: str, function: str, changed: str, touched: bool
) -> None:
    (tmp_path / "list").write_text(f"# kept for the evaluation\n\n{entry}\n")
    taken = sample(path=path, function=function, patch=changed)
    assert load_held_out(str(tmp_path / "list")).touched_by(taken) is touched


def test_a_list_that_holds_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("# nothing\n")
    with pytest.raises(ConfigError, match="has no entry"):
        load_held_out(str(tmp_path / "list"))
    with pytest.raises(ConfigError, match=r"held-out list .*missing"):
        load_held_out(str(tmp_path / "missing"))


@pytest.mark.parametrize(
    ("text", "english"),
    [
        ("The cart should not be empty when an item has been added to it.", True),
        ("", True),
        ("Crash in Cart.total", True),
        (
            "`total` gibt None zurück\\n\\nWenn der Korb leer ist, wird keine Summe berechnet und es kommt zu einem Fehler.",
            False,
        ),
        ("Le panier est vide et il ne devrait pas être possible de payer dans ce cas.", False),
        ("El carrito no calcula la suma cuando está vacío, pero debe ser cero.", False),
        ("O carrinho não calcula a soma quando está vazio, mas deve ser zero.", False),
        ("Il carrello non calcola la somma quando è vuoto, ma deve essere zero.", False),
        ("De winkelwagen is leeg en dat moet niet kunnen als er een artikel wordt toegevoegd.", False),
        ("Корзина не считает сумму, если она пуста.", False),
        ("购物车为空时总价应为零。", False),
        ("カートが空のとき合計はゼロになるはずです。", False),
        ("السلة فارغة ولا يتم حساب المجموع", False),
        ("The label `Größe` is not shown when the language is German, see `der`, `die`, `das`.", True),
        ("```\\nder die das und ist nicht\\n```\\nThis is what the parser returns for it.", True),
        ("The word 购物车 is cut in the middle when it is printed by the command.", True),
        (
            "$ sera run --out x\\n    der die das ist nicht wenn\\nIt fails with an error, and nothing is written.",
            True,
        ),
    ],
)
def test_english(text: str, english: bool) -> None:
    assert is_english(text.replace("\\n", "\n")) is english


def test_shipped_demonstrations_are_english() -> None:
    from sera.generation.demonstrations import load_demonstrations

    texts = load_demonstrations(None)
    assert len(texts) > 10
    assert [text.name for text in texts if not is_english(text.text)] == []


def test_caps_are_exact_and_leave_out_nothing_that_fits() -> None:
    groups = [{"category": (str(n % 3),), "function": (str(n % 10),)} for n in range(60)]
    lost = set(over_cap(enumerate(groups), {"category": 7, "function": 3}))
    kept = [group for number, group in enumerate(groups) if number not in lost]
    assert max(Counter(group["category"] for group in kept).values()) == 7
    assert max(Counter(group["function"] for group in kept).values()) <= 3
    for number in lost:
        full = [
            sum(one[kind] == groups[number][kind] for one in kept) >= most
            for kind, most in (("category", 7), ("function", 3))
        ]
        assert any(full)


def test_a_sample_of_nothing_special_is_not_held_out(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("elsewhere.py\n")
    assert not load_held_out(str(tmp_path / "list")).touched_by(replace(sample(), patch=CART))
