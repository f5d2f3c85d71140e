"""Every kind of edit: it applies to its fixture, the result parses, and valid calls behave as before."""

import ast
from pathlib import Path

import pytest

from sera.harness import load_profile
from sera.teachers.rehearsal.dice import Dice
from sera.teachers.rehearsal.edits import MAKERS, Alteration, candidates, kinds, make
from sera.teachers.rehearsal.source import Code, read_code

FIXTURES: dict[str, tuple[str, list[tuple[object, ...]]]] = {
    "guard_none": ("def f(a):\n    b = a.real\n    return b + 1\n", [(3,)]),
    "guard_empty": ("def f(a):\n    first = a[0]\n    return first\n", [([4, 5],), ((1,),)]),
    "guard_type": ('def f(a):\n    """Doc."""\n    return a.strip().upper()\n', [(" x ",), (b"y",)]),
    "guard_negative": ("def f(n):\n    r = []\n    for i in range(n):\n        r.append(i)\n    return r\n", [(3,)]),
    "narrow_except": ("def f(a):\n    try:\n        return 1 / a\n    except:\n        return 0\n", [(0,), (2,)]),
    "chain_exceptions": (
        "def f(a):\n    try:\n        return int(a)\n    except ValueError:\n        raise KeyError(a)\n",
        [("3",), ("x",)],
    ),
    "assert_to_raise": ("def f(a):\n    assert a > 0, 'no'\n    return a\n", [(1,), (0,)]),
    "log_branch": ("def f(a):\n    if not a:\n        return 0\n    return a\n", [(0,), (2,)]),
    "mutable_default": ("def f(a, seen=[]):\n    return [*seen, a]\n", [(1,), (1, [2])]),
    "annotate": ("def f(a, b=2, c='x', *, d=True):\n    return (a, b, c, d)\n", [(1,), (1, 2, "z")]),
    "keyword_parameter": ("def f(a):\n    if len(a) > 5:\n        return 'long'\n    return a\n", [("abc",), ("abcdefg",)]),
    "boolean_return": ("def f(a):\n    if a > 3:\n        return True\n    return False\n", [(1,), (9,)]),
    "drop_else": (
        "def f(a):\n    if a:\n        return 1\n    else:\n        b = 2\n        return b\n",
        [(0,), (1,)],
    ),
    "invert_if": (
        "def f(a):\n    out = []\n    for x in a:\n        if x:\n            x = x + 1\n            out.append(x)\n"
        "    return out\n",
        [([0, 1, 2],)],
    ),
    "rename_local": ("def f(a):\n    s = 0\n    for part in a:\n        s += part\n    return s\n", [([1, 2],)]),
    "extract_constant": ("\n\ndef f(a):\n    if a > 42:\n        return 'big'\n    return 'small'\n", [(1,), (50,)]),
    "compare_none": ("def f(a):\n    if a == None:\n        return 0\n    return a\n", [(None,), (2,)]),
    "membership": ("def f(a):\n    if a == 'x' or a == 'y':\n        return 1\n    return 2\n", [("x",), ("q",)]),
    "open_encoding": (f"def f():\n    with open({__file__!r}) as h:\n        return len(h.read())\n", [()]),
    "with_open": (
        f"def f():\n    h = open({__file__!r})\n    text = h.read()\n    size = len(text)\n    h.close()\n    return size\n",
        [()],
    ),
    "sort_iteration": (
        f"import os\ndef f():\n    names = set()\n    for n in os.listdir({str(Path(__file__).parent)!r}):\n"
        "        names.add(n)\n    return names\n",
        [()],
    ),
    "extract_condition": (
        "\n\ndef f(a, b):\n    if a > 1 and b not in (2, 3):\n        return 'yes'\n    return 'no'\n",
        [(2, 4), (2, 2), (0, 4)],
    ),
    "extract_result": ("\n\ndef f(a, b):\n    c = a + 1\n    return (c, b * 2)\n", [(1, 2)]),
    "add_docstring": ("def f(a, b):\n    return a + b\n", [(1, 2)]),
    "complete_docstring": ('def f(a, bound):\n    """Add up."""\n    return a + bound\n', [(1, 2)]),
    "remark": ("def f(a):\n    b = a\n    return b\n", [(1,)]),
}  # fmt: skip


def cut(source: str, name: str = "f") -> Code:
    lines = dict(enumerate(source.split("\n")[:-1], 1))
    node = next(n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef) and n.name == name)
    code = read_code("m.py", lines, node.lineno, name, len(lines))
    assert code is not None
    return code


def applied(source: str, alteration: Alteration) -> str:
    lines = source.split("\n")
    for hunk in reversed(alteration.hunks):
        first = alteration.code.first - 1 + hunk.start
        assert tuple(lines[first : first + len(hunk.old)]) == hunk.old
        lines[first : first + len(hunk.old)] = hunk.new
    return (f"import {alteration.imports}\n" if alteration.imports else "") + "\n".join(lines)


def outcome(source: str, arguments: tuple[object, ...]) -> object:
    space: dict[str, object] = {"__name__": "m"}
    exec(compile(source, "m.py", "exec"), space)
    function = space["f"]
    assert callable(function)
    try:
        return function(*arguments)
    except Exception as error:  # noqa: BLE001 - the outcome is compared, whatever it is
        return type(error), str(error)


def test_every_kind_has_a_function_words_and_a_fixture() -> None:
    assert MAKERS.keys() == kinds().keys() == FIXTURES.keys()
    assert len(MAKERS) >= 14


@pytest.mark.parametrize("flavour", [0, 1])
@pytest.mark.parametrize("kind", FIXTURES)
def test_valid_calls_behave_as_before(kind: str, flavour: int) -> None:
    source, calls = FIXTURES[kind]
    alteration = make(kind, cut(source), flavour)
    assert alteration is not None
    changed = applied(source, alteration)
    assert changed != source
    for arguments in calls:
        assert outcome(changed, arguments) == outcome(source, arguments)


@pytest.mark.parametrize(
    ("kind", "arguments", "error"),
    [
        ("guard_none", (None,), (TypeError, "a must not be None")),
        ("guard_empty", ([],), (ValueError, "a must not be empty")),
        ("guard_type", (3,), (TypeError, "a must be text")),
        ("guard_negative", (-1,), (ValueError, "n must not be negative")),
    ],
)
def test_guards_refuse_what_they_are_for(kind: str, arguments: tuple[object, ...], error: object) -> None:
    source, _ = FIXTURES[kind]
    alteration = make(kind, cut(source))
    assert alteration is not None
    assert outcome(applied(source, alteration), arguments) == error


def test_kinds_that_would_change_the_meaning_do_not_apply() -> None:
    assert make("guard_none", cut("def f(a):\n    if a is None:\n        return 1\n    return a.x\n")) is None
    assert make("rename_local", cut("def f():\n    x = 1\n    x += 1\n    return f'{x}'\n")) is None
    assert (
        make(
            "drop_else", cut("def f(a):\n    if a:\n        b = 1\n    else:\n        b = 2\n    return b\n")
        )
        is None
    )
    assert make("keyword_parameter", cut("def f(a, b=5, **k):\n    return a > 7\n")) is None
    assert make("extract_result", cut("\n\ndef f(a):\n    return [x for x in a]\n")) is None


def test_positions_count_characters_not_bytes() -> None:
    source = "def f(a):\n    s = 'äöü'; s = s + a\n    return s\n"
    alteration = make("rename_local", cut(source))
    assert alteration is not None
    assert "text = 'äöü'; text = text + a" in applied(source, alteration)


def test_every_category_has_kinds_that_fit_and_always_a_way_out() -> None:
    profile = load_profile()
    for category in profile.categories:
        assert sum(category in kind.fits for kind in kinds().values()) >= 1, category
        assert set(candidates(category, Dice("k"))) == set(MAKERS)
    for kind in kinds().values():
        assert set(kind.fits) <= set(profile.categories)


def test_kinds_are_sound_on_a_library_full_of_functions() -> None:
    """Every kind on some hundred functions of the standard library: the whole file parses afterwards."""
    tried = 0
    for name in ("textwrap.py", "shlex.py", "fnmatch.py", "csv.py"):
        source = Path(ast.__file__).with_name(name).read_text("utf-8")
        lines = dict(enumerate(source.split("\n")[:-1], 1))
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                code = read_code(name, lines, node.lineno, node.name, len(lines))
                assert code is not None
                assert code.first + len(code.lines) - 1 == node.end_lineno
                for kind in MAKERS:
                    if alteration := make(kind, code):
                        ast.parse(applied(source, alteration))
                        tried += 1
    assert tried > 100
