"""Bugs: small changes of one function such as people make, each a few bytes of the source.

`find_bugs` lists what could be done to a function. Whether a bug is one is for the tests to say.
"""

import ast
import hashlib
import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from random import Random

from sera.errors import ConfigError
from sera.evaluation.tasks.bugs import calls, conditions, values
from sera.evaluation.tasks.bugs.base import Definition, Operator, Scope, Source, first_line
from sera.records import Record

OPERATORS: dict[str, Operator] = {
    function.__name__.replace("_", "-"): function
    for function in (
        conditions.comparison_boundary,
        conditions.comparison_opposite,
        conditions.condition_negated,
        conditions.and_or,
        conditions.clause_dropped,
        conditions.guard_removed,
        conditions.else_dropped,
        conditions.break_continue,
        values.constant_off_by_one,
        values.operator_swapped,
        values.wrong_variable,
        values.slice_bound,
        values.wrong_default,
        values.boolean_inverted,
        values.key_mutated,
        values.exception_narrowed,
        calls.arguments_swapped,
        calls.argument_dropped,
        calls.call_dropped,
        calls.copy_missing,
        calls.twin_called,
        calls.return_dropped,
        calls.await_dropped,
        calls.statement_removed,
    )
}

_UNREADABLE = (ValueError, SyntaxError, RecursionError, MemoryError)
_BLUNT = ("return-dropped", "condition-negated", "wrong-variable")
"""Kinds that any test notices and that can be had almost anywhere: left alone they would be most of a set."""


class Bug(Record, frozen=True, kw_only=True):
    """One change of one file."""

    operator: str
    start: int
    end: int
    text: str


def find_bugs(content: bytes, line: int, seed: int, most: int, operators: Iterable[str] = ()) -> list[Bug]:
    """The first bugs that could be put into the function that begins on a line, in an order of the seed's.

    Operators take turns, so that the first few are of different kinds; asking for more never changes the
    first. Empty for a file that cannot be read.
    """
    try:
        source = Source(content)
    except _UNREADABLE:
        return []
    function = source.find(line)
    if function is None:
        return []
    random = Random(int.from_bytes(hashlib.sha256(f"{seed}\0{line}".encode() + content).digest()))
    scope = Scope(source, function)
    lists = []
    for name in sorted(check_operators(operators) or OPERATORS):
        bugs = [
            Bug(operator=name, start=c.start, end=c.end, text=c.text) for c in set(OPERATORS[name](scope))
        ]
        bugs.sort(key=lambda bug: (bug.start, bug.end, bug.text))
        random.shuffle(bugs)
        lists.append(bugs)
    random.shuffle(lists)
    sound = (bug for bug in _in_turns(lists) if _is_sound(source, function, bug))
    return list(islice(sound, most))


def check_operators(names: Iterable[str]) -> list[str]:
    """The names, each once; `ConfigError` for one that is unknown."""
    for name in names:
        if name not in OPERATORS:
            raise ConfigError(f"there is no kind of bug {name!r}: choose from {', '.join(OPERATORS)}")
    return list(dict.fromkeys(names))


def apply_bug(content: bytes, bug: Bug) -> bytes:
    """The file with the bug in it, every other byte as it was."""
    return Source(content).rewritten(bug.start, bug.end, bug.text)


def is_changeable(content: bytes) -> bool:
    """Whether a file can be read, and written back but for a change."""
    try:
        Source(content)
    except _UNREADABLE:
        return False
    return True


def _is_sound(source: Source, function: Definition, bug: Bug) -> bool:
    """Whether something else stands there afterwards, and the function is still one of Python."""
    if source.content[bug.start : bug.end] == bug.text.encode():
        return False
    start, end = source.at(first_line(function)), source.at((function.end_lineno or 0) + 1)
    content = source.content
    text = content[start : bug.start] + bug.text.encode() + content[bug.end : end]
    try:
        with warnings.catch_warnings(action="ignore"):
            ast.parse("if True:\n" + text.decode() if function.col_offset else text.decode())
    except (SyntaxError, ValueError):
        return False
    return True


def _in_turns(lists: list[list[Bug]]) -> Iterator[Bug]:
    """The first of each list, then the second of each; blunt kinds sit out the first turn."""
    blunt = [bugs for bugs in lists if bugs and bugs[0].operator in _BLUNT]
    waiting = [bugs for bugs in lists if bugs and bugs not in blunt] or blunt
    late = [bugs for bugs in blunt if bugs not in waiting]
    while waiting:
        for bugs in waiting:
            yield bugs.pop(0)
        waiting = [bugs for bugs in (*waiting, *late) if bugs]
        late = []
