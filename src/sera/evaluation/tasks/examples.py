"""The code of a test as a text shows it: with what it needs, and without its name.

It is shown up to the line that failed, or whole where all of it is news. A test without parameters is shown
as plain statements; one with fixtures or cases as a function of pytest, with its decorators, and with those
fixtures that the repository itself defines.
"""

import ast
import re
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from sera.environments.suite_answers import Outcome
from sera.evaluation.tasks.hiding import Definition, find_test

Read = Callable[[str], str]
"""Path → text of a file of the tests, its lines ended by a line feed; empty if there is none."""
_MOST_LINES = 24
_MOST_HELPER = 10
_MOST_WHOLE = 60
"""Lines of a test that is shown whole."""
_SET_UP = ("setUp", "setup_method")


class Example(NamedTuple):
    """What is shown of a test."""

    code: str
    subject: str
    """What it calls of the project, quoted; empty if that is not plain."""


def show_test(read: Read, failure: Outcome, whole: bool) -> Example | None:
    """The example that a failed test is; None if it cannot be shown. `whole`: with everything of its file
    that it needs, else up to the line that failed."""
    path = failure.id.partition("::")[0]
    text = read(path)
    node = find_test(text, failure.id)
    if node is None:
        return None
    above = [read(str(folder / "conftest.py")) for folder in reversed(PurePosixPath(path).parents)]
    line = 0 if whole else failure.line
    code = _code(text, [one for one in above if one], node, _class_of(text, failure.id), line, whole)
    return Example(code, _subject(text, node, failure.line)) if code else None


def _code(
    text: str, above: list[str], node: Definition, owner: ast.ClassDef | None, line: int, whole: bool
) -> str:
    body = _body(node)
    if not body:
        return ""
    first = _start(body[0])
    last = _end(body, line)
    cut = first if whole or last - first < _MOST_LINES else _cut(body, last)
    if last - cut > (_MOST_WHOLE if whole else 2 * _MOST_LINES):
        return ""
    lines = text.split("\n")
    rest = "\n".join(lines[cut - 1 : last])
    before = _needed([one for one in body if one.lineno < cut], rest)
    kept = [line for one in before for line in lines[one.lineno - 1 : one.end_lineno]]
    shown = textwrap.dedent("\n".join([*kept, rest])).strip("\n")
    shown = "\n".join([*_set_up(lines, owner, shown), shown])
    shown = _as_function(lines, node, owner, shown)
    own, lacking = _helpers(text, above, shown, node)
    if not shown or (whole and lacking):
        return ""
    imports = _imported(text, above, own, shown)
    return "\n\n".join(part for part in ("\n".join(imports), *own, shown) if part)


def _imported(text: str, above: list[str], own: list[str], shown: str) -> list[str]:
    """The imports of what is used; those of the files `above` for helpers alone."""
    helping = _words("\n".join(own))
    used, found = helping | _words(shown), list[str]()
    for part in (text, *above):
        nodes = [one for one in _imports(part) if used.intersection(_bound(one))]
        found += [ast.unparse(_only(one, used)) for one in nodes]
        used = helping.difference(*map(_bound, nodes), *map(_bound, _imports(text)))
    return list(dict.fromkeys(found))


def _as_function(lines: list[str], node: Definition, owner: ast.ClassDef | None, shown: str) -> str:
    """The statements shown as a test of pytest's, if they need what it hands to them; empty if that is too
    much to be shown."""
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    named = [one.arg for one in arguments if one.arg not in ("self", "cls")]
    is_async = isinstance(node, ast.AsyncFunctionDef)
    if not named and not is_async:
        return shown
    cases = [one for one in owner.decorator_list if "parametrize" in ast.unparse(one)] if owner else []
    words = [
        textwrap.dedent("\n".join(lines[one.lineno - 1 : one.end_lineno]))
        for one in (*cases, *node.decorator_list)
        if "skip" not in ast.unparse(one)
    ]
    head = f"{'async ' if is_async else ''}def test_example({', '.join(named)}):"
    if sum(one.count("\n") + 1 for one in words) > _MOST_LINES:
        return ""
    return "\n".join([*words, head, textwrap.indent(shown, "    ")])


def _set_up(lines: list[str], owner: ast.ClassDef | None, shown: str) -> list[str]:
    """What the test's class does before each test, if the example uses what it sets."""
    used = set(re.findall(r"\bself\.(\w+)", shown))
    for node in owner.body if owner else ():
        if isinstance(node, Definition) and node.name in _SET_UP:
            body = _body(node)
            set_there = {one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute)}
            if body and used & set_there and (node.end_lineno or 0) - body[0].lineno < _MOST_HELPER:
                return [textwrap.dedent("\n".join(lines[_start(body[0]) - 1 : node.end_lineno]))]
    return []


def _class_of(text: str, test: str) -> ast.ClassDef | None:
    """The class that a test is a method of."""
    found: ast.ClassDef | None = None
    body = _parsed(text)
    for name in test.split("::")[1:-1]:
        found = next((one for one in body if isinstance(one, ast.ClassDef) and one.name == name), None)
        body = found.body if found else []
    return found


def _cut(body: list[ast.stmt], last: int) -> int:
    """The line from which a long test is shown: never from the midst of a statement."""
    starts = [one.lineno for one in body if one.lineno <= last]
    return next((line for line in starts if last - line < _MOST_LINES), starts[-1])


def _needed(before: list[ast.stmt], shown: str) -> list[ast.stmt]:
    """Of the statements left out, those that define what the rest uses."""
    words, kept = _words(shown), list[ast.stmt]()
    for one in reversed(before):
        defines = isinstance(one, ast.Assign | ast.Import | ast.ImportFrom | Definition)
        names = _stored(one) | set(_bound(one) if isinstance(one, ast.Import | ast.ImportFrom) else ())
        names |= {one.name} if isinstance(one, Definition) else set()
        if defines and names & words and (one.end_lineno or 0) - one.lineno < _MOST_HELPER:
            kept.insert(0, one)
            words |= _words(ast.unparse(one))
    return kept


def _helpers(text: str, above: list[str], shown: str, test: Definition) -> tuple[list[str], bool]:
    """Short functions, fixtures and values of the test file that an example uses, those that these use, and
    fixtures of the files `above`; and whether there are others, which are too long to be shown."""
    local = _stored(test)
    defined: dict[str, str] = {}
    for part in (*above, text):
        lines = part.split("\n")
        for node in _parsed(part):
            if part is text or _is_fixture(node):
                source = "\n".join(lines[_start(node) - 1 : node.end_lineno]).strip()
                defined |= dict.fromkeys((name for name in _defined(node) if name not in local), source)
    found: set[str] = set()
    waiting, lacking = [shown], False
    while waiting:
        for name in sorted(_words(waiting.pop()) & defined.keys() - found):
            if defined[name].count("\n") < _MOST_LINES:
                found.add(name)
                waiting.append(defined[name])
            else:
                lacking = True
    helpers = list(dict.fromkeys(source for name, source in defined.items() if name in found))
    if sum(one.count("\n") + 1 for one in helpers) > _MOST_WHOLE:
        return [], True
    return helpers, lacking


def _is_fixture(node: ast.stmt) -> bool:
    return isinstance(node, Definition) and any("fixture" in ast.unparse(one) for one in node.decorator_list)


def _stored(node: ast.AST) -> set[str]:
    """Variables of a test."""
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}


def _defined(node: ast.stmt) -> list[str]:
    """Names that a statement at the top of a file defines; none of a test."""
    if isinstance(node, Definition | ast.ClassDef):
        return [] if node.name.lower().startswith("test") else [node.name]
    if isinstance(node, ast.Assign):
        return [one.id for one in node.targets if isinstance(one, ast.Name)]
    return []


def _start(node: ast.stmt) -> int:
    """First line of a statement, decorators included."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(one.lineno for one in decorators)])


def _body(node: Definition) -> list[ast.stmt]:
    first = node.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return node.body[1:] if documented else node.body


def _end(body: list[ast.stmt], line: int) -> int:
    """Last line of the innermost statement that holds a line; of the body, if none does."""
    inside = [node for one in body for node in ast.walk(one) if isinstance(node, ast.stmt)]
    holding = [node for node in inside if node.lineno <= line <= (node.end_lineno or 0)]
    if not holding:
        return body[-1].end_lineno or 0
    innermost = min(holding, key=lambda node: (node.end_lineno or 0) - node.lineno)
    whole = isinstance(innermost, ast.With | ast.AsyncWith) or not hasattr(innermost, "body")
    return (innermost.end_lineno or 0) if whole else max(line, innermost.lineno)


def _subject(text: str, node: Definition, line: int) -> str:
    """The first name from elsewhere that the failing statement calls, else that the test does."""
    bound = {name for one in _imports(text) if not _of_python(one) for name in _bound(one)}
    bound -= _stored(node)
    body = _body(node)
    near = [one for one in body if one.lineno <= line <= (one.end_lineno or 0)]
    for part in (*near, *body):
        for call in ast.walk(part):
            if isinstance(call, ast.Call):
                name = ast.unparse(call.func)
                if name.partition(".")[0] in bound and re.fullmatch(r"[\w.]+", name):
                    return f"`{name}`"
    return ""


def _imports(text: str) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports at the top of a test file, but those by a place relative to it."""
    for node in _parsed(text):
        if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and not node.level):
            yield node


def _of_python(node: ast.Import | ast.ImportFrom) -> bool:
    """Whether an import is of the standard library or a test framework: a text is about the project."""
    name = node.names[0].name if isinstance(node, ast.Import) else node.module or ""
    return name.partition(".")[0] in sys.stdlib_module_names | {"pytest", "hypothesis"}


def _only(node: ast.Import | ast.ImportFrom, words: set[str]) -> ast.stmt:
    """The import of what is used alone."""
    names = [
        one for one in node.names if (one.asname or one.name).partition(".")[0] in words or one.name == "*"
    ]
    if isinstance(node, ast.Import):
        return ast.Import(names=names)
    return ast.ImportFrom(module=node.module, names=names, level=node.level)


def _bound(node: ast.Import | ast.ImportFrom) -> list[str]:
    return [(one.asname or one.name).partition(".")[0] for one in node.names]


def _words(text: str) -> set[str]:
    """Names that code uses, those of parameters included; every word of what is no whole code."""
    nodes = [node for one in _parsed(text) for node in ast.walk(one)]
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return names | {node.arg for node in nodes if isinstance(node, ast.arg)} or set(re.findall(r"\w+", text))


def _parsed(text: str) -> list[ast.stmt]:
    """The statements of a file; none of one that cannot be read."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
