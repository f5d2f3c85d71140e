"""Interpreters on this machine, and which of them a project gets.

Looked for: the one that runs sera, those on PATH, and the usual places of installations (the system,
pyenv, uv, conda). Each is asked once for its version, without its site-packages.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from sera.environments.dates import was_out
from sera.environments.versions import Version, parse, satisfies
from sera.errors import PrepareError
from sera.records import Record

_PLACES = (
    "~/.pyenv/versions/*/bin",
    "~/.local/share/uv/python/*/bin",
    "~/.asdf/installs/python/*/bin",
    "~/miniconda3/envs/*/bin",
    "/opt/python/*/bin",
    "/opt/conda/envs/*/bin",
    "/usr/local/bin",
    "/usr/bin",
)
_NAME = re.compile(r"python3\.\d+")
_ASK = """
import json, platform, sys, sysconfig
print(json.dumps({"version": platform.python_version(), "prefix": sys.base_prefix,
    "tag": sysconfig.get_config_var("EXT_SUFFIX") or "", "platform": sysconfig.get_platform()}))
"""
_OLDEST = (3, 7)
"""Before it the tools that install into an environment no longer work."""


class Interpreter(Record, frozen=True):
    """An installation of Python."""

    path: Path
    version: str
    prefix: Path
    """Of the installation, not of a virtual environment made from it."""
    tag: str
    """Ending of extension modules: implementation, version and ABI in one."""
    platform: str

    @property
    def identity(self) -> tuple[str, ...]:
        """What an environment made of it depends on."""
        return str(self.path), self.version, self.tag, self.platform

    @property
    def release(self) -> Version:
        return parse(self.version)


@cache
def find_interpreters() -> tuple[Interpreter, ...]:
    """All that are found, the one that runs sera first, then the newest first; one of each version."""
    own = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep)]
    folders = [folder for folder in folders if folder.is_absolute()]  # others may lie in a repository
    for place in _PLACES:
        base = Path(place).expanduser()
        folders += sorted(Path(base.anchor).glob(str(base.relative_to(base.anchor))))
    candidates = [own, *(file for folder in folders for file in _named(folder))]
    real = dict.fromkeys(_resolved(path) for path in candidates)
    known: dict[str, Interpreter] = {}
    for path in real:
        if (found := inspect(path)) and found.release >= _OLDEST:
            known.setdefault(found.version, found)
    if not known:
        raise PrepareError("no Python 3.7 or newer was found, on PATH or elsewhere: install one")
    first, *rest = known.values()
    return (first, *sorted(rest, key=lambda one: one.release, reverse=True))


def inspect(path: Path) -> Interpreter | None:
    """What the interpreter at `path` says of itself; None if it is none."""
    try:
        done = subprocess.run(
            [path, "-I", "-S", "-c", _ASK],
            capture_output=True,
            timeout=20,
            stdin=subprocess.DEVNULL,
            cwd="/",  # shims look for settings in the present directory, which may be the repository
        )
        told = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return Interpreter(
        path=path,
        version=told["version"],
        prefix=Path(told["prefix"]),
        tag=told["tag"],
        platform=told["platform"],
    )


def choose_interpreter(
    wanted: str | None, specifier: str, listed: Sequence[str], preferred: str, committed: str = ""
) -> tuple[Interpreter, str]:
    """The interpreter for a project, and why.

    `wanted` is the user's word: a version or a path. Else the project's `preferred` version (of a
    `.python-version`) if it is here, else the one that runs sera if the project takes it, else the newest
    that it takes; of a commit whose moment is known, the newest that was out then. `listed` are the versions
    that it says it is tested with.
    """
    if wanted and "/" in wanted:
        if not (given := inspect(_resolved(Path(wanted).expanduser()))):
            raise PrepareError(f"{wanted} is no Python interpreter: give another environment.python")
        return given, f"environment.python is {wanted}"
    here = find_interpreters()
    if wanted:
        return _demanded(here, wanted)
    fitting = [one for one in here if satisfies(one.release, specifier)] if specifier else list(here)
    if not fitting:
        found = ", ".join(one.version for one in here)
        raise PrepareError(
            f"the project needs Python {specifier}, and this machine has {found}: install one that fits "
            "(`uv python install`), or name another with --set environment.python=VERSION"
        )
    demand = f"it needs {specifier}" if specifier else "it names no version"
    for one in fitting:
        if preferred and _is_version(one, preferred):
            return one, f"its .python-version says {preferred}"
    tested = [one for one in fitting if f"{one.release[0]}.{one.release[1]}" in listed]
    if tested:
        return tested[0], f"{demand}, and is tested with {', '.join(listed)}"
    if committed and (then := [one for one in fitting if was_out(one.release, committed)]):
        newest = max(then, key=lambda one: one.release)
        return newest, f"{demand}, and none newer here was out when the commit was made"
    return fitting[0], demand


def _demanded(here: Sequence[Interpreter], wanted: str) -> tuple[Interpreter, str]:
    for one in here:
        if _is_version(one, wanted):
            return one, f"environment.python is {wanted}"
    found = ", ".join(one.version for one in here)
    raise PrepareError(
        f"there is no Python {wanted} on this machine, which has {found}: install it "
        f"(`uv python install {wanted}`) or give environment.python another version or a path"
    )


def _is_version(one: Interpreter, wanted: str) -> bool:
    version = parse(wanted)
    return bool(version) and one.release[: len(version)] == version


def _named(folder: Path) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if _NAME.fullmatch(entry.name)]
    except OSError:
        return []


def _resolved(path: Path) -> Path:
    """Links followed as far as they lead to another installation, which a shim is not."""
    try:
        return path.resolve()
    except OSError:
        return path
