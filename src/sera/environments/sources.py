"""The places in a repository that name requirements beside those of the project itself."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sera.environments.requirements import conda, group, plain, poetry, read_file
from sera.environments.written import Written, ini, lines, parsed, strings, table, text
from sera.records import Record

_REQUIREMENTS = re.compile(
    r"(.*[-_.])?req(uirements?|s)?([-_.].*)?\.(txt|in)|(tests?|dev)[-_]?(requires?)?\.txt", re.I
)
_FOLDERS_OF_REQUIREMENTS = ("requirements", "reqs", "requires", "tests/requirements")
_MOST_FILES = 100
_OTHER_FACTORS = re.compile(
    r"min\w*|oldest|lowest|dev(el)?|master|main|nightly|pre|latest|docs?|style|lint|typing|mypy|pypy3?", re.I
)
"""Of tox environments that try other versions of dependencies, or do other work."""
_FOLDERS = ("", *_FOLDERS_OF_REQUIREMENTS, "tests", "test", "dev", "ci", ".ci")


class Source(Record, frozen=True):
    """One place that names requirements."""

    kind: str
    """`group`, `hatch`, `requirements`, `tox`, `nox`, `conda`, `setup`, `imports` or `venv`."""
    name: str
    """Of the group, or the path of the file."""
    requirements: tuple[str, ...]


def find_sources(written: Written, refused: list[str]) -> Iterator[Source]:
    """All of them; lines that are no plain requirement are added to `refused`."""

    def source(kind: str, name: str, found: object) -> Source:
        kept = plain(found if isinstance(found, list) else [], name, refused)
        return Source(kind=kind, name=name, requirements=tuple(kept))

    tree, tool = written.tree, written.tool
    groups = table(written.toml, "dependency-groups")
    for name in groups:
        yield source("group", name, group(groups, name))
    for name, inner in table(written.poetry, "group").items():
        yield source("group", name, list(poetry(table(inner, "dependencies"))))
    yield source("group", "dev", list(poetry(written.poetry.get("dev-dependencies"))))
    for name, found in table(table(tool, "pdm"), "dev-dependencies").items():
        yield source("group", name, found)
    yield source("group", "dev", table(tool, "uv").get("dev-dependencies"))
    for name, inner in table(table(tool, "hatch"), "envs").items():
        yield source("hatch", name, _hatch(inner))
    yield source("setup", "tests_require in setup.py", strings(written.call.get("tests_require")))
    required = written.setup.get("options", {}).get("tests_require", "")
    yield source("setup", "tests_require in setup.cfg", lines(required))
    for path in requirement_files(tree):
        yield Source(kind="requirements", name=path, requirements=tuple(read_file(tree, path, refused)))
    yield source("tox", "tox.ini", _tox(tree, refused))
    yield source("nox", "noxfile.py", _nox(tree / "noxfile.py"))
    for name in ("environment.yml", "environment.yaml"):
        yield source("conda", name, conda(text(tree / name))[0])


def requirement_files(tree: Path) -> list[str]:
    """Paths of the requirements files, in the usual places and by their usual names."""
    found = []
    for folder in _FOLDERS:
        place = tree / folder
        for entry in sorted(place.iterdir()) if place.is_dir() else ():
            expected = folder in _FOLDERS_OF_REQUIREMENTS and entry.suffix == ".txt"
            if entry.is_file() and (expected or _REQUIREMENTS.fullmatch(entry.name)):
                found.append(entry.relative_to(tree).as_posix())
    return found[:_MOST_FILES]


def _hatch(environment: Any) -> list[str]:
    if not isinstance(environment, dict):
        return []
    return strings(environment.get("dependencies")) + strings(environment.get("extra-dependencies"))


def _tox(tree: Path, refused: list[str]) -> list[str]:
    """The `deps` of tox's own test environment; those of other environments, and those under factors that
    stand for such, are for other work."""
    found: list[str] = []
    seen = dict[Path, int]()
    for line in lines(ini(tree / "tox.ini").get("testenv", {}).get("deps", "")):
        factors, entry = re.fullmatch(r"(?:([\w.{},! -]+):\s+)?(.*)", line).groups()  # type: ignore[union-attr]
        if any(map(_OTHER_FACTORS.fullmatch, re.split(r"[^\w!]+", factors or ""))):
            continue
        if include := re.fullmatch(r"-r\s*(?:\{toxinidir\}/)?(\S+)", entry):
            found += read_file(tree, include[1], refused, seen)
        else:
            found.append(entry)
    return list(dict.fromkeys(found))


def _nox(file: Path) -> list[str]:
    """Texts given to `session.install` in sessions that have to do with tests."""
    found: list[str] = []
    for function in parsed(file).body:
        if isinstance(function, ast.FunctionDef) and "test" in function.name:
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "install":
                    found += strings([getattr(argument, "value", None) for argument in node.args])
    return [entry for entry in found if not entry.startswith(("-", "."))]
