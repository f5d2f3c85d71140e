"""A journal: one file of JSON lines that only ever grows, with an index of where each record lies.

A record is one `write` of one whole line, so a process killed at any moment leaves at most one torn
line at the end. Opening for writing cuts that line off; reading passes over it. Each line says whether it is
whole (`lines`): whatever a torn or damaged one held is simply not there, and so is owed again. Of two
records with the same key the later one counts.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from sera.errors import RunError, boundary
from sera.records import Record
from sera.runs.lines import Flaw, Scan, Whole, decode, read_seal, seal

R = TypeVar("R", bound=Record)
P = TypeVar("P", bound=Record)
_SIZE = 32
"""Bits that hold the size of a line, in bytes."""


class Journal(Generic[R]):
    """Records of one kind by their key. Only keys and offsets are held in memory.

    `heading` is a struct with the few fields that `key` needs: the rest of a line is not even decoded
    when the file is indexed. A key of None means that the record is kept but does not count. `plain`: what a
    line without a seal must be, if that is stricter.
    """

    def __init__(
        self,
        path: Path,
        kind: type[R],
        heading: type[Record],
        key: Callable[..., str | None],
        plain: type[R] | None = None,
    ) -> None:
        self.path = path
        self.damaged = 0
        """Lines that were altered, lost, doubled or moved."""
        self.flaws: list[Flaw] = []
        """What is wrong with which of them; the first thousand."""
        self.torn = 0
        """The line at the end that is torn, from 1; 0: none is."""
        self.rest = b""
        """What stands in that line."""
        self.broken_at_end = 0
        """Lines after the last whole one that are none any more."""
        self._decoder = msgspec.json.Decoder(kind)
        self._plain_decoder = msgspec.json.Decoder(plain or kind)
        self._heading = msgspec.json.Decoder(_with_required(heading, kind))
        self._key = key
        self._spans: dict[str, int] = {}
        """Where each record lies: offset and size in one number, as there are many."""
        self._file = -1
        self._lines = self._size = self._synced = 0
        self._unended = False
        self._plain_until = -1
        """Offset of the last line without a seal that counts; -1: there is none."""
        self._disk = asyncio.Lock()
        self._foreign: list[Flaw] = []
        self._load()

    def __len__(self) -> int:
        return len(self._spans)

    def __contains__(self, key: str) -> bool:
        return key in self._spans

    def __iter__(self) -> Iterator[R]:
        """Every record that counts, in the order of its key's first appearance."""
        spans = list(self._spans.values())
        if not spans:
            return
        with self._reading() as file:
            for span in spans:
                yield self._at(file, span)

    def every(self, part: type[P]) -> Iterator[P]:
        """Part of every whole record in the file, also of those that do not count: `part` is a
        struct with some of the fields, and only those are decoded."""
        decoder = msgspec.json.Decoder(part)
        for line in self._scan():
            try:
                yield decode(decoder, line.text)
            except msgspec.DecodeError:
                continue

    def get(self, key: str) -> R | None:
        """The record with that key, read from disk."""
        span = self._spans.get(key)
        if span is None:
            return None
        with self._reading() as file:
            return self._at(file, span)

    def open_for_writing(self) -> None:
        """Make `append` possible; a torn last line is cut off. The caller holds the run's lock."""
        with boundary(RunError, f"cannot write {self.path}"):
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            os.ftruncate(self._file, self._size)
            if self._unended:
                self._size += os.write(self._file, b"\n")
                self._unended = False

    def append(self, record: R) -> None:
        """Add one record, whole or not at all. `RunError` if the disk is full, or if somebody else writes."""
        line = seal(record, self._lines + 1, after_plain=self._plain_until >= 0)
        with boundary(RunError, f"cannot write {self.path}; free some space and run the same command again"):
            if os.fstat(self._file).st_size != self._size:
                raise RunError(
                    f"{self.path} was changed by another program while this one wrote it: run the same "
                    "command again"
                )
            self._write(line)
        self._count(Whole(self._size, line[:-1]))
        self._size += len(line)
        self._lines += 1

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

    def _scan(self) -> Scan:
        return Scan(self.path, self._is_plain)

    def _is_plain(self, text: bytes) -> bool:
        try:
            decode(self._plain_decoder, text)
        except msgspec.DecodeError:
            return False
        return True

    def _load(self) -> None:
        scan = self._scan()
        for line in scan:
            if not line.sealed:
                self._plain_until = line.offset
            self._count(line)
        self._lines, self._size, self._unended = scan.lines, scan.size, scan.unended
        self.damaged += scan.damaged
        self.flaws, self.broken_at_end = [*self._foreign, *scan.flaws], scan.broken_at_end
        self.torn, self.rest = scan.torn, scan.rest

    def _count(self, line: Whole) -> None:
        try:
            key = self._key(decode(self._heading, line.text))
        except msgspec.DecodeError:
            self.damaged += 1
            if self.damaged == 1:
                what = f"the line at byte {line.offset:,} is whole, and of another kind of file"
                self._foreign.append(Flaw(file=self.path.name, line=0, what=what))
            return
        if key is not None and not (line.late and key in self._spans):
            self._spans[key] = line.offset << _SIZE | len(line.text)

    @contextmanager
    def _reading(self) -> Iterator[int]:
        with boundary(RunError, f"cannot read {self.path}", OSError, msgspec.DecodeError):
            file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                yield file
            finally:
                os.close(file)

    def _at(self, file: int, span: int) -> R:
        offset, size = span >> _SIZE, span & (1 << _SIZE) - 1
        text = os.pread(file, size, offset)
        if not read_seal(text) and not (offset <= self._plain_until and self._is_plain(text)):
            raise RunError(
                f"{self.path}: the record at byte {offset:,} was altered while this process was at work. Run "
                "the same command again: what is not whole is done anew"
            )
        record: R = decode(self._decoder, text)
        return record


def _with_required(heading: type[Record], kind: type[Record]) -> type[msgspec.Struct]:
    """The heading of records of a kind and no others: with all that the kind requires, undecoded."""
    known = {field.name for field in msgspec.structs.fields(heading)}
    fields = [field.name for field in msgspec.structs.fields(kind) if field.required]
    more = [(name, msgspec.Raw) for name in fields if name not in known]
    return msgspec.defstruct(
        heading.__name__, more, bases=(heading,), frozen=True, kw_only=True, module=heading.__module__
    )


@contextmanager
def writable(*journals: Journal[Any]) -> Iterator[None]:
    """Journals that can be appended to meanwhile. The caller holds the lock of their folder."""
    with ExitStack() as opened:
        for journal in journals:
            opened.callback(journal.close)
            journal.open_for_writing()
        yield
