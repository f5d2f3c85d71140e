"""Products of tools, which no patch has: the known ones (`products.toml`), and what a user says of them."""

import re
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files

import msgspec

from sera.sandboxes.inside.products import Rule

_PATTERN = re.compile(r"(?!!$)!?/?[^/\0\n]+(/[^/\0\n]+)*/?")
_MOST, _LONGEST = 100, 200


class Product(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of `products.toml`, which says what each field means."""

    tool: str
    names: tuple[str, ...]
    beside: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()


@cache
def known_products() -> tuple[Product, ...]:
    """The table."""
    table = tomllib.loads((files("sera.sandboxes") / "products.toml").read_text("utf-8"))
    return tuple(msgspec.convert(entry, Product) for entry in table["product"])


def rules(own: Iterable[str]) -> list[Rule]:
    """What the inside of a sandbox goes by: the table, and the patterns of the setting `sandbox.products`,
    which as in `.gitignore` stand for directories too."""
    both = (name for pattern in own for name in (pattern, f"{pattern.rstrip('/')}/"))
    return [*_known(), *map(Rule, dict.fromkeys(both))]


def _known() -> Iterator[Rule]:
    for product in known_products():
        for name in product.names:
            yield Rule(name, product.beside, product.holds)


def check_patterns(patterns: tuple[str, ...]) -> None:
    """`ValueError` for what is no pattern of the setting, or too many of them."""
    if len(patterns) > _MOST:
        raise ValueError(f"products: {len(patterns)} patterns, and {_MOST} are the most")
    for pattern in patterns:
        if len(pattern) > _LONGEST or "**" in pattern or not _PATTERN.fullmatch(pattern):
            raise ValueError(
                f"products: {pattern[:_LONGEST]!r} is no pattern: write a name as in .gitignore without **, "
                f"of at most {_LONGEST} characters, e.g. '*.log', 'reports/', '/out.txt' or '!coverage.xml'"
            )
