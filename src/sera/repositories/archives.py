"""Unpacking source archives that nobody vouches for: tar (plain, gzip, bzip2, xz) and zip.

The kind is told from the content, not the name, so a wheel or a `.tar` that is compressed works. A
member is only ever read in order and handed to a `Staging`, which says what may enter the tree; the
archive library itself writes nothing. What is not a file or a link (devices, pipes) is counted.
`SourceError` for anything else than an archive, a damaged one, one with a password, and for one
that unpacks to more than the limits, which are checked on the bytes as they are unpacked. Its own notes are
bounded as well: extended headers (`tar.py`), the table of contents of a zip, the memory that xz asks for.
"""

import bz2
import gzip
import lzma
import os
import posixpath
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from sera.errors import SourceError, boundary
from sera.repositories.staging import SourceLimits, Staging, read_regular
from sera.repositories.tar import Member, Tar

UNREADABLE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    OverflowError,
    RuntimeError,
    KeyError,
    ValueError,
)
"""What a damaged archive comes to; `RuntimeError` and its `NotImplementedError`: one that is encrypted, or
packed in a way that is not known."""
_XZ_BYTES = 256 << 20
"""Memory of a decompressor: four times of what `xz -9` asks for."""
_XZ_CHUNK = 1 << 13
"""Small, since what follows the end of a stream is copied."""
_CHUNK = 1 << 16
_ZIP = (b"PK\3\4", b"PK\5\6")
_ENTRY, _ENTRY_HEAD = struct.Struct("<28xHHH12x"), b"PK\1\2"
_NOTE_BYTES = 1 << 12
"""Extra fields of one entry of a zip: the standard library reads them in quadratic time."""
_NOTES = 8
"""How many times what paths may come to the extended headers of a tar may."""
_CONTENTS_BYTES = 128 << 20
"""The table of contents of a zip, of which the standard library makes ten times as much in memory."""
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The others are unpacked a piece at a time, of any size."""


def is_archive(path: Path) -> bool:
    """Whether the file is one of the kinds `unpack` reads."""
    head = _head(path)
    return head.startswith((*_ZIP, *_OPENERS)) or _is_header(head)


def unpack(path: Path, staging: Staging, limits: SourceLimits) -> str:
    """Put an archive's files into `staging`; returns the name of the top directory it stripped."""
    with boundary(SourceError, f"the archive {path} cannot be unpacked", *UNREADABLE):
        if _head(path).startswith(_ZIP):
            _unpack_zip(path, staging, limits)
        else:
            _unpack_tar(path, staging, limits)
    top = staging.strip_top()
    staging.drop_left_out()
    return top


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(512)


def _is_header(block: bytes) -> bool:
    """Of a tar: its sum tells, also in the old format, which has no mark."""
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return True


# ── zip ───────────────────────────────────────────────────────────────────────────────────────────


def open_zip(stream: IO[bytes], name: str, entries: int) -> zipfile.ZipFile:
    """A zip of at most so many entries, which together are not more than its bytes: none is unpacked twice.
    Raises what is in `UNREADABLE`, `SourceError` beyond the limits."""
    archive = zipfile.ZipFile(_Contents(stream, name, entries))
    if sum(member.compress_size for member in archive.infolist()) > stream.seek(0, os.SEEK_END):
        raise SourceError(f"{name} has entries that overlap")
    return archive


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The content of a member whose `file_size` the caller can bear: it is never more, whatever is packed."""
    if member.compress_type not in _METHODS:
        raise NotImplementedError(f"{member.filename[:200]} is packed in a way that sera does not read")
    with archive.open(member) as stream:
        parts = list(iter(lambda: stream.read(_CHUNK), b""))
    if sum(map(len, parts)) < member.file_size:
        raise EOFError(f"{member.filename[:200]} is shorter than the archive says")
    return b"".join(parts)


def _unpack_zip(path: Path, staging: Staging, limits: SourceLimits) -> None:
    with path.open("rb") as stream, open_zip(stream, str(path), 2 * limits.files) as archive:
        for member in archive.infolist():
            mode = member.external_attr >> 16
            if member.is_dir() or not staging.admits(member.file_size):
                continue
            if member.flag_bits & 1:
                raise SourceError(
                    f"the archive {path} is protected by a password: unpack it and name the directory"
                )
            content = read_member(archive, member)
            if stat.S_ISLNK(mode):
                staging.link(member.filename, content)
            elif stat.S_IFMT(mode) in (0, stat.S_IFREG):
                staging.file(member.filename, content, bool(mode & 0o111))
            else:
                staging.skip("special file")


class _Contents:
    """A zip's file, whose table of contents is looked at before the standard library, which reads it whole,
    makes objects of it."""

    def __init__(self, stream: IO[bytes], name: str, entries: int) -> None:
        self._stream, self._name, self._entries = stream, name, entries
        self.seek, self.tell, self.seekable = stream.seek, stream.tell, stream.seekable

    def read(self, size: int = -1) -> bytes:
        if size > _CONTENTS_BYTES:
            raise SourceError(
                f"{self._name} has a table of contents of {size:,} bytes: it may have {_CONTENTS_BYTES:,}"
            )
        data = self._stream.read(size)
        if data.startswith(_ENTRY_HEAD) and size > _CHUNK:
            self._look(data)
        return data

    def _look(self, contents: bytes) -> None:
        at = count = 0
        while at + _ENTRY.size <= len(contents):
            name, note, comment = _ENTRY.unpack_from(contents, at)
            at += _ENTRY.size + name + note + comment
            count += 1
            if note > _NOTE_BYTES:
                raise SourceError(
                    f"{self._name} has a note of {note:,} bytes on a file: it may have {_NOTE_BYTES:,}"
                )
        if count > self._entries:
            raise SourceError(f"{self._name} has {count:,} entries: it may have {self._entries:,}")


# ── tar ───────────────────────────────────────────────────────────────────────────────────────────


def _unpack_tar(path: Path, staging: Staging, limits: SourceLimits) -> None:
    head = _head(path)
    opener: Callable[..., Any] = next(
        (open_ for magic, open_ in _OPENERS.items() if head.startswith(magic)), open
    )
    with opener(path, "rb") as stream:
        metered = _Metered(stream, limits.total_bytes, path)
        archive = Tar(metered.read, f"the archive {path}", 2 * limits.files, _NOTES * limits.paths_bytes)
        for member in archive:
            _take(archive, member, staging)


def _take(archive: Tar, member: Member, staging: Staging) -> None:
    staging.check_path(member.name)
    if member.kind == tarfile.DIRTYPE:
        return
    if member.kind == tarfile.SYMTYPE:
        if staging.admits(0):
            staging.link(member.name, member.target)
    elif member.kind == tarfile.LNKTYPE:
        _take_hard_link(member, staging)
    elif member.kind == tarfile.GNUTYPE_SPARSE:
        staging.skip("sparse file")
    elif member.kind != tarfile.REGTYPE:
        staging.skip("special file")
    elif staging.admits(member.size):
        staging.file(member.name, archive.content(), member.executable)


def _take_hard_link(member: Member, staging: Staging) -> None:
    """A second name of a file that came before it, or of a symbolic link."""
    before = posixpath.normpath(member.target)
    if before in staging.links and staging.admits(0):
        staging.link(member.name, staging.links[before])
        return
    content = read_regular(staging.root / before) if before in staging.files else None
    if content is None:
        staging.skip("broken hard link")
    elif staging.admits(len(content)):
        staging.file(member.name, content, member.executable)


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


class _Xz:
    """What `lzma.open` gives, with a bound on the memory that an archive may ask for."""

    def __init__(self, path: Path, mode: str) -> None:
        self._file = path.open(mode)
        self._engine = self._start()

    def __enter__(self) -> "_Xz":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, size: int) -> bytes:
        """Some bytes, none at the end."""
        while True:
            fed = self._engine.unused_data
            if self._engine.eof:
                while not (fed := fed.lstrip(b"\0")):  # what streams may be padded with
                    if not (fed := self._file.read(_XZ_CHUNK)):
                        return b""
                self._engine = self._start()
            elif self._engine.needs_input and not (fed := self._file.read(_XZ_CHUNK)):
                raise EOFError("it ends in the middle of compressed data")
            if data := self._engine.decompress(fed, size):
                return data

    def _start(self) -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_BYTES)


_OPENERS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": _Xz}
