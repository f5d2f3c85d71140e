"""Bugs by themselves: what each kind makes of a function, and that nothing else is touched."""

import ast
import textwrap

import pytest

from sera.errors import ConfigError
from sera.evaluation.tasks.bugs import OPERATORS, apply_bug, find_bugs
from sera.evaluation.tasks.bugs.base import Scope, Source

MAKES = [
    ("comparison-boundary", "if a  <  b: return a", "if a  <=  b: return a"),
    ("comparison-opposite", "return a not  in b", "return a in b"),
    ("comparison-opposite", "return (a) == (b)", "return (a) != (b)"),
    ("condition-negated", "if not a: return b", "if a: return b"),
    ("condition-negated", "if a or b: return b", "if not (a or b): return b"),
    ("and-or", "return a and b", "return a or b"),
    ("clause-dropped", "return a and b", "return a"),
    ("guard-removed", "if a is None:\n    return 0  # nothing\nreturn b", "return b"),
    ("else-dropped", "if a:\n    b = 1\nelse:\n    b = 2\nreturn b", "if a:\n    b = 1\nreturn b"),
    (
        "break-continue",
        "for x in a:\n    if x: break\n    b += x",
        "for x in a:\n    if x: continue\n    b += x",
    ),
    ("constant-off-by-one", "return a[0]", "return a[1]"),
    ("operator-swapped", "a += b", "a -= b"),
    ("operator-swapped", "return (a) // (b)", "return (a) / (b)"),
    ("wrong-variable", "return a", "return b"),
    ("slice-bound", "return a[:b]", "return a[:b - 1]"),
    ("boolean-inverted", "return True", "return False"),
    ("key-mutated", "return a['x'] + a['y']", "return a['y'] + a['y']"),
    ("key-mutated", "return a.left - a.right", "return a.right - a.right"),
    (
        "exception-narrowed",
        "try: a()\nexcept (KeyError, TypeError): pass",
        "try: a()\nexcept KeyError: pass",
    ),
    ("arguments-swapped", "return f(a,  b)", "return f(b,  a)"),
    ("argument-dropped", "return f(a, key=b)", "return f(a)"),
    ("call-dropped", "return a.strip().x", "return a.x"),
    ("copy-missing", "return list(a)", "return a"),
    ("twin-called", "return a.startswith(b)", "return a.endswith(b)"),
    ("return-dropped", "return f(a)", "f(a)"),
    ("statement-removed", "a.append(b)\nreturn a", "return a"),
]


def function(body: str, head: str = "def f(a, b):") -> str:
    return f"# é ü\n@wrap\n{head}\n{textwrap.indent(body, '    ')}\n\n\nafter = 1   # kept\n"


def made_by(name: str, source: str) -> list[str]:
    read = Source(source.encode())
    node = read.find(2)
    assert node is not None
    changes = OPERATORS[name](Scope(read, node))
    return [(read.content[: c.start] + c.text.encode() + read.content[c.end :]).decode() for c in changes]


@pytest.mark.parametrize(("name", "body", "changed"), MAKES)
def test_what_a_kind_of_bug_makes(name: str, body: str, changed: str) -> None:
    assert function(changed) in made_by(name, function(body))


def test_defaults_and_awaits() -> None:
    assert function("return a", "def f(a=False):") in made_by(
        "wrong-default", function("return a", "def f(a=True):")
    )
    assert function("return a()", "async def f(a):") in made_by(
        "await-dropped", function("return await a()", "async def f(a):")
    )


def test_every_kind_is_tried_here() -> None:
    assert {name for name, _, _ in MAKES} | {"wrong-default", "await-dropped"} == OPERATORS.keys()
    assert len(OPERATORS) >= 12


def test_an_endless_loop_is_not_made() -> None:
    assert made_by("break-continue", function("while a:\n    break")) == []
    assert made_by("condition-negated", function("while a:\n    b()")) == []


SOURCE = function("total = 0\nfor x in a:\n    if x > 1 and b:\n        total += x\nreturn list(total)")


def test_bugs_parse_and_come_in_a_fixed_order() -> None:
    found = find_bugs(SOURCE.encode(), 2, 7, 12)
    for bug in found:
        changed = apply_bug(SOURCE.encode(), bug)
        assert changed != SOURCE.encode()
        assert changed.endswith(b"after = 1   # kept\n")
        ast.parse(changed)
    assert find_bugs(SOURCE.encode(), 2, 7, 5) == found[:5]
    assert find_bugs(SOURCE.encode(), 2, 8, 12) != found
    assert len({bug.operator for bug in found[:5]}) == 5


def test_only_the_function_itself_is_changed() -> None:
    source = function("def inner(x):\n    return x + 1\nreturn inner")
    assert made_by("constant-off-by-one", source) == []


def test_what_cannot_be_read_gives_none() -> None:
    assert find_bugs(b"def f(:\n", 1, 0, 9) == []
    assert find_bugs(b"# coding: utf-7\n" + SOURCE.encode(), 3, 0, 9) == []
    assert find_bugs(SOURCE.encode("latin-1"), 2, 0, 9) == []
    assert find_bugs(SOURCE.encode(), 1, 0, 9) == []


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="there is no kind of bug 'typo'"):
        find_bugs(SOURCE.encode(), 2, 0, 9, ["typo"])
