"""A wheel that stands for the project: its metadata, and a path that leads to the working tree; none of its
code.

Installed like any wheel, it brings the project's dependencies and extras, entry points and a version that
`importlib.metadata` finds, while the code is the working tree's. And since it bears the project's name, no
dependency can pull in a published release of the project beside it: that would be an answer key.

What a build says is not trusted, and the installer reads this wheel on the host: every line of it is written
anew from what could be read, and the rest is left out and named.
"""

import base64
import configparser
import hashlib
import re
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version

from sera.environments.mapping import Built
from sera.environments.plan import NO_VERSION, Plan
from sera.environments.requirements import is_name, plainly
from sera.repositories.names import import_names

_TIME = (2020, 1, 1, 0, 0, 0)
_LONGEST = 100
"""Characters of a name or a version, which stand in the names of files."""
_COMMAND = re.compile(r"\w[\w.+-]*", re.ASCII)
_OF_VENV = re.compile(r"(?:python|pypy)[\d.]*|activate.*", re.I)
"""Programs that a virtual environment brings itself."""
_GROUP = re.compile(r"[\w.-]+", re.ASCII)
_POINT = re.compile(r"\w[\w .+:/@*-]*", re.ASCII)
_OBJECT = re.compile(r"[\w.]+ *(?:: *[\w.]+)? *(?:\[[\w ,.-]*\])?", re.ASCII)


def unbuilt(plan: Plan, tree: Path) -> Built:
    """The project without its build: what its files say of it, and the root where its packages most likely
    are."""
    lines = [f"Metadata-Version: 2.1\nName: {_clean(plan.name)}\nVersion: {plan.version}"]
    lines += [f"Requires-Dist: {line}" for line in plan.dependencies]
    for extra, requirements in plan.declared_extras.items():
        lines.append(f"Provides-Extra: {extra}")
        for line in requirements:
            need, _, marker = line.partition(";")
            condition = f'extra == "{extra}"' + (f" and ({marker.strip()})" if marker.strip() else "")
            lines.append(f"Requires-Dist: {need.strip()} ; {condition}")
    source = tree / "src"
    root = "src/" if any(source.glob("*/__init__.py")) or any(source.glob("*.py")) else ""
    return Built(
        name=plan.name,
        version=plan.version,
        metadata="\n".join(lines),
        roots=(root.rstrip("/") or ".",),
        modules={
            name: root + name if (tree / root / name).is_dir() else f"{root}{name}.py"
            for name in import_names(tree / root, "")
            if (tree / root / name).is_dir() or (tree / root / f"{name}.py").is_file()
        },
    )


def write_standin(built: Built, folder: Path, workdir: str) -> tuple[Path, list[str]]:
    """Write the wheel into `folder`; its path, and what of the metadata was left out."""
    name, members, left_out = contents(built, workdir)
    file = folder / name
    with zipfile.ZipFile(file, "w") as wheel:
        for path, text in members.items():
            wheel.writestr(zipfile.ZipInfo(path, _TIME), text)
    return file, left_out


def contents(built: Built, workdir: str) -> tuple[str, dict[str, str], list[str]]:
    """The wheel's name and its members, and what of the metadata was left out."""
    left_out: list[str] = []
    name, version = _clean(built.name), _version(built.version, left_out)
    info = f"{name}-{version}.dist-info"
    known = built.name if is_name(built.name) and len(built.name) <= _LONGEST else name
    head = [f"Metadata-Version: 2.1\nName: {known}\nVersion: {version}"]
    needs = _needs(HeaderParser().parsestr(built.metadata), left_out)
    points = "\n".join(_entry_points(built.entry_points, left_out))
    paths = "\n".join(f"{workdir}/{root}" if root != "." else workdir for root in built.roots)
    members = {
        f"__editable__.{name}.pth": paths + "\n",
        f"{info}/METADATA": "\n".join([*head, *needs]) + "\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: sera\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **({f"{info}/entry_points.txt": points + "\n"} if points else {}),
        **{
            f"{name}-{version}.data/scripts/{command}": _script(f"{workdir}/{path}")
            for command, path in built.scripts.items()
            if _is_command(command)
        },
    }
    record = "".join(f"{path},{_digest(text)},{len(text.encode())}\n" for path, text in members.items())
    members[f"{info}/RECORD"] = record + f"{info}/RECORD,,\n"
    return f"{name}-{version}-py3-none-any.whl", members, left_out


def _needs(facts: Message, left_out: list[str]) -> Iterator[str]:
    """Extras and requirements, of any spelling of the fields' names, each once and in their order."""
    for field, written in (("Provides-Extra", _extra), ("Requires-Dist", plainly)):
        for value in dict.fromkeys(" ".join(str(one).split()) for one in facts.get_all(field, [])):
            if text := written(value):
                yield f"{field}: {text}"
            else:
                left_out.append(f"{field}: {value[:300]}")


def _extra(name: str) -> str:
    return canonicalize_name(name) if is_name(name) else ""


def _entry_points(text: str, left_out: list[str]) -> Iterator[str]:
    """The lines of an `entry_points.txt`. Names of commands become names of files on the host."""
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(text)
    except configparser.Error:
        left_out.append("entry_points.txt, which cannot be read")
        return
    for group in filter(_GROUP.fullmatch, parser.sections()):
        yield f"[{group}]"
        for name, place in parser.items(group):
            fits = (
                _is_command(name) if group in ("console_scripts", "gui_scripts") else _POINT.fullmatch(name)
            )
            if fits and _OBJECT.fullmatch(place):
                yield f"{name} = {place}"
            else:
                left_out.append(f"the entry point {name[:300]}")


def _is_command(name: str) -> bool:
    plain = len(name) <= _LONGEST and _COMMAND.fullmatch(name)
    return bool(plain) and not _OF_VENV.fullmatch(name)


def _version(said: str, left_out: list[str]) -> str:
    try:
        return str(Version(said if len(said) <= _LONGEST else ""))
    except ValueError:
        left_out.append(f"Version: {said[:_LONGEST]}")
        return NO_VERSION


def _clean(name: str) -> str:
    """A name as it stands in the name of a wheel."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name[:_LONGEST]).strip("_") or "project"


def _script(path: str) -> str:
    """A script of the project, run where it lies."""
    return f"#!python\nimport runpy\n\nrunpy.run_path({path!r}, run_name='__main__')\n"


def _digest(text: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"
