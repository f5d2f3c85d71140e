"""Installing packages into a new virtual environment: with uv, or with venv and pip where there is no uv.

One promise of both: nothing that is installed is run on this machine. Packages come as wheels, which are
unpacked, and each environment is installed into once, while it is still empty. An installer is told packages
of the index by name (`requirements.plainly`), and where to find them (`indexes`), and nothing else reaches
it. The user can allow packages without a wheel (`build_dependencies`), whose build then runs here with the
user's rights.
"""

import contextlib
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from packaging.requirements import InvalidRequirement, Requirement

from sera.environments import dates, indexes
from sera.environments.commands import CommandFailed, Log, run
from sera.environments.interpreters import Interpreter
from sera.environments.requirements import plainly
from sera.errors import PrepareError
from sera.records import Record

_FENCED_PIP = Path(__file__).with_name("fenced_pip.py")


class Wanted(Record, frozen=True):
    """What is to be installed, and from where."""

    requirements: tuple[str, ...]
    """Of the repository: plain ones are asked for, others never."""
    own: tuple[str, ...] = ()
    """Ours and the user's, taken as they are: they may name an address."""
    constraints: tuple[str, ...] = ()
    index: str = ""
    exclude_newer: str = ""
    tools_newer: str = ""
    """The same for tools, where there is a date for the others."""
    build_dependencies: bool = False


class Installer(Protocol):
    """Makes environments. Failures are `CommandFailed`."""

    name: str

    def create(self, prefix: Path, interpreter: Interpreter, log: Log) -> None:
        """Make an empty virtual environment."""
        ...

    def resolve(self, prefix: Path, wanted: Wanted, log: Log) -> None:
        """Try whether everything wanted can be had together; nothing is installed."""
        ...

    def install(self, prefix: Path, wanted: Wanted, log: Log) -> None:
        """Install it, all or nothing."""
        ...


class Uv:
    """uv, from the extra `environments` or on PATH."""

    name = "uv"

    def __init__(self, program: str) -> None:
        self._program = program

    def create(self, prefix: Path, interpreter: Interpreter, log: Log) -> None:
        argv: list[str | Path] = [self._program, "venv", "--no-project", "--quiet", prefix]
        run([*argv, "--python", interpreter.path], log, self._environment(""))

    def resolve(self, prefix: Path, wanted: Wanted, log: Log) -> None:
        self._pip(prefix, wanted, log, "--dry-run")

    def install(self, prefix: Path, wanted: Wanted, log: Log) -> None:
        self._pip(prefix, wanted, log)

    def _pip(self, prefix: Path, wanted: Wanted, log: Log, *options: str) -> None:
        argv = [
            self._program,
            "pip",
            "install",
            "--python",
            _python(prefix),
            *options,
            *_files(prefix, wanted),
        ]
        argv += dates.options(wanted.exclude_newer, wanted.tools_newer, (*wanted.own, *wanted.requirements))
        if not wanted.build_dependencies:
            argv.append("--no-build")
        run(argv, log, self._environment(wanted.index))

    def _environment(self, index: str) -> dict[str, str]:
        return {
            "UV_SYSTEM_CERTS": "1",  # as pip does
            "UV_NO_PROGRESS": "1",
            "NO_COLOR": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            **indexes.uv_variables(index),
        }


class Pip:
    """The venv and pip of the interpreter itself."""

    name = "pip"

    def create(self, prefix: Path, interpreter: Interpreter, log: Log) -> None:
        run([interpreter.path, "-I", "-m", "venv", prefix], log)

    def resolve(self, prefix: Path, wanted: Wanted, log: Log) -> None:
        self._pip(prefix, wanted, log, "--dry-run")

    def install(self, prefix: Path, wanted: Wanted, log: Log) -> None:
        self._pip(prefix, wanted, log)

    def _pip(self, prefix: Path, wanted: Wanted, log: Log, *options: str) -> None:
        if wanted.exclude_newer:
            raise PrepareError('environment.exclude_newer needs uv: pip install "sera[environments]"')
        flags = ["--no-input", "--no-compile", "--progress-bar=off"]
        fence = {"addresses": _addresses(wanted), "build": wanted.build_dependencies}
        argv = [_python(prefix), "-I", _FENCED_PIP, json.dumps(fence), "install", *flags,
                *options, *_files(prefix, wanted)]  # fmt: skip
        if not wanted.build_dependencies:
            argv.append("--only-binary=:all:")
        quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1"}
        run(argv, log, quiet | indexes.pip_variables(wanted.index))


def find_installer() -> Installer:
    """uv if it is there, else pip."""
    program = _uv()
    return Uv(program) if program else Pip()


def can_date() -> bool:
    """Whether packages can be had as of a day."""
    return bool(_uv())


def compile_all(prefix: Path, interpreter: Interpreter, log: Log) -> None:
    """Compile what was installed, since an environment that is shared read-only cannot do it later.

    The interpreter runs alone, without the environment's site-packages. A file in another language than it
    speaks is no failure.
    """
    flags = ["-I", "-S", "-m", "compileall", "-qq", "-j", "0", "--invalidation-mode", "unchecked-hash"]
    try:
        run([interpreter.path, *flags, packages_of(prefix)], log)
    except CommandFailed as failure:
        log.write(f"not everything could be compiled: {failure}")


def packages_of(prefix: Path) -> Path:
    """The site-packages of a virtual environment."""
    return next((prefix / "lib").glob("python3*/site-packages"))


def _python(prefix: Path) -> Path:
    return prefix / "bin" / "python"


def _files(prefix: Path, wanted: Wanted) -> Sequence[str | Path]:
    """What is wanted as files beside the environment: names never meet the command line's own options."""
    requirements, constraints = prefix.parent / "requirements.txt", prefix.parent / "constraints.txt"
    lines = (*wanted.own, *filter(None, map(plainly, wanted.requirements)))
    requirements.write_text("\n".join(lines) + "\n", "utf-8")
    constraints.write_text("\n".join(filter(None, map(plainly, wanted.constraints))) + "\n", "utf-8")
    pinned: list[str | Path] = ["-c", constraints] if wanted.constraints else []
    return ["-r", requirements, *pinned]


def _addresses(wanted: Wanted) -> list[str]:
    """Those that the user, or we, ask for."""
    found = []
    for line in wanted.own:
        with contextlib.suppress(InvalidRequirement):
            found.append(Requirement(line).url or "")
    return found


def _uv() -> str:
    beside = Path(sys.executable).parent / "uv"
    if importlib.util.find_spec("uv") is not None and os.access(beside, os.X_OK):
        return str(beside)
    found = shutil.which("uv") or ""
    return found if Path(found).is_absolute() else ""  # else it may lie in a repository
