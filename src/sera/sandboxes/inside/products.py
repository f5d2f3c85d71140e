"""Which files of a tree are products of tools, told by their names and by what lies around them.

One list of rules, which the host sends, serves the patch and the state. The patch knows which files are
tracked and goes by all rules (`Judge` with `Surroundings`); the state, which is taken after every step, by
those that ask for a name alone. What the editor wrote is never a product. All of it takes time linear in the
names.
"""

import fnmatch
import os
import re
from collections.abc import Collection, Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple

from .spec import NAMED_PRODUCTS

_PLAIN, _KEPT = "", None
_Verdict = str | None
"""On a directory: the product that it is part of; `_PLAIN`; or `_KEPT`, with all that is in it."""


class Rule(NamedTuple):
    """One pattern as `products.toml` describes them; with a leading `!`, of what is to stay."""

    pattern: str
    beside: Sequence[str] = ()
    holds: Sequence[str] = ()


class Unknown(Exception):
    """What is tracked must be known."""


class Surroundings:
    """What there is in a tree, as git tells it: paths of files from the top."""

    def __init__(self, untracked: Iterable[str], tracked: Iterable[str] | None) -> None:
        """With `tracked` None, what needs it raises `Unknown`: mostly nothing does, and there may be many."""
        self._new = _by_folder(untracked)
        self._tracked = None if tracked is None else _by_folder(tracked)

    @property
    def _old(self) -> dict[str, set[str]]:
        if self._tracked is None:
            raise Unknown
        return self._tracked

    def is_new(self, folder: str) -> bool:
        """Whether it holds nothing tracked."""
        return folder not in self._old

    def holds_new(self, folder: str, names: Iterable[str]) -> bool:
        """Whether one of the names is in the directory, untracked."""
        return not self._new.get(folder, set()).isdisjoint(names)

    def holds(self, folder: str, names: Iterable[str]) -> bool:
        """Whether one of the names is in the directory."""
        return self.holds_new(folder, names) or not self._old.get(folder, set()).isdisjoint(names)


def _by_folder(paths: Iterable[str]) -> dict[str, set[str]]:
    """The names in each directory, from the top, which is the empty path, to the deepest."""
    found: dict[str, set[str]] = {}
    for path in paths:
        known = False
        while path and not known:
            folder, _, name = path.rpartition("/")
            known = folder in found  # and all that is above it
            found.setdefault(folder, set()).add(name)
            path = folder
    return found


class _Names:
    """Many patterns of one name, looked up at once."""

    def __init__(self, patterns: Iterable[str]) -> None:
        exact, endings, others = set(), [], []
        for pattern in patterns:
            if not re.search(r"[*?\[]", pattern):
                exact.add(pattern)
            elif pattern[0] == "*" and not re.search(r"[*?\[]", pattern[1:]):
                endings.append(pattern[1:])
            else:
                others.append(fnmatch.translate(pattern))
        self._exact, self._endings = exact, tuple(endings)
        self._others = re.compile("|".join(others)) if others else None

    def has(self, name: str) -> bool:
        return (
            name in self._exact
            or name.endswith(self._endings)
            or bool(self._others and self._others.match(name))
        )


class _Place:
    """A rule whose pattern has several parts, a place or a mark."""

    def __init__(self, rule: Rule) -> None:
        self._anchored = rule.pattern.startswith("/")
        self._parts = [_Names([part]) for part in rule.pattern.strip("/").split("/")]
        self._beside, self._holds = rule.beside, rule.holds
        self.last = rule.pattern.strip("/").rpartition("/")[2]
        self.by_name = not (rule.beside or rule.holds)

    def fits(self, path: str) -> bool:
        """Whether the pattern stands for the path."""
        above, *names = _split(path, len(self._parts))
        if len(names) < len(self._parts) or (self._anchored and above):
            return False
        return all(part.has(name) for part, name in zip(self._parts, names, strict=True))

    def marked(self, path: str, around: Surroundings) -> bool:
        """Whether the marks are there, if it asks for any."""
        if self._holds and not around.holds_new(path, self._holds):
            return False
        return not self._beside or around.holds(_split(path, len(self._parts))[0], self._beside)


def _split(path: str, count: int) -> list[str]:
    """What is above, and the last names of a path."""
    names = path.rsplit("/", count)
    return names if len(names) > count else ["", *names]


class _Kind:
    """All rules for files, or all for directories."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        simple, places = [], []
        for rule in rules:
            if "/" in rule.pattern.rstrip("/") or rule.beside or rule.holds:
                places.append(_Place(rule))
            else:
                simple.append(rule.pattern.rstrip("/"))
        self._simple, self._places = _Names(simple), places
        self._last = _Names(place.last for place in places)

    def has(self, path: str, name: str, around: Surroundings | None) -> bool:
        if self._simple.has(name):
            return True
        return self._last.has(name) and any(
            place.fits(path) and (place.by_name or (around is not None and place.marked(path, around)))
            for place in self._places
        )


class Products:
    """The rules, ready to be used."""

    def __init__(self, rules: Iterable[Sequence[object]]) -> None:
        """`rules` as they were sent: the fields of each `Rule`."""
        left: list[Rule] = []
        kept: list[Rule] = []
        for fields in rules:
            rule = Rule(*fields)  # type: ignore[arg-type]
            (kept if rule.pattern.startswith("!") else left).append(
                rule._replace(pattern=rule.pattern.removeprefix("!"))
            )
        self.files, self.folders = _kinds(left)
        self.kept_files, self.kept_folders = _kinds(kept)


def _kinds(rules: list[Rule]) -> tuple[_Kind, _Kind]:
    return (
        _Kind(rule for rule in rules if not rule.pattern.endswith("/")),
        _Kind(rule for rule in rules if rule.pattern.endswith("/")),
    )


class Judge:
    """Tells the products of one tree at one moment."""

    def __init__(
        self, products: Products, written: Collection[str], around: Surroundings | None = None
    ) -> None:
        """`written` are the paths that the editor wrote. Without `around` a name is all that counts."""
        self._products = products
        self._written = written
        self._above_written = _by_folder(written)
        self._around = around
        self._folders: dict[str, _Verdict] = {"": _PLAIN}

    def product(self, path: str) -> str:
        """The product that a file, or what is no directory, is or is part of; empty if it is none."""
        if path in self._written:
            return ""
        folder, _, name = path.rpartition("/")
        verdict = self._folder(folder)
        if verdict is _KEPT or self._products.kept_files.has(path, name, None):
            return ""
        return verdict or (path if self._products.files.has(path, name, self._around) else "")

    def hides(self, path: str, is_folder: bool) -> bool:
        """Whether there is nothing at or below a path but products."""
        if is_folder:
            return path not in self._above_written and bool(self._folder(path))
        return bool(self.product(path))

    def _folder(self, path: str) -> _Verdict:
        unknown = []
        while path not in self._folders:
            unknown.append(path)
            path = path.rpartition("/")[0]
        verdict = self._folders[path]
        for folder in reversed(unknown):
            verdict = self._folders[folder] = self._next(folder, verdict)
        return verdict

    def _next(self, folder: str, above: _Verdict) -> _Verdict:
        """The verdict on a directory, from that on the one it is in."""
        name, around = folder.rpartition("/")[2], self._around
        if above is _KEPT or self._products.kept_folders.has(folder, name, None):
            return _KEPT
        if above or not self._products.folders.has(folder, name, around):
            return above
        return f"{folder}/" if around is None or around.is_new(folder) else _PLAIN


def judge_listing(
    products: Products, written: Collection[str], new: bytes, tracked: bytes | None
) -> tuple[dict[str, Any], bytes]:
    """Of listings with a NUL after each path: the new files that are no products, listed likewise, after the
    number of the others and the first few products. Or, if that needs `tracked`, that this is `unknown`."""
    paths = _paths(new)
    judge = Judge(products, written, Surroundings(paths, None if tracked is None else _paths(tracked)))
    try:
        left_out = {path: product for path in paths if (product := judge.product(path))}
    except Unknown:
        return {"unknown": True}, b""
    kept = b"".join(os.fsencode(path) + b"\0" for path in paths if path not in left_out)
    named = islice(dict.fromkeys(left_out.values()), NAMED_PRODUCTS)
    shown = [os.fsencode(product).decode(errors="replace") for product in named]
    return {"left_out": len(left_out), "products": shown}, kept


def _paths(listing: bytes) -> list[str]:
    """Of a repository inside the tree git gives the directory, with a slash at the end."""
    return [os.fsdecode(path.rstrip(b"/")) for path in listing.split(b"\0") if path]
