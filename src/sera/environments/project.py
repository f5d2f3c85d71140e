"""What a repository says of itself: how it is built, what it needs, which Python. Nothing of it is run."""

import re
from pathlib import Path

import msgspec

from sera.environments.requirements import conda, is_name, is_plain, named, plain, poetry
from sera.environments.sources import Source, find_sources, requirement_files
from sera.environments.versions import parse
from sera.environments.written import Written, ini, lines, strings, table, text, toml
from sera.records import Record

_LOCKS = ("uv.lock", "poetry.lock", "pdm.lock")
_FILES = (
    "pyproject.toml", "setup.py", "setup.cfg", "MANIFEST.in", "PKG-INFO", "tox.ini", "noxfile.py",
    "pytest.ini", ".python-version", "environment.yml", "environment.yaml", "meson.build", "CMakeLists.txt",
    "Cargo.toml", *_LOCKS,
)  # fmt: skip
_CLASSIFIER = re.compile(r"Programming Language :: Python :: (3\.\d+)")
_LONGEST = 200
"""Characters of what is said of Python, which is shown as a reason."""
_LEGACY = ("setuptools>=40.8", "wheel")


class Project(Record, frozen=True):
    """The facts, as written down in the repository."""

    name: str = ""
    version: str = ""
    buildable: bool = False
    """There is something that a build could start from."""
    backend: str = ""
    """As in PEP 517; empty for the old way of a `setup.py` alone."""
    backend_path: tuple[str, ...] = ()
    build_requires: tuple[str, ...] = _LEGACY
    requires_python: str = ""
    versions: tuple[str, ...] = ()
    """Of Python, that it says it is tested with."""
    preferred: str = ""
    """Version of Python that its developers use."""
    dependencies: tuple[str, ...] = ()
    """As far as they stand in `pyproject.toml` or `setup.cfg`; the build knows better."""
    extras: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    sources: tuple[Source, ...] = ()
    locked: tuple[str, ...] = ()
    """Versions of a lock file, as constraints."""
    lock: str = ""
    """Name of that file."""
    refused: tuple[str, ...] = ()
    """Lines that are no plain requirement, and were left out."""
    files: tuple[str, ...] = ()
    """Paths of all files that this was read from, and of others that decide how the build goes."""


def read_project(tree: Path) -> Project:
    """Read the repository at `tree`. Files that cannot be read as what they are count as missing."""
    written = Written(tree)
    refused: list[str] = []
    name = written.first("name")
    lock, locked = _locked(tree)
    requires = written.build.get("requires", list(_LEGACY))
    return Project(
        name=name if is_name(name) else "",
        version=_version(written.first("version")),
        buildable=bool(written.build or written.project or written.setup.get("metadata"))
        or (tree / "setup.py").is_file(),
        backend=str(written.build.get("build-backend", "")),
        backend_path=tuple(strings(written.build.get("backend-path"))),
        build_requires=tuple(plain(strings(requires), "pyproject.toml", refused)),
        requires_python=_requires_python(written),
        versions=_versions(written),
        preferred=(
            next(iter(lines(text(tree / ".python-version"))), "") or conda(text(tree / "environment.yml"))[1]
        )[:_LONGEST],
        dependencies=tuple(plain(_dependencies(written), "dependencies", refused)),
        extras=_extras(written, refused),
        sources=tuple(source for source in find_sources(written, refused) if source.requirements),
        locked=locked,
        lock=lock,
        refused=tuple(dict.fromkeys(refused)),
        files=tuple(
            sorted({*(name for name in _FILES if (tree / name).is_file()), *requirement_files(tree)})
        ),
    )


def _version(said: str) -> str:
    """Empty where the version is only to be found out by the build."""
    return said if re.fullmatch(r"v?\d+[\w.+!-]*", said) else ""


def _requires_python(written: Written) -> str:
    found = table(written.poetry, "dependencies").get("python")
    said = written.first("requires-python", published="Requires-Python") or found
    said = (
        said or written.setup.get("options", {}).get("python_requires") or written.call.get("python_requires")
    )
    return said if isinstance(said, str) and len(said) <= _LONGEST else ""


def _versions(written: Written) -> tuple[str, ...]:
    """Versions that it says it is tested with, the oldest first."""
    listed = [*strings(written.project.get("classifiers")), *strings(written.poetry.get("classifiers"))]
    listed += [
        written.setup.get("metadata", {}).get("classifiers", ""),
        *strings(written.call.get("classifiers")),
    ]
    tox = ini(written.tree / "tox.ini").get("tox", {}).get("envlist", "")
    minor = re.findall(r"py3(\d+)", tox)
    for inner in re.findall(r"py\{([^}]*)\}", tox):
        minor += re.findall(r"\b3\.?(\d+)\b", inner)
    found = {*_CLASSIFIER.findall("\n".join(listed)), *(f"3.{number}" for number in minor)}
    return tuple(sorted(found, key=parse))


def _dependencies(written: Written) -> list[str]:
    poetic = list(poetry(written.poetry.get("dependencies")))
    old = lines(written.setup.get("options", {}).get("install_requires", ""))
    return (
        strings(written.project.get("dependencies"))
        or poetic
        or old
        or strings(written.call.get("install_requires"))
    )


def _extras(written: Written, refused: list[str]) -> dict[str, tuple[str, ...]]:
    found = {
        name: strings(wanted) for name, wanted in table(written.project, "optional-dependencies").items()
    }
    found |= {name: [] for name in table(written.poetry, "extras")}
    found |= {name: lines(wanted) for name, wanted in written.setup.get("options.extras_require", {}).items()}
    found |= {str(name): strings(wanted) for name, wanted in table(written.call, "extras_require").items()}
    refused += [f"extra {name}" for name in found if not is_name(name) and ":" not in name]
    return {name: tuple(plain(wanted, name, refused)) for name, wanted in found.items() if is_name(name)}


def _locked(tree: Path) -> tuple[str, tuple[str, ...]]:
    for name in _LOCKS:
        packages = toml(tree / name).get("package")
        pins: dict[str, set[str]] = {}
        for package in packages if isinstance(packages, list) else ():
            if isinstance(package, dict) and isinstance(package.get("version"), str):
                pins.setdefault(named(str(package.get("name"))), set()).add(package["version"])
        single = {one: found.pop() for one, found in pins.items() if one and len(found) == 1}
        pinned = (f"{one}=={version}" for one, version in sorted(single.items()))
        if locked := tuple(line for line in pinned if is_plain(line)):
            return name, locked  # what is locked in several versions depends on the platform
    return "", ()
