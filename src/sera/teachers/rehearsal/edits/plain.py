"""Kinds for languages that the teacher cannot parse: changes of single lines whose look is unmistakable."""

import re
from collections.abc import Iterator

from sera.teachers.rehearsal.edits.base import Edit
from sera.teachers.rehearsal.source import Change, PlainCode

_COMPARED = re.compile(r" (?:<=|>=|<|>) (\d{1,9})(?![\w.])")
_LOOSE = re.compile(r" (==|!=) (?!null\b|undefined\b)(?=[\w'\"(])")
_EQUALS = re.compile(r"(?<![\w.)\]])(\w+)\.equals\((\"(?:[^\"\\]|\\.)*\")\)")
_UNWRAP = re.compile(r"\.unwrap\(\)")
_NAMES = (("limit", "threshold", "bound"), ("boundary", "cutoff", "margin"))


def name_number(code: PlainCode, flavour: int) -> Edit | None:
    """A number in a condition gets a name in front of it."""
    for number, line in _statements(code):
        compared = _COMPARED.search(line)
        begins = line.lstrip().startswith(("if ", "if(", "return ")) and _ends(code, number - 1)
        name = next((name for name in _NAMES[flavour] if name not in code.text), "")
        if compared and begins and name:
            margin = line[: len(line) - len(line.lstrip())]
            declared = margin + code.tongue.declare.format(name=name, value=compared[1])
            new = f"{line[: compared.start(1)]}{name}{line[compared.end(1) :]}"
            return Edit((_line(code, number, f"{declared}\n{new}\n"),), compared[1])
    return None


def strict_comparison(code: PlainCode, flavour: int) -> Edit | None:
    """`==` becomes `===`, where the language has both."""
    if code.tongue.fence not in ("js", "ts") or flavour:
        return None
    for number, line in _statements(code):
        if loose := _LOOSE.search(line):
            new = f"{line[: loose.start(1)]}{loose[1]}={line[loose.end(1) :]}"
            return Edit((_line(code, number, new + "\n"),), line[: loose.start()].split(" ")[-1].strip("(!"))
    return None


def constant_first(code: PlainCode, flavour: int) -> Edit | None:
    """`name.equals("text")`, which fails for null, the other way round."""
    if code.tongue.fence != "java" or flavour:
        return None
    for number, line in _statements(code, quoted=True):
        if equals := _EQUALS.search(line):
            new = f"{line[: equals.start()]}{equals[2]}.equals({equals[1]}){line[equals.end() :]}"
            return Edit((_line(code, number, new + "\n"),), equals[1])
    return None


def reason_to_expect(code: PlainCode, flavour: int) -> Edit | None:
    """A panic says what was expected."""
    if code.tongue.fence != "rust":
        return None
    for number, line in _statements(code):
        if unwrap := _UNWRAP.search(line):
            said = (f"{code.name}: a value is present here", f"a value for {code.name}")[flavour]
            new = f'{line[: unwrap.start()]}.expect("{said}"){line[unwrap.end() :]}'
            return Edit((_line(code, number, new + "\n"),), "unwrap")
    return None


def describe(code: PlainCode, flavour: int) -> Edit | None:
    """A comment above a function that has none."""
    above = code.before[-1].strip() if code.before else ""
    if above.startswith(("//", "*", "/*", "#", "@")) or above.endswith("*/"):
        return None
    mark = f"{code.indent}{code.tongue.doc} "
    last = ("they are what to read before it is changed.", "whoever changes it should read them.")[flavour]
    text = f"{mark}{code.name}: what it is for shows best where it is called;\n{mark}{last}\n"
    return Edit((Change(0, 0, text),), "comment")


def explain(code: PlainCode, flavour: int) -> Edit | None:
    """A comment at the beginning of the body, for whoever reads on."""
    number = code.opening + 1
    line = code.lines[number]
    if number >= len(code.lines) - 1 or not line.strip() or line.lstrip().startswith(("//", "/*", "*")):
        return None
    mark = f"{line[: len(line) - len(line.lstrip())]}// "
    last = ("callers rely on the order of the steps.", "the order of the steps matters to callers.")[flavour]
    offset = code.line_start(number)
    text = f"{mark}This is where the work of {code.name} begins, and\n{mark}{last}\n"
    return Edit((Change(offset, offset, text),), "body")


def _statements(code: PlainCode, quoted: bool = False) -> Iterator[tuple[int, str]]:
    """Lines of the body without comments and, unless `quoted`, without strings."""
    for number in range(code.opening + 1, len(code.lines) - 1):
        line = code.lines[number]
        comment = "//" in line or line.lstrip().startswith(("*", "/*"))
        if not comment and "`" not in line and (quoted or not set("'\"") & set(line)):
            yield number, line


def _ends(code: PlainCode, number: int) -> bool:
    """Whether a line is certainly the end of a statement, so that another can follow it."""
    line = code.lines[number].rstrip()
    return line.endswith(("{", "}", ";")) or (code.tongue.fence == "go" and line[-1:].isalnum())


def _line(code: PlainCode, number: int, text: str) -> Change:
    start = code.line_start(number)
    return Change(start, start + len(code.lines[number]) + 1, text)
