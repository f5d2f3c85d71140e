"""The text of a task: what goes wrong, told from a test that fails, and nothing of why.

The sentences are data (`issues.toml`). What is told: the code of the test up to the line that failed, with
the name of the test left out, and what came of it. `leaks` is asked of every text, and one that leaks is not
used.
"""

import ast
import hashlib
import re
import sys
import textwrap
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import resources
from random import Random
from typing import Any

from sera.evaluation.tasks.bugs import OPERATORS
from sera.evaluation.tasks.hiding import Definition, find_test
from sera.evaluation.tasks.running import Outcome

_MOST_LINES = 24
_MOST_HELPER = 10
_MOST_SAID = 900
_SHORTEST = 12
"""Characters from which on a changed line says something when it stands in a text."""
_WORDS = re.compile(r"\b(?:mutants?|mutat(?:ed|ion)|injected|operator \w+-\w+)\b", re.I)
_MISSING = ("ImportError", "ModuleNotFoundError", "AttributeError", "NameError")
_NOT_RAISED = re.compile(r"DID NOT RAISE|not raised", re.I)
_NOT_SAID = re.compile(r"\.py:\d+|\bline \d+\b|Use -v to get")
"""Lines of what an exception said that name a place, or speak of the runner."""
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def write_issue(text: str, failure: Outcome, project: str, seed: int) -> str:
    """A text about a failure; empty if nothing can be told of it. `text` is the file of the test."""
    try:
        return _written(text, failure, project, seed)
    except RecursionError:  # `ast.unparse` calls itself for each level of an expression
        return ""


def _written(text: str, failure: Outcome, project: str, seed: int) -> str:
    node = find_test(text, failure.id)
    if node is None:
        return ""
    example = _example(text, node, failure.line)
    said = _said(failure)
    if not example or not said:
        return ""
    random = Random(int.from_bytes(hashlib.sha256(f"{seed}\0{failure.id}".encode()).digest()))
    words = random.choice(_texts()[_kind(failure)])
    subject = _subject(text, node, failure.line) or project
    facts = {"subject": subject, "project": project, "example": example, "said": said}
    facts |= {"exception": failure.kind.rpartition(".")[2] or "an exception"}
    return "\n\n".join(part.format(**facts) for part in (words["title"], *words["body"]))


def choose_failure(failures: Iterable[Outcome]) -> list[Outcome]:
    """Failures in the order in which they are worth telling: the plainest first."""
    return sorted(failures, key=lambda one: (not one.line, len(one.said) > _MOST_SAID, len(one.said), one.id))


def leaks(text: str, patch: str, tests: Iterable[str] = ()) -> list[str]:
    """What of a text gives an answer away: a line of the patch, a place in a file of it, the name of a test
    that tells, or the words of those who make such tasks. Empty: nothing."""
    found = []
    plain = _squeezed(text)
    for line in patch.splitlines():
        if line[:1] in "+-" and not line.startswith(("+++", "---")):
            changed = _squeezed(line[1:])
            if len(changed) >= _SHORTEST and changed in plain:
                found.append(f"the line {changed!r} of the patch")
    for path in re.findall(r"^\+\+\+ b/(.+)$", patch, re.M):
        if path in text:
            found.append(f"the file {path}")
    found += [f"the words {one!r}" for one in _WORDS.findall(text)]
    found += [
        f"the kind of bug {name!r}" for name in OPERATORS if re.search(rf"\b{name}\b", text) and "-" in name
    ]
    names = {name.rpartition("::")[2].partition("[")[0] for name in tests}
    found += [f"the test {name}" for name in sorted(names) if re.search(rf"\b{re.escape(name)}\b", text)]
    if re.search(r"\bline \d+\b|\.py:\d+", text):
        found.append("a line number")
    return found


def _kind(failure: Outcome) -> str:
    kind = failure.kind.rpartition(".")[2]
    if _NOT_RAISED.search(failure.said):
        return "silent"
    if kind in ("AssertionError", "Failed") or not failure.inside:
        return "missing" if kind in _MISSING else "wrong"
    return "raises"


def _example(text: str, node: Definition, line: int) -> str:
    """The test's code up to the end of the statement that failed, without its name."""
    body = _body(node)
    if not body:
        return ""
    first = min([body[0].lineno, *(one.lineno for one in getattr(body[0], "decorator_list", []))])
    last = _end(body, line)
    lines = text.split("\n")
    cut = first if last - first < _MOST_LINES else _cut(body, last)
    if last - cut > 2 * _MOST_LINES:
        return ""
    rest = "\n".join(lines[cut - 1 : last])
    before = _needed([one for one in body if one.lineno < cut], rest)
    kept = [line for one in before for line in lines[one.lineno - 1 : one.end_lineno]]
    shown = textwrap.dedent("\n".join([*kept, rest])).strip("\n")
    own = _helpers(text, shown, node)
    used = _words("\n".join([*own, shown]))
    imports = [_only(one, used) for one in _imports(text) if used.intersection(_bound(one))]
    top = "\n".join(map(ast.unparse, imports))
    return "\n\n".join(part for part in (top, *own, shown) if part)


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


def _helpers(text: str, shown: str, test: Definition) -> list[str]:
    """Short functions and values of the test file that an example uses, and those that these use."""
    local = _stored(test)
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    defined = {
        name: "".join(lines[node.lineno - 1 : node.end_lineno]).strip()
        for node in ast.parse(text).body
        for name in _defined(node)
        if name not in local and (node.end_lineno or 0) - node.lineno < _MOST_HELPER
    }
    found: dict[str, str] = {}
    waiting = [shown]
    while waiting:
        for name in sorted(_words(waiting.pop()) & defined.keys() - found.keys()):
            found[name] = defined[name]
            waiting.append(defined[name])
    helpers = list(dict.fromkeys(source for name, source in defined.items() if name in found))
    return helpers if sum(one.count("\n") + 1 for one in helpers) <= _MOST_LINES else []


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


def _said(failure: Outcome) -> str:
    """What came of it, as the exception said."""
    text = _ADDRESS.sub("", failure.said).strip()
    kept = [line for line in text.splitlines() if not _NOT_SAID.search(line)]
    said = "\n".join(kept)
    return said if len(said) <= _MOST_SAID else said[:_MOST_SAID].rstrip() + " …"


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
    for node in ast.parse(text).body:
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
    return set(re.findall(r"\w+", text))


def _squeezed(text: str) -> str:
    return " ".join(text.split())


@cache
def _texts() -> dict[str, list[dict[str, Any]]]:
    text = (resources.files("sera.evaluation.tasks") / "issues.toml").read_text("utf-8")
    return tomllib.loads(text)
