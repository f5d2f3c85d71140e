"""The text of a task: what goes wrong, told from the tests that fail, and nothing of why.

The sentences are data (`issues.toml`). What is told of each test: its code up to the line that failed
(`examples.py`), and what came of it. `leaks` is asked of every part, and one that leaks is not used.
"""

import hashlib
import re
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib import resources
from random import Random
from typing import Any, NamedTuple

from sera.environments.suite_answers import Outcome
from sera.evaluation.tasks.bugs import OPERATORS
from sera.evaluation.tasks.examples import Example, Read, show_test

_MOST_TOLD = 5
"""Test functions that one text tells of."""
_MOST_SAID = 900
_SHORTEST = 12
"""Characters from which on a changed line says something when it stands in a text."""
_WORDS = re.compile(r"\b(?:mutants?|mutat(?:ed|ion)|injected|operator \w+-\w+)\b", re.I)
_MISSING = ("ImportError", "ModuleNotFoundError", "AttributeError", "NameError")
_NOT_RAISED = re.compile(r"DID NOT RAISE|not raised", re.I)
_NOT_SAID = re.compile(r"\.py:\d+|\bline \d+\b|Use -v to get")
"""Lines of what an exception said that name a place, or speak of the runner."""
_ADDRESS = re.compile(r" at 0x[0-9a-f]+| \(/[^()\n]*\.py\)")
"""Of an object in memory, and of the file that a name cannot be imported from."""


class Issue(NamedTuple):
    """What is told, and which tests are told of."""

    text: str
    told: frozenset[str]
    """Test functions: names of tests without their case."""


def write_issue(
    read: Read, failures: Iterable[Outcome], patch: str, project: str, seed: int, held: bool
) -> Issue:
    """A text about failures, which gives nothing of the patch away; empty if nothing can be told of any.
    `held`: the tests passed once, as those of a new feature never did."""
    failures = list(failures)
    names = [one.id for one in failures]
    parts: list[str] = []
    told: dict[str, str] = {}
    """Test function → the code that is shown of it."""
    for failure in choose_failure(failures):
        function = function_of(failure.id)
        example = None if function in told else _example(read, failure, whole=not held)
        if example and example.code in told.values():
            told[function] = example.code
        elif example and len(parts) < _MOST_TOLD:
            text = _written(example, failure, project, seed, held, first=not parts)
            if not leaks(text, patch, names):
                told[function] = example.code
                parts.append(text)
    more = held and parts and len({function_of(name) for name in names}) > len(told)
    rest = _texts()["rest"][0]["body"] if more else []
    return Issue("\n\n".join([*parts, *rest]), frozenset(told))


def function_of(test: str) -> str:
    """A test's name without its case."""
    path, _, inner = test.partition("::")
    return f"{path}::{inner.partition('[')[0]}"


def _example(read: Read, failure: Outcome, whole: bool) -> Example | None:
    try:
        return show_test(read, failure, whole) if _said(failure) else None
    except RecursionError:  # `ast.unparse` calls itself for each level of an expression
        return None


def _written(example: Example, failure: Outcome, project: str, seed: int, held: bool, first: bool) -> str:
    """What is told of one failure."""
    random = Random(int.from_bytes(hashlib.sha256(f"{seed}\0{failure.id}".encode()).digest()))
    kinds = _texts()[_kind(failure) if first else "further"]
    words = random.choice([one for one in kinds if held or not one.get("held")])
    facts = {"subject": example.subject or project, "project": project}
    facts |= {"example": example.code, "said": _said(failure)}
    facts |= {"exception": failure.kind.rpartition(".")[2] or "an exception"}
    return "\n\n".join(part.format(**facts) for part in (words.get("title", ""), *words["body"]) if part)


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


def _said(failure: Outcome) -> str:
    """What came of it, as the exception said."""
    text = _ADDRESS.sub("", failure.said).strip()
    kept = [line for line in text.splitlines() if not _NOT_SAID.search(line)]
    said = "\n".join(kept)
    return said if len(said) <= _MOST_SAID else said[:_MOST_SAID].rstrip() + " …"


def _squeezed(text: str) -> str:
    return " ".join(text.split())


@cache
def _texts() -> dict[str, list[dict[str, Any]]]:
    text = (resources.files("sera.evaluation.tasks") / "issues.toml").read_text("utf-8")
    return tomllib.loads(text)
