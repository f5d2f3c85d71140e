"""The kinds of edit: what they are called, what they are an answer to, and how they are made.

A kind is a function `(code, flavour) -> Edit | None` and an entry of the same name in `kinds.toml`.
`make` is the only way to an edit from outside: it checks what every kind must keep, namely that the
result parses, that the function is still there, and that 2 to 25 lines change. Languages other than
Python have a few kinds of their own in `plain`, described in `plain_kinds.toml`; nothing parses those.
"""

import tomllib
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files

import msgspec

from sera.teachers.rehearsal.dice import Dice
from sera.teachers.rehearsal.edits import (
    documentation,
    exceptions,
    flow,
    guards,
    helpers,
    names,
    plain,
    resources,
    signatures,
)
from sera.teachers.rehearsal.edits.base import Edit, Maker
from sera.teachers.rehearsal.source import Code, Hunk, Piece, PlainCode, hunks, parse_module, spliced
from sera.teachers.rehearsal.tongues import tongue_of

__all__ = [
    "MAKERS",
    "PLAIN_MAKERS",
    "Alteration",
    "Edit",
    "Kind",
    "candidates",
    "every_kind",
    "kinds",
    "make",
    "plain_kinds",
]

_FEWEST, _MOST = 2, 25

MAKERS: dict[str, Maker] = {
    maker.__name__: maker
    for maker in (
        guards.guard_none,
        guards.guard_empty,
        guards.guard_type,
        guards.guard_negative,
        exceptions.narrow_except,
        exceptions.chain_exceptions,
        exceptions.assert_to_raise,
        exceptions.log_branch,
        signatures.mutable_default,
        signatures.annotate,
        signatures.keyword_parameter,
        flow.boolean_return,
        flow.drop_else,
        flow.invert_if,
        names.rename_local,
        names.extract_constant,
        names.compare_none,
        names.membership,
        resources.open_encoding,
        resources.with_open,
        resources.sort_iteration,
        helpers.extract_condition,
        helpers.extract_result,
        documentation.add_docstring,
        documentation.complete_docstring,
        documentation.remark,
    )
}
PLAIN_MAKERS: dict[str, Callable[[PlainCode, int], Edit | None]] = {
    maker.__name__: maker
    for maker in (
        plain.name_number,
        plain.strict_comparison,
        plain.constant_first,
        plain.reason_to_expect,
        plain.describe,
        plain.explain,
    )
}
"""For languages other than Python."""
_LAST_RESORT = ("complete_docstring", "add_docstring", "annotate", "remark", "describe", "explain")
"""Kinds that nearly always apply, in the order in which they are fallen back upon."""


class Kind(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What there is to say about a kind; see `kinds.toml`."""

    fits: list[str]
    symptom: list[str]
    wish: list[str]
    why: list[str]


class Alteration(msgspec.Struct, frozen=True):
    """An edit made to one function, as lines."""

    kind: str
    code: Piece
    target: str
    hunks: tuple[Hunk, ...]
    imports: str = ""


@lru_cache(maxsize=1)
def kinds() -> dict[str, Kind]:
    """Every kind of edit to Python by name."""
    return _table("kinds.toml")


@lru_cache(maxsize=1)
def plain_kinds() -> dict[str, Kind]:
    """Every kind for other languages by name."""
    return _table("plain_kinds.toml")


@lru_cache(maxsize=1)
def every_kind() -> dict[str, Kind]:
    """Both."""
    return kinds() | plain_kinds()


def _table(name: str) -> dict[str, Kind]:
    text = (files(__name__) / name).read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, Kind])


@lru_cache(maxsize=2048)
def make(kind: str, code: Piece, flavour: int = 0) -> Alteration | None:
    """Make an edit of `kind` to a function; None if it does not apply or would not be sound."""
    edit = _edit(kind, code, flavour)
    if edit is None:
        return None
    changed = hunks(code, edit.changes)
    lines = sum(len(hunk.old) + len(hunk.new) for hunk in changed)
    if not _FEWEST <= lines <= _MOST or all(hunk.old == hunk.new for hunk in changed):
        return None
    return Alteration(kind, code, edit.target, changed, edit.imports)


def _edit(kind: str, code: Piece, flavour: int) -> Edit | None:
    """The edit as its kind makes it; in Python it must parse, in other languages nobody can tell."""
    if isinstance(code, PlainCode):
        return PLAIN_MAKERS[kind](code, flavour) if kind in PLAIN_MAKERS else None
    assert isinstance(code, Code)
    edit = MAKERS[kind](code, flavour) if kind in MAKERS else None
    return edit if edit and parse_module(code, spliced(code.text, edit.changes)) else None


def candidates(category: str, dice: Dice, path: str = "") -> list[str]:
    """Every kind for the language of `path`, Python unless told otherwise: those that fit `category`
    first, those that always apply last."""
    known = plain_kinds() if tongue_of(path) else kinds()
    fitting = dice.shuffle((k for k in known if category in known[k].fits), "fitting")
    others = dice.shuffle((k for k in known if k not in fitting and k not in _LAST_RESORT), "others")
    return [*fitting, *others, *(k for k in _LAST_RESORT if k in known and k not in fitting)]
