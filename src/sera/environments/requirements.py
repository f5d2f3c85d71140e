"""Requirements as projects write them down, as plain PEP 508 lines.

What comes from the repository is not trusted: options (another index, say), addresses, paths and
editable installs are left out and named, so that nothing but packages of the user's own index is fetched.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sera.environments.versions import translated
from sera.environments.written import strings

_INCLUDE = re.compile(r"(?:-r[\s=]*|--requirement[\s=]+)(\S+)")
_CONSTRAINT = re.compile(r"(?:-c[\s=]*|--constraint[\s=]+)\S+")
"""What constrains versions is a choice of the project's own developers, and is passed over."""
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\s*(\[[^\]]*\])?\s*(\(?[<>=!~][^;@]*\)?)?\s*(;.*)?")
_DEPTH = 5
_CONDA_ITSELF = frozenset(
    {"python", "pip", "conda", "mamba", "nodejs", "compilers", "c-compiler", "gcc", "make"}
)


def normal(name: str) -> str:
    """A distribution's name in the form in which names are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def named(requirement: str) -> str:
    """The normal name of what a requirement line asks for."""
    found = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", requirement)
    return normal(found[1]) if found else ""


def is_plain(line: str) -> bool:
    """Whether a line asks for a package of the index by name, and nothing else."""
    return bool(_PLAIN.fullmatch(line.strip()))


def read_file(tree: Path, path: str, refused: list[str], depth: int = _DEPTH) -> list[str]:
    """The plain requirements of a file and of those it includes; what is refused is added to `refused`."""
    file = tree / path
    inside = file.resolve().is_relative_to(tree.resolve())
    if depth == 0 or not inside or not file.is_file():
        return []
    found: list[str] = []
    text = file.read_text("utf-8", "replace").replace("\\\n", " ")
    for raw in text.splitlines():
        line = re.sub(r"(^|\s)#.*$", "", raw).strip()
        line = re.sub(r"\s--hash=\S+", "", line).strip()
        if included := _INCLUDE.fullmatch(line):
            beside = (Path(path).parent / included[1]).as_posix()
            found += read_file(tree, beside, refused, depth - 1)
        elif is_plain(line):
            found.append(line)
        elif line and not _CONSTRAINT.fullmatch(line):
            refused.append(f"{path}: {line}")
    return found


def plain(lines: Iterable[object], origin: str, refused: list[str]) -> list[str]:
    """Of lines of other places, those that are plain requirements."""
    found = []
    for line in lines:
        if isinstance(line, str) and is_plain(line):
            found.append(line.strip())
        elif isinstance(line, str):
            refused.append(f"{origin}: {line}")
    return found


def poetry(table: object) -> Iterator[str]:
    """Poetry's dependency tables as requirement lines; optional ones, paths and addresses left out."""
    for name, value in table.items() if isinstance(table, Mapping) else ():
        if name.lower() == "python":
            continue
        facts = value[0] if isinstance(value, list) and value else value
        version = facts.get("version", "*") if isinstance(facts, Mapping) else facts
        if not isinstance(version, str) or (
            isinstance(facts, Mapping) and {"git", "path", "url"} & facts.keys()
        ):
            continue
        extras = ",".join(strings(facts.get("extras"))) if isinstance(facts, Mapping) else ""
        yield f"{name}[{extras}]{translated(version)}" if extras else f"{name}{translated(version)}"


def group(groups: Mapping[str, Any], name: str, depth: int = _DEPTH) -> list[object]:
    """The lines of a PEP 735 dependency group, the groups it includes among them."""
    lines: list[object] = []
    entries = groups.get(name)
    for entry in entries if depth and isinstance(entries, list) else ():
        if isinstance(entry, Mapping) and isinstance(entry.get("include-group"), str):
            lines += group(groups, entry["include-group"], depth - 1)
        else:
            lines.append(entry)
    return lines


def conda(text: str) -> tuple[list[str], str]:
    """Requirements of an `environment.yml`, as far as conda's names are the index's too, and its Python."""
    found, python = [], ""
    for raw in text.splitlines():
        entry = re.fullmatch(
            r"\s+-\s+[\"']?(?:[\w.-]+::)?([A-Za-z0-9._-]+)\s*([<>=!~][^\"'#]*)?[\"']?\s*(#.*)?", raw
        )
        entry = entry or re.fullmatch(r"-\s+([A-Za-z0-9._-]+)\s*([<>=!~][^\"'#]*)?\s*(#.*)?", raw)
        if not entry:
            continue
        version = (entry[2] or "").strip()
        if entry[1].lower() == "python":
            python = version.lstrip("=")
        elif entry[1].lower() not in _CONDA_ITSELF and "/" not in raw:
            pinned = re.fullmatch(r"=([\d.]+)(=.*)?", version)
            found.append(entry[1] + (f"=={pinned[1]}.*" if pinned else version))
    return found, python
