"""What the teacher knows of a language other than Python: how its files end, comment, define and declare.

It has no parser for these: it finds a function by the look of its first line and its end by the
indentation of the closing brace. Code laid out in another way is left alone.
"""

import re
from functools import lru_cache

import msgspec

OUTLINE = (
    r"(func|fn|function)\b.*\(|\)[^;]*\{ *$|=> *\{ *$|\b(class|impl|interface|trait|mod|namespace|enum) "
)
"""What `grep -nE` is asked for in such a file."""
SUFFIX = r"(?:py|[cm]?[jt]sx?|go|rs|java)"
"""Of every file that the teacher works on."""

_ENTRY = re.compile(r"^(\d+):([ \t]*)(.*)$", re.MULTILINE)
_CONTROL = frozenset({"if", "for", "while", "switch", "catch", "match", "return", "else", "with", "select"})
_FUNCTION = re.compile(
    r"^(?:[\w()]+ )*?(?:func (?:\([^)]*\) )?|fn |function\*? ?)(?P<plain>\w+) ?[(<\[]"
    r"|^(?:[\w.]+\.)?(?:(?:export |default |const |let |var |static |readonly |private |public )*"
    r"(?:[\w.]+\.)?)(?P<bound>\w+)(?:: [^=]+)? ?[=:] ?(?:async ?)?(?:function\b|\([^;]*=> ?\{$|\w+ => ?\{$)"
    r"|^(?:@\w+(?:\([^)]*\))? )*(?:[\w<>\[\],.?*]+ )*?[*]?(?P<method>\w+) ?(?:<[^(]*>)?\(.*\{$"
)
_OWNER = re.compile(
    r"^(?:[\w()]+ )*?(?:class|interface|trait|mod|namespace|enum|record) (?P<type>\w+)"
    r"|^(?:unsafe )?impl(?:<.*?>)? (?:.*? for )?&?(?:\w+::)*(?P<impl>\w+)"
)


class Tongue(msgspec.Struct, frozen=True):
    """One language."""

    suffixes: tuple[str, ...]
    fence: str
    """What follows three backticks."""
    declare: str
    """How a name is given to a number inside a function."""
    doc: str = "//"
    """How a line of documentation begins."""


_TONGUES = (
    Tongue(("js", "jsx", "mjs", "cjs"), "js", "const {name} = {value};"),
    Tongue(("ts", "tsx", "mts", "cts"), "ts", "const {name} = {value};"),
    Tongue(("go",), "go", "const {name} = {value}"),
    Tongue(("rs",), "rust", "let {name} = {value};", "///"),
    Tongue(("java",), "java", "final var {name} = {value};"),
)


def tongue_of(path: str) -> Tongue | None:
    """The language of a file; None for Python, and for a file that is none of these."""
    suffix = path.rpartition(".")[2]
    return next((tongue for tongue in _TONGUES if suffix in tongue.suffixes), None)


def globs(path: str) -> list[str]:
    """What `grep --include` takes to look into files like this one."""
    tongue = tongue_of(path)
    return [f"*.{suffix}" for suffix in tongue.suffixes] if tongue else ["*.py"]


@lru_cache(maxsize=256)
def definitions(observation: str) -> tuple[tuple[int, int, str, str], ...]:
    """(line, indentation, `def` or `class`, name) of what an outline shows."""
    found = []
    for number, indent, text in _ENTRY.findall(observation):
        if named := named_by(text):
            found.append((int(number), len(indent), *named))
    return tuple(found)


def named_by(text: str) -> tuple[str, str] | None:
    """`def` or `class` and the name that a line defines."""
    text = text.strip()
    if owner := _OWNER.match(text):
        return "class", owner["type"] or owner["impl"]
    if text.startswith(("//", "*", "/*", "}", ".", "(")) or text.split("(")[0].split(" ")[0] in _CONTROL:
        return None
    named = _FUNCTION.match(text)
    name = (named["plain"] or named["bound"] or named["method"]) if named else None
    return ("def", name) if name and name not in _CONTROL else None
