"""Unpacking source archives that nobody vouches for: tar (plain, gzip, bzip2, xz) and zip.

The kind is told from the content, not the name, so a wheel or a `.tar` that is compressed works. A
member is only ever read in order and handed to a `Staging`, which says what may enter the tree; the
archive library itself writes nothing. What is not a file or a link (devices, pipes) is counted.
`SourceError` for anything else than an archive, a damaged one, one with a password, and for one
that unpacks to more than the limits, which are checked on the bytes as they are unpacked.
"""

import bz2
import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from sera.errors import SourceError, boundary
from sera.repositories.staging import SourceLimits, Staging, read_regular

_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
)
_OPENERS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}


def is_archive(path: Path) -> bool:
    """Whether the file is one of the kinds `unpack` reads."""
    with path.open("rb") as stream:
        head = stream.read(512)
    return head.startswith((b"PK\3\4", b"PK\5\6", *_OPENERS)) or head[257:262] == b"ustar"


def unpack(path: Path, staging: Staging, limits: SourceLimits) -> str:
    """Put an archive's files into `staging`; returns the name of the top directory it stripped."""
    with boundary(SourceError, f"the archive {path} cannot be unpacked", *_DAMAGE):
        if zipfile.is_zipfile(path):
            _unpack_zip(path, staging)
        else:
            _unpack_tar(path, staging, limits)
    return staging.strip_top()


def _unpack_zip(path: Path, staging: Staging) -> None:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            mode = member.external_attr >> 16
            if member.is_dir() or not staging.admits(member.file_size):
                continue
            if member.flag_bits & 1:
                raise SourceError(
                    f"the archive {path} is protected by a password: unpack it and name the directory"
                )
            content = archive.read(member)
            if stat.S_ISLNK(mode):
                staging.link(member.filename, content)
            elif stat.S_IFMT(mode) in (0, stat.S_IFREG):
                staging.file(member.filename, content, bool(mode & 0o111))
            else:
                staging.skip("special file")


def _unpack_tar(path: Path, staging: Staging, limits: SourceLimits) -> None:
    with path.open("rb") as stream:
        head = stream.read(8)
    opener: Callable[..., Any] = next(
        (open_ for magic, open_ in _OPENERS.items() if head.startswith(magic)), open
    )
    with opener(path, "rb") as stream:
        metered: Any = _Metered(stream, limits.total_bytes, path)
        with tarfile.open(fileobj=metered, mode="r|") as archive:
            for member in archive:
                _take(archive, member, staging)


def _take(archive: tarfile.TarFile, member: tarfile.TarInfo, staging: Staging) -> None:
    executable = bool(member.mode & 0o111)
    if member.isdir():
        return
    if member.issym():
        if staging.admits(0):
            staging.link(member.name, member.linkname)
    elif member.islnk():
        _take_hard_link(member, staging, executable)
    elif not member.isreg():
        staging.skip("special file")
    elif staging.admits(member.size):
        stream = archive.extractfile(member)
        assert stream is not None  # it is a regular file
        staging.file(member.name, stream.read(), executable)


def _take_hard_link(member: tarfile.TarInfo, staging: Staging, executable: bool) -> None:
    """A second name of a file that came before it: its content again."""
    before = member.linkname.removeprefix("./")
    content = read_regular(staging.root / before) if before in staging.files else None
    if content is None:
        staging.skip("broken hard link")
    elif staging.admits(len(content)):
        staging.file(member.name, content, executable)


class _Metered:
    """A stream that ends with an error, not with the machine's memory."""

    def __init__(self, stream: IO[bytes], limit: int, path: Path) -> None:
        self._stream = stream
        self._left = 2 * limit + (1 << 20)
        self._path = path

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise SourceError(f"the archive {self._path} unpacks to far more than a source repository holds")
        return data
