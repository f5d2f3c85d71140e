"""Other copies of the project's own code, in the environment or on the machine: answer keys.

A dependency may carry one (pip and setuptools have many packages inside), and so may the interpreter's own
site-packages. A copy in the environment is replaced by a link to the working tree; directories outside of
it are hidden in the sandbox.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from sera.environments.installers import packages_of
from sera.environments.interpreters import Interpreter
from sera.untrusted import below, remove

_INSIDE = re.compile(r"_?vendor(ed)?|extern(al)?|third_party|_?libs?|packages|bundled")
_SYSTEM = (
    "/usr/lib/python3/dist-packages",
    "/usr/lib/python3*/site-packages",
    "/usr/local/lib/python3*/site-packages",
    "/usr/local/lib/python3*/dist-packages",
    "/usr/share/python-wheels",
)


def hidden_places(interpreter: Interpreter) -> tuple[Path, ...]:
    """Directories that a sandbox would show and that hold packages of other environments."""
    own = [
        *interpreter.prefix.glob("lib/python3*/site-packages"),
        *interpreter.prefix.glob("lib/python3*/ensurepip/_bundled"),
    ]
    system = [path for pattern in _SYSTEM for path in Path("/").glob(pattern.lstrip("/"))]
    places = [path for path in (*own, *system) if path.is_dir() and not path.is_symlink()]
    return tuple(sorted(dict.fromkeys(places)))


def replace_copies(prefix: Path, places: Mapping[str, str]) -> list[str]:
    """Let what a dependency carries of the project's own modules lead to the working tree instead.

    `places` are those modules, each with its path in the sandbox. A sentence for each copy replaced.
    """
    packages = packages_of(prefix)
    said = []
    for name, place in places.items():
        for copy in sorted(_copies(packages, name)):
            if copy.is_symlink():
                continue
            owner = copy.relative_to(packages).parts[0]
            if copy.parent == packages:
                said.append(_cleared(copy))
            else:
                _cleared(copy)
                copy.symlink_to(place)
                said.append(f"the copy of {name} in the package {owner} now leads to the working tree")
    return list(dict.fromkeys(said))


def link(prefix: Path, places: Mapping[str, str]) -> list[str]:
    """Make each of these packages lead to its folder of the working tree. A sentence for each in whose place
    a dependency had put something else, such as a folder without code."""
    said = []
    for name, place in places.items():
        package = packages_of(prefix) / name
        if os.path.lexists(package):
            said.append(_cleared(package))
        package.symlink_to(place)
    return said


def _cleared(place: Path) -> str:
    if place.is_dir() and not place.is_symlink():
        remove(place)
    else:
        place.unlink()
    return f"a package brought a module {place.name} of its own; it was removed"


def _copies(packages: Path, name: str) -> Iterator[Path]:
    """At the top, and in folders where packages keep what they have taken from others."""
    yield from _named(packages, name)
    for folder in below(packages):
        if folder.is_dir() and _INSIDE.fullmatch(folder.name):
            yield from _named(folder, name)


def _named(folder: Path, name: str) -> Iterator[Path]:
    package = folder / name
    if package.is_dir() and any(path.suffix == ".py" for path in below(package)):
        yield package
    if (folder / f"{name}.py").is_file():
        yield folder / f"{name}.py"
    yield from folder.glob(f"{name}.*.so")
