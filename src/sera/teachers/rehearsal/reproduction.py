"""The script with which the teacher shows what a function does, before and after its change."""

import ast
from functools import lru_cache
from importlib.resources import files

from sera.teachers.rehearsal.source import Code, Piece
from sera.teachers.rehearsal.steps import quote

_RISKY = {
    "open", "os", "sys", "subprocess", "shutil", "socket", "input", "print", "time", "random", "threading",
    "exec", "eval", "exit", "quit", "signal", "id", "hash", "multiprocessing", "asyncio", "requests",
    "urllib", "http", "datetime", "uuid", "tempfile", "webbrowser", "ssl", "ctypes", "logging", "warnings",
    "gc", "globals",
}  # fmt: skip
"""Names that a function which is tried out must not mention."""
_PROBES: tuple[object, ...] = (None, "", "a b", 0, 3, [], [2, 1])
_MOST_PARAMETERS = 3
_SHOWN = 25


def script_for(code: Piece, owner: str, absolute: str) -> str:
    """Source of the script. Its output is the same in every run on the same code.

    A free function that takes few arguments and seems to touch nothing outside is called with simple
    values; of any other, only the source is looked at. What is not Python is looked at with a shell script.
    """
    if not isinstance(code, Code):
        return _shell_script(code, absolute)
    name = f"{owner}{code.name}"
    text = _template()
    filled = {
        "name": name,
        "path": repr(absolute),
        "name_literal": repr(name),
        "calls": repr(_calls(code) if not owner else []),
    }
    for key, value in filled.items():
        text = text.replace("{{" + key + "}}", value)
    return text


def _shell_script(code: Piece, absolute: str) -> str:
    file, pattern = quote(absolute), quote(rf"\b{code.name}\b")
    return (
        f"# What {code.name} looks like, and who in its file mentions it.\n"
        f"file={file}\n"
        'printf "%s: %s lines\\n" "$(basename "$file")" "$(grep -c "" "$file")"\n'
        f'grep -nE {pattern} "$file" | head -n 12\n'
        f'start=$(grep -nF {quote(code.lines[0].strip())} "$file" | head -n 1 | cut -d : -f 1)\n'
        f'test -n "$start" && tail -n "+$start" "$file" | head -n {min(len(code.lines) + 2, _SHOWN)}\n'
    )


@lru_cache(maxsize=1)
def _template() -> str:
    return (files("sera.teachers.rehearsal") / "reproduction.txt").read_text("utf-8")


def _calls(code: Code) -> list[tuple[object, ...]]:
    arguments = code.node.args
    required = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    plain = isinstance(code.node, ast.FunctionDef) and not code.node.decorator_list and code.whole
    keywords = any(default is None for default in arguments.kw_defaults)
    if not plain or keywords or required > _MOST_PARAMETERS or _is_risky(code):
        return []
    return [(probe,) * required for probe in _PROBES[: None if required else 1]]


def _is_risky(code: Code) -> bool:
    """Whether a call might reach outside the process, wait, or give another answer each time."""
    for node in code.nodes:
        match node:
            case ast.Name(id=name) if name in _RISKY or name == code.name:
                return True
            case ast.While() | ast.Import() | ast.ImportFrom() | ast.Global() | ast.Yield() | ast.YieldFrom():
                return True
    return False
