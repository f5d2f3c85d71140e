"""A language read by a tree-sitter grammar: what sets one apart is data, what they share is here.

    queries/*.scm   where functions are and what they are called (captures: see `scan`); *.marks.scm, what
                    lies in and around them
    Grammar         the customs: kinds of nodes, tests, output of builds, generated files

Reasons for which a file is not read, besides those of the index:

    name is not UTF-8, vendored, minified, needs pip install "sera[languages]"
    generated        by name, by a directory of build output, or by a comment in the file's head
    declarations     it holds types and signatures only, such as `*.d.ts`
    bad encoding     not UTF-8, or with null bytes
    other content    the suffix is shared with something that is not source, such as XML in `.ts`
    syntax error     nothing in it could be made sense of
    too slow to parse

and for which a function makes no good start: `test`, `syntax error` (a part of it, or of what is
around it, could not be parsed), `no body` (abstract, overload, declared elsewhere), `stub` (an empty
body), `constructor` (without any control flow: a change to it is a change elsewhere).
"""

import re
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import PurePosixPath
from typing import Any

import msgspec

from sera.records import Function
from sera.repositories.languages.made import make_function
from sera.repositories.languages.mentions import find_mentions
from sera.repositories.languages.parsing import Parsed, TooSlow
from sera.repositories.languages.scan import Found, Syntax, scan
from sera.repositories.modules import VENDORED, is_minified

_OUTPUT = frozenset({"dist", "build", "target", "out", "coverage"})
"""Directories of build output, unless they lie below one with sources."""
_SOURCES = frozenset({"src", "lib", "pkg", "cmd", "internal", "packages", "crates"})
_HEAD_BYTES = 1024
_GENERATED = re.compile(
    rb"^\s*(//|/?\*+)[^\w@\n]*((this|the) (file|code|module) (was|is|has been) )?"
    rb"(auto(matically)?[- ]?generated|generated (by|from|with)\b|code generated|@generated)"
    rb"|^\s*(//|/?\*).*do not (edit|modify)\b",
    re.I | re.M,
)
"""In comments of a file's head that stand on lines of their own."""
_NEVER = re.compile(r"(?!)")


class File(msgspec.Struct, frozen=True):
    """One file that was read."""

    path: str
    functions: list[Found]


class Grammar(msgspec.Struct, frozen=True, kw_only=True):
    """The language that a grammar and these customs make. Obeys `contract.Language`."""

    name: str
    suffixes: tuple[str, ...]
    module: str
    """The wheel's module."""
    syntax: Syntax
    dialects: dict[str, str] = {}
    """Suffix → name of the module's function that gives its grammar, where that is not `language`."""
    default_dialect: str = "language"
    test_path: re.Pattern[str]
    """Matches the path of a file of tests."""
    generated_name: re.Pattern[str] = _NEVER
    """Matches the name of a generated file."""
    declarations_name: re.Pattern[str] = _NEVER
    """Matches the name of a file without bodies."""
    other_content: bytes = b""
    """What a file that only shares the suffix begins with."""
    vendored: frozenset[str] = VENDORED

    def available(self) -> bool:
        """Whether tree-sitter and the grammar are installed."""
        return find_spec("tree_sitter") is not None and find_spec(self.module) is not None

    def skip(self, path: str) -> str:
        """By path alone."""
        try:
            path.encode()
        except UnicodeEncodeError:
            return "name is not UTF-8"
        *folders, name = PurePosixPath(path).parts
        if self.vendored.intersection(folders):
            return "vendored"
        top = next((n for n, folder in enumerate(folders) if folder in _SOURCES), len(folders))
        if _OUTPUT.intersection(folders[:top]) or self.generated_name.search(name):
            return "generated"
        return "declarations" if self.declarations_name.search(name) else ""

    def read(self, path: str, content: bytes) -> File | str:
        """The functions of a file, or why not."""
        content = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if _GENERATED.search(content[:_HEAD_BYTES]):
            return "generated"
        if is_minified(content):
            return "minified"
        if self.other_content and content.lstrip().startswith(self.other_content):
            return "other content"
        try:
            text = content.decode()
        except UnicodeDecodeError:
            return "bad encoding"
        if "\0" in text:
            return "bad encoding"
        return self._parse(path, content)

    def functions(self, files: Sequence[Any]) -> Iterator[tuple[Function, str]]:
        """Every function with those that mention its name in a call."""
        places: list[tuple[str, Found]] = [(file.path, raw) for file in files for raw in file.functions]
        tests = {raw for path, raw in places if raw.is_test or self.test_path.search(path)}
        callers = find_mentions(places, tests)
        for path, raw in places:
            function = make_function(path, raw, raw in tests, callers.get(raw, ()), self.name)
            yield function, "test" if function.is_test else raw.refusal

    def _parse(self, path: str, content: bytes) -> File | str:
        dialect = self.dialects.get(path[path.rfind(".") :], self.default_dialect)
        try:
            parsed = Parsed(content, self.module, dialect)
            if parsed.hopeless:
                return "syntax error"
            return File(path, scan(content, parsed, self.syntax))
        except TooSlow:
            return "too slow to parse"
