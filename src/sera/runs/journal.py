"""A journal: one file of JSON lines that only ever grows, with an index of where each record lies.

A record is one `write` of one whole line, so a process killed at any moment leaves at most one torn
line at the end. Opening for writing cuts that line off; reading passes over it. Whatever a torn or
unreadable line held is simply not there, and so is owed again. Of two records with the same key the
later one counts.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

import msgspec

from sera.errors import RunError, boundary
from sera.records import Record

R = TypeVar("R", bound=Record)
P = TypeVar("P", bound=Record)


class Journal(Generic[R]):
    """Records of one kind by their key. Only keys and offsets are held in memory.

    `heading` is a struct with the few fields that `key` needs: the rest of a line is not even decoded
    when the file is indexed. A key of None means that the record is kept but does not count.
    """

    def __init__(
        self, path: Path, kind: type[R], heading: type[Record], key: Callable[..., str | None]
    ) -> None:
        self.path = path
        self.damaged = 0
        """Whole lines that could not be read."""
        self._decoder = msgspec.json.Decoder(kind)
        self._heading = msgspec.json.Decoder(heading)
        self._key = key
        self._offsets: dict[str, int] = {}
        self._file = -1
        self._size = self._synced = 0
        self._disk = asyncio.Lock()
        self._load()

    def __len__(self) -> int:
        return len(self._offsets)

    def __contains__(self, key: str) -> bool:
        return key in self._offsets

    def __iter__(self) -> Iterator[R]:
        """Every record that counts, in the order of its key's first appearance."""
        offsets = list(self._offsets.values())
        if not offsets:
            return
        with self._reading() as file:
            for offset in offsets:
                yield self._at(file, offset)

    def every(self, part: type[P]) -> Iterator[P]:
        """Part of every readable record in the file, also of those that do not count: `part` is a
        struct with some of the fields, and only those are decoded."""
        decoder = msgspec.json.Decoder(part)
        for _, line in self._lines():
            try:
                yield decoder.decode(line)
            except msgspec.DecodeError:
                continue

    def get(self, key: str) -> R | None:
        """The record with that key, read from disk."""
        offset = self._offsets.get(key)
        if offset is None:
            return None
        with self._reading() as file:
            return self._at(file, offset)

    def open_for_writing(self) -> None:
        """Make `append` possible; a torn last line is cut off. The caller holds the run's lock."""
        with boundary(RunError, f"cannot write {self.path}"):
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            os.ftruncate(self._file, self._size)

    def append(self, record: R) -> None:
        """Add one record, whole or not at all. `RunError` if the disk is full."""
        line = msgspec.json.encode(record) + b"\n"
        with boundary(RunError, f"cannot write {self.path}; free some space and run the same command again"):
            self._write(line)
        self._count(line, self._size)
        self._size += len(line)

    async def on_disk(self) -> None:
        """Wait until all that was appended so far is on the disk; who waits together shares one `fsync`."""
        wanted = self._size
        async with self._disk:
            if self._synced < wanted:
                reached = self._size
                with boundary(RunError, f"cannot write {self.path}"):
                    await asyncio.to_thread(os.fsync, self._file)
                self._synced = reached

    def close(self) -> None:
        """See that the disk has everything, and give the file back; reading goes on to work."""
        if self._file >= 0:
            os.fsync(self._file)
            os.close(self._file)
            self._file = -1

    def _write(self, line: bytes) -> None:
        try:
            written = os.write(self._file, line)
            while written < len(line):
                written += os.write(self._file, line[written:])
        except OSError:
            os.ftruncate(self._file, self._size)
            raise

    def _load(self) -> None:
        for offset, line in self._lines():
            self._count(line, offset)
            self._size = offset + len(line)

    def _count(self, line: bytes, offset: int) -> None:
        try:
            key = self._key(self._heading.decode(line))
        except msgspec.DecodeError:
            self.damaged += 1
            return
        if key is not None:
            self._offsets[key] = offset

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """(offset, line) of every whole line."""
        if not self.path.exists():
            return
        with boundary(RunError, f"cannot read {self.path}"), self.path.open("rb") as file:
            offset = 0
            for line in file:
                if not line.endswith(b"\n"):
                    return
                yield offset, line
                offset += len(line)

    @contextmanager
    def _reading(self) -> Iterator[IO[bytes]]:
        with boundary(RunError, f"cannot read {self.path}", OSError, msgspec.DecodeError):
            with self.path.open("rb") as file:
                yield file

    def _at(self, file: IO[bytes], offset: int) -> R:
        file.seek(offset)
        return self._decoder.decode(file.readline())


@contextmanager
def writable(*journals: Journal[Any]) -> Iterator[None]:
    """Journals that can be appended to meanwhile. The caller holds the lock of their folder."""
    with ExitStack() as opened:
        for journal in journals:
            opened.callback(journal.close)
            journal.open_for_writing()
        yield
