"""Where a dataset is made: a hidden folder beside its place, which outlives an interruption.

    .NAME.building/key             what decides samples: settings, tokenizer, sources, code
    .NAME.building/spool.jsonl     rows, in the order in which they were found
    .NAME.building/decided.jsonl   one line for each sample: what became of it, and where its row lies
    .NAME.building/new             the dataset, until it is renamed into its place

A row is on the disk before the line that speaks of it is written, so that a build killed at any moment goes
on where it was, two seconds of work excepted. Lines are sealed (`runs.lines`) and say the checksum of their
row: what is torn or damaged of either is decided again. A workspace with another key is emptied. One process
at a time uses it. It is removed when the dataset is in its place, and after a failure if no row was made.
"""

import os
import shutil
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec

from sera.datasets.decide import Decision, Outcome
from sera.datasets.folder import put_in_place, refuse_foreign
from sera.errors import DatasetError
from sera.locks import locked
from sera.records import Record
from sera.runs.lines import Scan, records, seal

_INTERVAL = 2.0
"""Seconds of work that an interruption may cost."""


class _Line(Record, frozen=True):
    key: str
    decision: Decision


class Workspace:
    """The samples decided so far. `open_workspace` makes one."""

    def __init__(self, path: Path) -> None:
        self.new = path / "new"
        self._known: dict[bytes, Decision] = {}
        self._unwritten: list[bytes] = []
        self._synced = time.monotonic()
        self._spool = (path / "spool.jsonl").open("a+b")
        self._lines = self._take_up(path / "decided.jsonl")
        self._journal = (path / "decided.jsonl").open("ab")

    def known(self, key: str) -> Decision | None:
        """What became of the sample with this content, if it was decided before."""
        return self._known.get(bytes.fromhex(key))

    def add(self, decided: Iterable[tuple[str, Outcome]]) -> list[Decision]:
        """Store outcomes and their rows; the decisions say where the rows lie."""
        placed = []
        for key, (decision, row) in decided:
            check = zlib.crc32(row)
            placed.append(msgspec.structs.replace(decision, start=self._size, size=len(row), check=check))
            self._size += self._spool.write(row)
            self._lines += 1
            self._unwritten.append(seal(_Line(key=key, decision=placed[-1]), self._lines))
        if time.monotonic() - self._synced > _INTERVAL:
            self._sync()
        return placed

    def row(self, decision: Decision) -> bytes:
        """The row of a decision, as a JSON line. Once rows are read, none are added."""
        row = self._read(decision)
        if zlib.crc32(row) != decision.check:
            raise DatasetError(
                f"{self._spool.name}: the row at byte {decision.start:,} was altered while the dataset was "
                "built; the same command decides it again"
            )
        return row

    def _read(self, decision: Decision) -> bytes:
        self._spool.seek(decision.start)
        return self._spool.read(decision.size)

    def close(self) -> bool:
        """Close the files; whether any row has been made."""
        self._sync()
        self._spool.close()
        self._journal.close()
        return self._size > 0

    def _sync(self) -> None:
        """Rows first, then the lines that speak of them."""
        _flush(self._spool)
        self._journal.write(b"".join(self._unwritten))
        _flush(self._journal)
        self._unwritten.clear()
        self._synced = time.monotonic()

    def _take_up(self, journal: Path) -> int:
        """Read what is there and whole, and write that anew if there was more; the last line's number."""
        decoder = msgspec.json.Decoder(_Line)
        scan = Scan(journal, lambda _: False)
        kept: list[_Line] = []
        self._size, read = 0, 0
        for line in records(scan, decoder):
            read += 1
            if zlib.crc32(self._read(line.decision)) == line.decision.check:
                kept.append(line)
                self._known[bytes.fromhex(line.key)] = line.decision
                self._size = max(self._size, line.decision.start + line.decision.size)
        self._spool.truncate(self._size)
        if scan.damaged or scan.torn or scan.unended or len(kept) < read:
            journal.write_bytes(b"".join(seal(line, number) for number, line in enumerate(kept, 1)))
            return len(kept)
        return scan.lines


@contextmanager
def open_workspace(out: Path, key: str) -> Iterator[Workspace]:
    """The workspace of a dataset; what the block leaves in its `new` folder becomes `out`.

    If the block raises, `out` stays as it was, and the workspace is kept if it holds rows. `DatasetError` if
    `out` is something that is not ours, or another process is building it.
    """
    out = out.resolve()
    refuse_foreign(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    path = out.with_name(f".{out.name}.building")
    path.mkdir(exist_ok=True)
    busy = f"another process is building {out}"
    with locked(path / ".lock", DatasetError, busy, "wait for it, or choose another folder"):
        _prepare(path, out, key)
        workspace = Workspace(path)
        try:
            yield workspace
            put_in_place(workspace.new, out, path / "old")
        except BaseException:
            if not workspace.close():
                shutil.rmtree(path)
            raise
        workspace.close()
        shutil.rmtree(path)


def _prepare(path: Path, out: Path, key: str) -> None:
    """Remove what cannot be gone on with."""
    if (path / "old").exists() and not out.exists():
        (path / "old").rename(out)
    for name in ("new", "old"):
        shutil.rmtree(path / name, ignore_errors=True)
    mark = path / "key"
    if not mark.exists() or mark.read_bytes() != key.encode():
        for name in ("key", "decided.jsonl", "spool.jsonl"):
            (path / name).unlink(missing_ok=True)
        mark.write_text(key, "ascii")
    (path / "new").mkdir()


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fdatasync(file.fileno())
