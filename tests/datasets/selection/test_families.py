"""The families of filters by themselves: patches, held-out lists, languages, caps."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from made_samples import SOURCE, patch, sample
from msgspec.structs import replace
from stage import SMALL, commit_all

from sera.datasets.selection.balance import over_cap
from sera.datasets.selection.held_out import load_held_out
from sera.datasets.selection.language import is_english
from sera.datasets.selection.patches import read_patch
from sera.errors import ConfigError
from sera.sandboxes.contract import Layer
from sera.sandboxes.namespaces import Namespaces, NamespacesConfig

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


def hunk(heading: str, *lines: str, path: str = "m.py", start: int = 50) -> str:
    """A patch of one hunk."""
    old, new = (sum(line[:1] in " " + sign for line in lines) for sign in "-+")
    head = f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n"
    return f"{head}@@ -{start},{old} +{start},{new} @@ {heading}\n" + "".join(f"{line}\n" for line in lines)


CHANGE = ("         a = 1", "-        b = 2", "+        b = 3", "         c = 4")
"""In the body of a method."""


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
        ("shop/cart.py:Cart.remove", "a.py", "other", CART, True),  # somewhere in Basket
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


@pytest.mark.parametrize(
    ("changed", "touched"),
    [
        (hunk("class Foo:", *CHANGE), True),
        (hunk("class Foo:", " ", "     def other(self):", *CHANGE), False),
        (hunk("def other(self):", *CHANGE), False),
        (hunk("    def other(self):", *CHANGE), False),
        (hunk("    def other(self):", *CHANGE, path="n.py"), False),
        (hunk("def other(a):", *CHANGE), False),
        (hunk("    def inner(a):", *CHANGE), True),  # a function of `held`, or a static method
        (hunk("        def inner(self):", "             a = 1", "+            b = 2"), False),
        (hunk("        def inner(self):", "         a = 1", "+        return inner", "         a = 2"), True),
        (hunk("    def other(self):", "         a = 1", " ", "-    @cached", "     def held(self):"), True),
        (hunk("    def other(self):", " ", "+    def new(self):", *CHANGE), False),
        (hunk("    def held(self):", "-        a = 1", "+    def other(self):", "         c = 4"), True),
        (hunk("    def other(self):", " ", "+class New:", "+    kind = None"), False),
        (hunk("    def other(self):", " ", "+CONSTANT = 1", " "), False),
        (hunk("", " import a", "+import b", " import c"), True),  # whoever made it left headings out
        (hunk("", " import a", "+import b", " import c", start=1), False),
        (hunk("import a", "     a = 1", "-    b = 2", "     c = 3"), True),
        (hunk("function other() {", *CHANGE, path="m.js"), True),
        ("diff --git a/m.py b/m.py\nold mode 100644\nnew mode 100755\n", True),
        ("--- a/m.py\n+++ b/m.py\n@@ -1 +1,9 @@\n+one\n", True),
    ],
)
def test_what_a_diff_does_not_place_counts_as_held_out(tmp_path: Path, changed: str, touched: bool) -> None:
    (tmp_path / "list").write_text("m.py:Foo.held\nm.js:held\n")
    taken = sample(path="a.py", function="other", patch=changed)
    assert load_held_out(str(tmp_path / "list")).touched_by(taken) is touched


@pytest.mark.parametrize(("number", "function"), [(20, "Foo.held"), (120, "Foo.other")])
def test_a_method_is_told_from_the_patch_of_a_sandbox(tmp_path: Path, number: int, function: str) -> None:
    lines = ["class Foo:", "    def held(self):", *(f"        x{n} = {n}" for n in range(50)), ""]
    lines += ["    def other(self):", *(f"        x{n} = {n}" for n in range(100, 150)), ""]
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "m.py").write_text("\n".join(lines))
    layer = Layer(tree=tree, commit=commit_all(tree))

    async def change() -> str:
        async with Namespaces(layer, NamespacesConfig(limits=SMALL)) as backend, backend.sandbox() as box:
            await box.run(f"sed -i 's/x{number} = .*/x{number} = 0/' m.py", 5)
            return await box.patch()

    taken = sample(path="a.py", function="other", patch=asyncio.run(change()))
    assert read_patch(taken.patch).places == {("m.py", function.rpartition(".")[2])}
    (tmp_path / "list").write_text("m.py:Foo.held\n")
    assert load_held_out(str(tmp_path / "list")).touched_by(taken) is (function == "Foo.held")


@pytest.mark.parametrize(
    ("facts", "touched"),
    [
        ({"commit": "b0b"}, False),
        ({"commit": "c0ffee"}, True),
        ({"commit": "a0a", "before": ("b0b",)}, False),
        ({"commit": "a0a", "before": ("c0ffee",)}, True),
        ({"commit": "c0ffee", "repository": "example/other"}, False),
    ],
)
def test_what_is_newer_than_the_bound_is_held_out(
    tmp_path: Path, facts: dict[str, Any], touched: bool
) -> None:
    (tmp_path / "list").write_text("@before b0b shop\n")
    taken = sample(source=replace(SOURCE, **facts))
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
