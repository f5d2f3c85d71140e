"""Requirements as projects write them down, as plain PEP 508 lines.

What comes from the repository is not trusted: options (another index, say), addresses, paths and
editable installs are left out and named, so that nothing but packages of the user's own index is fetched.
`plainly` is the one judge of that: what it lets through is written anew from its parts for an installer.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from sera.environments.versions import translated
from sera.environments.written import strings, text

_INCLUDE = re.compile(r"(?:-r[\s=]*|--requirement[\s=]+)(\S+)")
_CONSTRAINT = re.compile(r"(?:-c[\s=]*|--constraint[\s=]+)\S+")
"""What constrains versions is a choice of the project's own developers, and is passed over."""
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", re.ASCII)
_WRITTEN = re.compile(r"(?:[\w.,<>=!~*+\[\]();'\"|&^]|-| (?!-))+", re.ASCII)
"""What a plain requirement is written with. Installers read more into other characters: a comment, a path, a
variable, an address, and options behind a blank and a dash."""
_STARRED = re.compile(r"([<>]=?\s*\d[\d.]*)\.\*")
"""`>=1.*`, which older projects have, and the standard has not."""
_LONGEST = 1000
"""Characters of a requirement: a parser that calls itself is not handed what has no end."""
_MOST_FILES, _MOST_LINES = 20, 5000
"""Files that a requirements file takes in, itself included, and lines of them all; groups as files."""
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


def is_name(name: str) -> bool:
    """Whether this can be the name of a distribution, or of an extra."""
    return len(name) <= _LONGEST and bool(_NAME.fullmatch(name))


def is_plain(line: str) -> bool:
    """Whether a line asks for a package of the index by name, and nothing else."""
    return bool(plainly(line))


def plainly(line: str) -> str:
    """A requirement as an installer is told it, written anew from its parts; empty for one that is not plain:
    it has an address or a path, is an option, or cannot be read."""
    try:
        found = Requirement(_STARRED.sub(r"\1", line.strip()) if len(line) <= _LONGEST else "")
        extras = ",".join(sorted(map(canonicalize_name, found.extras)))
        marker = f" ; {found.marker}" if found.marker else ""
    except (InvalidRequirement, RecursionError):
        return ""
    text = f"{canonicalize_name(found.name)}{f'[{extras}]' if extras else ''}{found.specifier}{marker}"
    return text if not found.url and is_name(found.name) and _WRITTEN.fullmatch(text) else ""


def read_file(tree: Path, path: str, refused: list[str], seen: dict[Path, int] | None = None) -> list[str]:
    """The plain requirements of a file and of those it includes, each file read once; what is refused is
    added to `refused`. `seen` are the files that were read before, and the lines of each."""
    seen = {} if seen is None else seen
    if len(seen) >= _MOST_FILES:
        return []
    file, root = (tree / path).resolve(), tree.resolve()
    if file in seen or not file.is_relative_to(root) or not file.is_file():
        return []
    found: list[str] = []
    lines = text(file).replace("\\\n", " ").splitlines()
    most = _MOST_LINES - sum(seen.values())
    seen[file] = min(most, len(lines))
    for raw in lines[:most]:
        line = re.sub(r"(^|\s)#.*$", "", raw).strip()
        line = re.sub(r"\s--hash=\S+", "", line).strip()
        if included := _INCLUDE.fullmatch(line):
            beside = (Path(path).parent / included[1]).as_posix()
            found += read_file(tree, beside, refused, seen)
        elif is_plain(line):
            found.append(line)
        elif line and not _CONSTRAINT.fullmatch(line):
            refused.append(f"{path}: {line}")
    if len(lines) > most:
        refused.append(f"{path}: {len(lines) - most} further lines")
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


def group(groups: Mapping[str, Any], name: str, seen: set[str] | None = None) -> list[object]:
    """The lines of a PEP 735 dependency group, the groups it includes among them, each once."""
    seen = set() if seen is None else seen
    if name in seen or len(seen) >= _MOST_FILES:
        return []
    seen.add(name)
    lines: list[object] = []
    entries = groups.get(name)
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, Mapping) and isinstance(other := entry.get("include-group"), str):
            lines += group(groups, other, seen)
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
