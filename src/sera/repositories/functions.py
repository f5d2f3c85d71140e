"""All functions of a tree, and which of them a task may start from.

Which files hold source, how their functions are found and what speaks against one is the matter of
its language (`languages/`, chosen by suffix). In Python every `def` at any depth is found, and lambdas
are not. A file that cannot or should not be read is in `skipped` with its reason (see `modules`, and
`languages.grammar` for the other languages), a function that makes no good start is in `refused`. The
reasons in Python:

    test        by path (`tests/`, `testing/`, a top-level `test/`, test_*.py, *_test.py, tests.py,
                conftest.py), or by name in a file that imports pytest or unittest
    stub        does nothing but `pass`, `...` or `raise NotImplementedError`
    overload, abstract   by decorator
    dunder      a special method without any control flow, such as an `__init__` that only assigns
    too short, too long, held out, excluded, not included  by `IndexRules`, in every language
    … beside the main language  there is little of it, and nobody asked for it
"""

import gc
import os
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from sera.errors import SourceError
from sera.records import Function
from sera.repositories.globs import Globs
from sera.repositories.held_out import held_out_among
from sera.repositories.languages import LANGUAGES, MISSING, Language, language_of
from sera.repositories.staging import read_regular
from sera.settings import Config, Count

LanguageName = Literal["python", "javascript", "typescript", "go", "rust", "java"]
_SMALL_PART = 0.1


class IndexRules(Config, frozen=True):
    """What is too small or too large."""

    min_statements: Count = 3
    """Statements a function needs to be sampled, docstring excluded."""
    max_lines: Count = 300
    """Lines a sampled function has at most."""
    max_file_bytes: Count = 1_000_000
    """A larger file is not read."""
    languages: tuple[LanguageName, ...] = ()
    """Languages to sample from; those but Python need the extra `languages`. Empty: the languages that hold
    at least a tenth of what could be sampled, so that the scripts of a web page do not mix with a library."""
    held_out: tuple[str, ...] = ()
    """What is kept for an evaluation and so not sampled: entries as in a held-out list, see `held_out`."""
    include: tuple[str, ...] = ()
    """Files to sample from, as patterns of a .gitignore, e.g. `packages/core`. Empty: all."""
    exclude: tuple[str, ...] = ()
    """Files not to sample from, e.g. `docs`, `benchmarks` or `/noxfile.py`. They stay in the snapshot, where
    the agent sees them."""


class FunctionIndex(msgspec.Struct, frozen=True, kw_only=True):
    """What a tree offers. Functions are ordered by path and line."""

    functions: tuple[Function, ...]
    refused: dict[str, str]
    """Function id → why it is not sampled."""
    skipped: dict[str, tuple[str, ...]]
    """Reason → paths of source files that were not read."""
    files: int
    """Source files that were read."""
    idle: tuple[str, ...] = ()
    """Patterns of the rules that match no source file."""

    @property
    def sampleable(self) -> tuple[Function, ...]:
        """The functions a task may start from."""
        return tuple(function for function in self.functions if function.id not in self.refused)

    @property
    def left_out(self) -> dict[str, int]:
        """Reason → number of functions not sampled, commonest first."""
        return dict(Counter(self.refused.values()).most_common())

    @property
    def languages(self) -> dict[str, int]:
        """Language → number of functions a task may start from, commonest first."""
        return dict(Counter(function.language for function in self.sampleable).most_common())

    @property
    def notice(self) -> str:
        """What to know of the languages that could not be read, and of patterns for nothing; or empty."""
        return "; ".join(filter(None, (self._not_read(), self._idle())))

    def _idle(self) -> str:
        return f"no source file is matched by {', '.join(self.idle)}" if self.idle else ""

    def _not_read(self) -> str:
        known = map(language_of, self.skipped.get(MISSING, ()))
        counts = Counter(language.name for language in known if language)
        if not counts:
            return ""
        listed = ", ".join(f"{count} {name}" for name, count in counts.most_common())
        return f'source files that were not read: {listed}. To read them: pip install "sera[languages]"'


def index_functions(tree: Path, rules: IndexRules = IndexRules()) -> FunctionIndex:  # noqa: B008  (frozen)
    """Read every source file below `tree`. Raises `SourceError` only if `tree` is no directory."""
    if not tree.is_dir():
        raise SourceError(f"{tree} is not a directory: functions are read from a snapshot's tree")
    files = _Files(Globs(rules.include), Globs(rules.exclude))
    read: dict[str, list[Any]] = {language.name: [] for language in LANGUAGES}
    order: dict[str, int] = {}
    skipped: dict[str, list[str]] = {}
    with _without_collector():
        for path, language in _source_files(tree, rules):
            found = _read(tree, path, language, rules)
            if isinstance(found, str):
                skipped.setdefault(found, []).append(path.encode(errors="replace").decode())
            else:
                order[path] = len(order)
                read[language.name].append(found)
        functions, refused = _judged(read, rules, files)
    return FunctionIndex(
        functions=tuple(sorted(functions, key=lambda function: order[function.path])),
        refused=refused,
        skipped={reason: tuple(paths) for reason, paths in sorted(skipped.items())},
        files=len(order),
        idle=(*files.include.idle(order), *files.exclude.idle(order)),
    )


class _Files(NamedTuple):
    """Which files are sampled from."""

    include: Globs
    exclude: Globs

    def refuse(self, path: str) -> str:
        """What speaks against a file, or empty."""
        if self.include and not self.include.match(path):
            return "not included"
        return "excluded" if self.exclude.match(path) else ""


def _judged(
    read: dict[str, list[Any]], rules: IndexRules, files: _Files
) -> tuple[list[Function], dict[str, str]]:
    """Every function once, and the reasons against those that are not sampled."""
    functions: dict[str, Function] = {}
    refused: dict[str, str] = {}
    for language in LANGUAGES:
        for function, reason in language.functions(read[language.name]):
            functions[function.id] = function
            if reason := reason or files.refuse(function.path) or _length(function, rules):
                refused[function.id] = reason
    if not rules.languages:
        refused |= _aside(functions.values(), refused)
    for held in held_out_among(functions.values(), rules.held_out):
        refused.setdefault(held, "held out")
    return list(functions.values()), refused


def _aside(functions: Iterable[Function], refused: Container[str]) -> dict[str, str]:
    """Functions of languages that are a small part of what could be sampled."""
    open_ones = [function for function in functions if function.id not in refused]
    counts = Counter(function.language for function in open_ones)
    least = _SMALL_PART * len(open_ones)
    return {
        function.id: f"{function.language} beside the main language"
        for function in open_ones
        if counts[function.language] < least
    }


def _length(function: Function, rules: IndexRules) -> str:
    """What its length says against a function, or empty."""
    if function.statements < rules.min_statements:
        return "too short"
    return "too long" if function.lines > rules.max_lines else ""


def _source_files(tree: Path, rules: IndexRules) -> Iterator[tuple[str, Language]]:
    """The tree's own source files, sorted directory by directory; links are not followed."""
    for directory, below, names in os.walk(tree):
        below[:] = sorted(name for name in below if name != ".git")
        relative = Path(directory).relative_to(tree)
        for name in sorted(names):
            language = language_of(name)
            if language and (not rules.languages or language.name in rules.languages):
                yield (relative / name).as_posix(), language


def _read(tree: Path, path: str, language: Language, rules: IndexRules) -> Any | str:
    if reason := language.skip(path):
        return reason
    if not language.available():
        return MISSING
    try:
        facts = (tree / path).lstat()
    except OSError:
        return "unreadable"
    if facts.st_size > rules.max_file_bytes:
        return "too large"
    content = read_regular(tree / path)
    return "link or unreadable" if content is None else language.read(path, content)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Syntax trees are many small objects, freed by their count: looking for cycles doubles the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
