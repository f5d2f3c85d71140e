"""The files in which a repository says how it is built, read as data: nothing of them is run.

A file that is missing, or is not what its name says, counts as empty; values of another type than expected
do too.
"""

import ast
import codecs
import configparser
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Ini = dict[str, dict[str, str]]


class Written:
    """What stands in `pyproject.toml`, `setup.cfg`, `setup.py` and `PKG-INFO` of a tree."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        self.toml = toml(tree / "pyproject.toml")
        self.project = table(self.toml, "project")
        self.tool = table(self.toml, "tool")
        self.poetry = table(self.tool, "poetry")
        self.build = table(self.toml, "build-system")
        self.setup = ini(tree / "setup.cfg")
        self.call = setup_call(tree / "setup.py")
        self.package = package_info(tree / "PKG-INFO")

    def first(self, key: str, setup: str = "metadata", published: str = "") -> str:
        """The first text for a key of the project, wherever one stands."""
        found = (
            self.project.get(key),
            self.poetry.get(key),
            self.setup.get(setup, {}).get(key.replace("-", "_")),
            self.call.get(key.replace("-", "_")),
            self.package.get(published or key.title()),
        )
        return next((value for value in found if isinstance(value, str) and value), "")


def text(file: Path) -> str:
    """A file's text, UTF-16 too where its mark says so; empty if it cannot be read."""
    try:
        content = file.read_bytes()
    except OSError:
        return ""
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    found = content.decode("utf-16" if wide else "utf-8-sig", "replace")
    return found.replace("\r\n", "\n").replace("\r", "\n")


def toml(file: Path) -> dict[str, Any]:
    """A TOML file."""
    try:
        return tomllib.loads(text(file))
    except (ValueError, RecursionError):
        return {}


def ini(file: Path) -> Ini:
    """An INI file, values as they stand."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text(file))
    except configparser.Error:
        return {}
    return {section: dict(parser.items(section)) for section in parser.sections()}


def parsed(file: Path) -> ast.Module:
    """A Python file's syntax."""
    try:
        return ast.parse(text(file))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module(body=[], type_ignores=[])


def setup_call(file: Path) -> dict[str, Any]:
    """Arguments of `setup(…)` that are written out as constants, or are names of such."""
    tree = parsed(file)
    constants: dict[str, Any] = {}
    arguments: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            constants[node.targets[0].id] = _constant(node.value, constants)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "setup":
            arguments |= {word.arg: _constant(word.value, constants) for word in node.keywords if word.arg}
    return {name: value for name, value in arguments.items() if value is not None}


def package_info(file: Path) -> dict[str, str]:
    """The first value of each field of a source archive's metadata."""
    found: dict[str, str] = {}
    for line in text(file).splitlines():
        key, colon, value = line.partition(": ")
        if not colon:
            break
        found.setdefault(key, value.strip())
    return found


def table(outer: object, key: str) -> dict[str, Any]:
    """A table inside a table."""
    value = outer.get(key) if isinstance(outer, Mapping) else None
    return value if isinstance(value, dict) else {}


def strings(value: object) -> list[str]:
    """The texts of a list, or one text as a list."""
    if isinstance(value, str):
        return [value]
    return [entry for entry in value if isinstance(entry, str)] if isinstance(value, list | tuple) else []


def lines(value: str) -> list[str]:
    """The lines of an INI value, comments left out."""
    return [line.strip() for line in value.splitlines() if line.strip() and not line.strip().startswith("#")]


def _constant(node: ast.expr, constants: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Name):
        return constants.get(node.id)
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None
