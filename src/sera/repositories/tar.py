"""Members of a tar stream, read once and in order, by an amount of work and memory that its length bounds.

Understood are the old format, POSIX (ustar and pax) and GNU's: long names, sizes of more than 8 GiB, sparse
files (the map of GNU's own headers and of pax 1.0). The standard library parses the block that every header
has; what lies between those it would read whole, at any length, recursively, and in quadratic time.

`tarfile.ReadError` for what is damaged, `SourceError` for a header beyond the limits.
"""

import os
import tarfile
from collections.abc import Callable, Iterator
from itertools import count
from typing import NamedTuple

from sera.errors import SourceError

HEADER_BYTES = 1 << 20
"""The longest extended header: names, and what pax says of a file."""
_RECORD = 64
"""What looking at one record of pax costs, in bytes read."""
_HEADERS_IN_A_ROW = 16
_PIECES = 1 << 16
"""Of a sparse file."""
_CHUNK = 1 << 20
_BLOCK = tarfile.BLOCKSIZE
_PAX = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_LONG = {tarfile.GNUTYPE_LONGNAME: "path", tarfile.GNUTYPE_LONGLINK: "linkpath"}
_LINKS = (tarfile.LNKTYPE, tarfile.SYMTYPE)
_SPARSE = "GNU.sparse."
_KEPT = (
    "path",
    "linkpath",
    "size",
    *(_SPARSE + name for name in ("major", "name", "realsize", "map", "size")),
)


class Member(NamedTuple):
    """One thing in the archive. Of a hard link, a symbolic link, a directory or a device `size` is 0."""

    name: str
    kind: bytes
    """A type of `tarfile`; `GNUTYPE_SPARSE` for a sparse file in an older notation, which is not read."""
    size: int
    """Bytes of its content, of a sparse file with its holes."""
    target: str
    executable: bool


class Tar:
    """Iterate for the members; `content` is that of the last one, and may be asked for once."""

    def __init__(self, read: Callable[[int], bytes], name: str, members: int, notes: int) -> None:
        """`read` gives at most as many bytes as it is asked for, and none at the end only. There may be so
        many `members`, directories and devices too, and bytes of extended headers altogether: `notes`."""
        self._read = read
        self._name = name
        self._members = members
        self._notes = self._room = notes
        self._of_all: dict[str, bytes] = {}
        self._size = self._left = self._padding = 0
        self._pieces: list[tuple[int, int]] | None = None

    def __iter__(self) -> Iterator[Member]:
        for number in count():
            if (member := self._next()) is None:
                return
            if number == self._members:
                raise SourceError(f"{self._name} has more than {self._members:,} entries")
            yield member
            self._skip(self._left + self._padding)

    def content(self) -> bytes:
        """The whole content of the last member. To be asked for only if its `size` is bearable."""
        stored, self._left = self._left, 0
        if self._pieces is None:
            return self._exactly(stored)
        if sum(length for _, length in self._pieces) != stored:
            raise tarfile.ReadError("the map of a sparse file is not that of its content")
        whole = bytearray(self._size)
        for start, length in self._pieces:
            if start + length > self._size:
                raise tarfile.ReadError("a sparse file leads beyond its end")
            whole[start : start + length] = self._exactly(length)
        return bytes(whole)

    def _next(self) -> Member | None:
        facts = dict(self._of_all)
        for number in range(_HEADERS_IN_A_ROW):
            block = self._block()
            if not block.strip(b"\0"):
                if number:
                    raise tarfile.ReadError("the archive ends after an extended header")
                return None
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            if header.size < 0:
                raise tarfile.ReadError("a header has a negative size")
            if header.type in _LONG:
                facts[_LONG[header.type]] = self._extended(header.size).partition(b"\0")[0]
            elif header.type in _PAX:
                found = self._facts(self._extended(header.size))
                facts |= found
                if header.type == tarfile.XGLTYPE:
                    self._of_all |= found
            else:
                return self._member(header, block, facts)
        raise SourceError(f"{self._name} has more than {_HEADERS_IN_A_ROW} extended headers in a row")

    def _facts(self, body: bytes) -> dict[str, bytes]:
        """Those of pax that mean something here."""
        found = {}
        for key, value in _records(body):
            self._spend(_RECORD)
            if key in _KEPT:
                found[key] = value
        return found

    def _member(self, header: tarfile.TarInfo, block: bytes, facts: dict[str, bytes]) -> Member:
        has_content = header.isreg() or header.type not in tarfile.SUPPORTED_TYPES
        stored = _number(facts.get("size") or b"%d" % header.size) if has_content else 0
        self._size, self._left, self._padding, self._pieces = stored, stored, -stored % _BLOCK, None
        name = facts.get(_SPARSE + "name") or facts.get("path") or os.fsencode(header.name)
        kind = tarfile.REGTYPE if header.isreg() else header.type
        target = (facts.get("linkpath") or os.fsencode(header.linkname)) if kind in _LINKS else b""
        if header.type == tarfile.GNUTYPE_SPARSE:
            self._pieces, self._size = self._map_of_headers(block), max(0, _field(block[483:495]))
        elif has_content and facts.get(_SPARSE + "major") == b"1":
            self._size = _number(facts.get(_SPARSE + "realsize", b""))
            self._pieces = self._map_of_content()
        elif has_content and any(key.startswith(_SPARSE) for key in facts):
            kind = tarfile.GNUTYPE_SPARSE
        return Member(
            name=os.fsdecode(name),
            kind=kind,
            size=self._size,
            target=os.fsdecode(target),
            executable=bool(header.mode & 0o111),
        )

    # ── sparse files ──────────────────────────────────────────────────────────────────────────────

    def _map_of_headers(self, block: bytes) -> list[tuple[int, int]]:
        """GNU's own: four pieces in the header, 21 in each block after it."""
        pieces: list[tuple[int, int]] = []
        start, end, more = 386, 386 + 24 * 4, block[482]
        while True:
            for at in range(start, end, 24):
                pieces.append((_field(block[at : at + 12]), _field(block[at + 12 : at + 24])))
            if not more:
                return [piece for piece in pieces if min(piece) >= 0 and piece[1]]
            if len(pieces) > _PIECES:
                raise SourceError(f"{self._name} has a sparse file of more than {_PIECES:,} pieces")
            block = self._exactly(_BLOCK)
            start, end, more = 0, 24 * 21, block[504]

    def _map_of_content(self) -> list[tuple[int, int]]:
        """That of pax 1.0: numbers in lines, how many pieces there are first, to the end of a block."""
        text, numbers, wanted = b"", list[int](), 1
        while len(numbers) < wanted:
            if self._left < _BLOCK or len(text) > _BLOCK:
                raise tarfile.ReadError("the map of a sparse file does not end")
            self._left -= _BLOCK
            *lines, text = (text + self._exactly(_BLOCK)).split(b"\n")
            for line in lines:
                numbers += [_number(line)] if len(numbers) < wanted else []
                wanted = 1 + 2 * numbers[0]
            if wanted > 2 * _PIECES:
                raise SourceError(f"{self._name} has a sparse file of more than {_PIECES:,} pieces")
        return list(zip(numbers[1::2], numbers[2::2], strict=True))

    # ── the stream ────────────────────────────────────────────────────────────────────────────────

    def _extended(self, size: int) -> bytes:
        if size > HEADER_BYTES:
            raise SourceError(
                f"{self._name} unpacks to far more than a source repository holds: an extended header of "
                f"{size:,} bytes, where the names and notes of a file may have {HEADER_BYTES:,}"
            )
        self._spend(size)
        body = self._exactly(size)
        self._skip(-size % _BLOCK)
        return body

    def _spend(self, size: int) -> None:
        self._room -= size
        if self._room < 0:
            raise SourceError(
                f"{self._name} has extended headers that come to more than {self._notes:,} bytes"
            )

    def _block(self) -> bytes:
        """The next block; zeros at the end, which not every writer marks."""
        first = self._read(_BLOCK)
        return first + self._exactly(_BLOCK - len(first)) if first else bytes(_BLOCK)

    def _exactly(self, size: int) -> bytes:
        parts = []
        while size:
            part = self._read(min(size, _CHUNK))
            if not part:
                raise tarfile.ReadError("unexpected end of data")
            size -= len(part)
            parts.append(part)
        return b"".join(parts)

    def _skip(self, size: int) -> None:
        while size:
            size -= len(self._exactly(min(size, _CHUNK)))


def _records(body: bytes) -> Iterator[tuple[str, bytes]]:
    """What an extended header of pax says: `<length> <keyword>=<value>\\n`, again and again."""
    at = 0
    while at < len(body) and body[at]:
        length, _, _ = body[at : at + 20].partition(b" ")
        end = at + _number(length)
        key, equals, value = body[at + len(length) + 1 : end - 1].partition(b"=")
        if not equals or end > len(body) or body[end - 1 : end] != b"\n":
            raise tarfile.ReadError("an extended header is malformed")
        yield key.decode("utf-8", "replace"), value
        at = end


def _field(text: bytes) -> int:
    """A number of GNU's headers: octal digits, or bytes after a mark."""
    if text[0] & 0x80:
        return int.from_bytes(text[1:], "big") if text[0] == 0x80 else -1
    digits = text.partition(b"\0")[0].strip()
    if digits.strip(b"01234567"):
        raise tarfile.ReadError("a number in a header is malformed")
    return int(digits or b"0", 8)


def _number(text: bytes) -> int:
    if not text.isdigit() or len(text) > 20:
        raise tarfile.ReadError("a number in a header is malformed")
    return int(text)
