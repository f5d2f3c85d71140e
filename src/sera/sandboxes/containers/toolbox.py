"""Our own process 1 as a directory that runs in any image: this interpreter, its libraries, git, our code.

An image need not have Python, nor a libc of the same kind: both programs are started through their own
dynamic loader, with the libraries beside them. The toolbox, about 20 MB, is kept in the cache under the hash
of what it is made of, and never changed. It fits containers of this machine's processor.
"""

import compileall
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

from sera.errors import SandboxError, boundary
from sera.leases import leased_folder
from sera.settings import default_cache

SEEN = "/run/tools"
"""Where a container sees the toolbox."""
_INSIDE = Path(__file__).parents[1] / "inside"
_LIST = (
    "import sys; sys.path.append(sys.argv[1]); import json, encodings.utf_8, inside.contained; "
    "print(json.dumps([m.__file__ for m in sys.modules.values() if getattr(m, '__file__', None)]))"
)
_BOOT = f"import sys; sys.path.append('{SEEN}/code'); from inside.contained import main; main()"


class Toolbox(NamedTuple):
    """A directory, and how its programs are called where it is seen at `SEEN`."""

    folder: Path
    entry: list[str]
    """The command line of process 1."""
    git: list[str]


def place_of_toolboxes() -> Path:
    """The directory that holds them."""
    return default_cache() / "tools"


def make_toolbox() -> Toolbox:
    """The one of this interpreter, git and code; made if it is not there."""
    git = shutil.which("git")
    if git is None:
        raise SandboxError("git is needed on this machine: it takes the patches")
    sources = [Path(os.path.realpath(path)) for path in (sys.executable, git)]
    folder = place_of_toolboxes() / _hash([*sources, *sorted(_INSIDE.glob("*.py"))])
    with boundary(SandboxError, "cannot put process 1 together", OSError, subprocess.SubprocessError):
        if not folder.is_dir():
            _make(folder, *sources)
    start = [f"{SEEN}/so/loader", "--library-path", f"{SEEN}/so"]
    entry = [*start, f"{SEEN}/bin/python3", "-I", "-S", "-c", _BOOT]
    return Toolbox(folder, entry, [*start, f"{SEEN}/bin/git"])


def _hash(files: list[Path]) -> str:
    summary = hashlib.sha256()
    for file in files:
        summary.update(f"{file.name}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return summary.hexdigest()[:16]


def _make(folder: Path, python: Path, git: Path) -> None:
    """Whole or not at all, whoever else makes it at the same time."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with leased_folder("tools", folder.parent) as place:
        _fill(place / "tools", python, git)
        try:
            (place / "tools").rename(folder)
        except OSError:
            if not folder.is_dir():
                raise


def _fill(folder: Path, python: Path, git: Path) -> None:
    for name in ("bin", "so"):
        (folder / name).mkdir(parents=True)
    modules = _copy_modules(folder, python)
    shutil.copy2(python, folder / "bin/python3")
    shutil.copy2(git, folder / "bin/git")
    shutil.copytree(_INSIDE, folder / "code/inside", ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(folder, quiet=2)
    loader = _loader(python)
    for name, library in _libraries(loader, [python, git, *modules]).items():
        shutil.copy2(library, folder / "so" / name)
    shutil.copy2(loader, folder / "so/loader")


def _copy_modules(folder: Path, python: Path) -> list[Path]:
    """Copy every module of the standard library that process 1 uses; those that are libraries."""
    command = [str(python), "-I", "-S", "-c", _LIST, str(_INSIDE.parent)]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    standard = Path(sysconfig.get_path("stdlib"))
    libraries = []
    for source in map(Path, listed):
        if _INSIDE in source.parents:
            continue
        below = (
            source.relative_to(standard) if standard in source.parents else Path("lib-dynload", source.name)
        )
        target = folder / "lib" / version / below
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
        if source.suffix == ".so":
            libraries.append(source)
    for name in ("os.py", "lib-dynload"):  # by these an interpreter knows its home
        target = folder / "lib" / version / name
        if name.endswith(".py"):
            shutil.copy2(standard / name, target)
        else:
            target.mkdir(exist_ok=True)
    return libraries


# ── what a program needs to be loaded ─────────────────────────────────────────────────────────────


def _loader(program: Path) -> Path:
    """The dynamic loader that a program names in its own header."""
    interpreter = 3
    with program.open("rb") as file:
        header = file.read(64)
        if header[:5] != b"\x7fELF\x02":
            raise OSError(f"{program} is no 64-bit program of Linux")
        start, size, count = (
            *struct.unpack_from("<Q", header, 32),
            *struct.unpack_from("<HH", header, 54),
        )
        for number in range(count):
            file.seek(start + number * size)
            kind, _, offset, _, _, length = struct.unpack("<IIQQQQ", file.read(40))
            if kind == interpreter:
                file.seek(offset)
                return Path(os.path.realpath(os.fsdecode(file.read(length).rstrip(b"\0"))))
    raise OSError(f"{program} names no dynamic loader")


def _libraries(loader: Path, programs: list[Path]) -> dict[str, Path]:
    """Every library that one of the programs is linked to, by the names they ask for."""
    found: dict[str, Path] = {}
    for program in programs:
        command = [str(loader), "--list", str(program)]
        listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout
        for name, path in re.findall(r"^\s*(\S+) => (/\S+)", listed, flags=re.MULTILINE):
            found.setdefault(Path(name).name, Path(path))
    return found
