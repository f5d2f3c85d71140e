"""Where a dataset is made: a hidden folder beside its place, which outlives an interruption.

    .NAME.building/key             what decides samples: settings, tokenizer, sources, code
    .NAME.building/spool.jsonl     rows, in the order in which they were found
    .NAME.building/decided.jsonl   one line for each sample: what became of it, and where its row lies
    .NAME.building/new             the dataset, until it is renamed into its place

A row is on the disk before the line that speaks of it is written, and a torn line is cut off, so that a
build killed at any moment goes on where it was, two seconds of work excepted. A workspace with another key
is emptied. One process at a time uses it. It is removed when the dataset is in its place, and after a
failure if no row had been made.
"""

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec

from sera.datasets.decide import Decision, Outcome
from sera.datasets.folder import put_in_place, refuse_foreign
from sera.datasets.lines import json_line
from sera.errors import DatasetError
from sera.locks import locked
from sera.records import Record

_INTERVAL = 2.0
"""Seconds of work that an interruption may cost."""


class _Line(Record, frozen=True):
    key: str
    decision: Decision


class Workspace:
    """The samples decided so far. `open_workspace` makes one."""

    def __init__(self, path: Path) -> None:
        self.new = path / "new"
        self._spool = (path / "spool.jsonl").open("a+b")
        self._journal = (path / "decided.jsonl").open("a+b")
        self._known: dict[bytes, Decision] = {}
        self._unwritten: list[bytes] = []
        self._synced = time.monotonic()
        self._take_up()

    def known(self, key: str) -> Decision | None:
        """What became of the sample with this content, if it was decided before."""
        return self._known.get(bytes.fromhex(key))

    def add(self, decided: Iterable[tuple[str, Outcome]]) -> list[Decision]:
        """Store outcomes and their rows; the decisions say where the rows lie."""
        placed = []
        for key, (decision, row) in decided:
            placed.append(msgspec.structs.replace(decision, start=self._size, size=len(row)))
            self._size += self._spool.write(row)
            self._unwritten.append(json_line(_Line(key=key, decision=placed[-1])))
        if time.monotonic() - self._synced > _INTERVAL:
            self._sync()
        return placed

    def row(self, decision: Decision) -> bytes:
        """The row of a decision, as a JSON line. Once rows are read, none are added."""
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

    def _take_up(self) -> None:
        """Read what is there, up to the first line that is torn or whose row is."""
        decoder = msgspec.json.Decoder(_Line)
        rows, whole = os.fstat(self._spool.fileno()).st_size, 0
        self._size = 0
        self._journal.seek(0)
        for text in self._journal:
            try:
                line = decoder.decode(text) if text.endswith(b"\n") else None
            except msgspec.DecodeError:
                line = None
            if line is None or line.decision.start + line.decision.size > rows:
                break
            self._known[bytes.fromhex(line.key)] = line.decision
            self._size = max(self._size, line.decision.start + line.decision.size)
            whole += len(text)
        self._journal.truncate(whole)
        self._spool.truncate(self._size)


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
    if not mark.exists() or mark.read_text("ascii") != key:
        for name in ("key", "decided.jsonl", "spool.jsonl"):
            (path / name).unlink(missing_ok=True)
        mark.write_text(key, "ascii")
    (path / "new").mkdir()


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fdatasync(file.fileno())
