"""Versions of Python: what a project demands, and whether one satisfies it. As far as PEP 440 goes for
them."""

import re
from collections.abc import Iterable

Version = tuple[int, ...]
_DIGITS = 9
"""Of a number that count: a longer one is none of a version, and `int` refuses thousands."""
_CLAUSE = re.compile(r"\s*(~=|===?|!=|<=|>=|<|>|\^|~)?\s*v?(\d+(?:\.\d+)*)(\.\*)?[^,|]*")


def parse(text: str) -> Version:
    """The numbers of a version; what follows them is left out."""
    found = re.match(r"\D*(\d+(?:\.\d+)*)", text)
    return tuple(int(part[:_DIGITS]) for part in found[1].split(".")) if found else ()


def satisfies(version: Version, specifier: str) -> bool:
    """Whether a version lies within a specifier such as `>=3.8,<4` (or Poetry's `^3.8`, `~3.8`, `||`)."""
    return any(all(_holds(version, clause) for clause in _clauses(one)) for one in specifier.split("||"))


def translated(specifier: str) -> str:
    """A version constraint of Poetry as PEP 440 has it; `*` becomes nothing."""
    if "||" in specifier:
        return ""
    parts = []
    for operator, numbers, star in _clauses(specifier):
        version = parse(numbers)
        if operator == "^":
            parts += [f">={numbers}", f"<{_text(_next_incompatible(version))}"]
        elif operator == "~":
            parts += [f">={numbers}", f"<{_text(_bumped(version, min(1, len(version) - 1)))}"]
        else:
            parts.append(f"{operator or '=='}{numbers}{star}")
    return ",".join(parts)


def _clauses(specifier: str) -> Iterable[tuple[str, str, str]]:
    for clause in specifier.split(","):
        if found := _CLAUSE.fullmatch(clause):
            yield found[1] or "", found[2], found[3] or ""


def _holds(version: Version, clause: tuple[str, str, str]) -> bool:
    operator, numbers, star = clause
    wanted = parse(numbers)
    width = max(len(version), len(wanted))
    here, there = _padded(version, width), _padded(wanted, width)
    prefix = version[: len(wanted)] == wanted
    match operator:
        case ">=":
            return here >= there
        case "<=":
            return here <= there or prefix
        case ">":
            return here > there and not prefix
        case "<":
            return here < there
        case "!=":
            return not prefix if star else here != there
        case "~=":
            return here >= there and version[: len(wanted) - 1] == wanted[:-1]
        case "^":
            return there <= here < _padded(_next_incompatible(wanted), width)
        case "~":
            return there <= here < _padded(_bumped(wanted, min(1, len(wanted) - 1)), width)
    return prefix


def _next_incompatible(version: Version) -> Version:
    """Poetry's caret: the first number that is not 0 may not change."""
    place = next((n for n, part in enumerate(version) if part), len(version) - 1)
    return _bumped(version, place)


def _bumped(version: Version, place: int) -> Version:
    return (*version[:place], version[place] + 1)


def _padded(version: Version, width: int) -> Version:
    return version + (0,) * (width - len(version))


def _text(version: Version) -> str:
    return ".".join(map(str, version))
