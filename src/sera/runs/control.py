"""Orders to a run under way: one line each in `control.jsonl`, read by the process that works on it.

The orders of earlier processes do not count: whoever starts to work begins at the end of the file.
"""

import os
from enum import StrEnum
from pathlib import Path

import msgspec

from sera.errors import RunError, boundary
from sera.records import Record


class Verb(StrEnum):
    """What can be asked of a run under way."""

    PAUSE = "pause"
    """Ask the teacher nothing more until told to resume."""
    RESUME = "resume"
    STOP = "stop"
    """Finish the steps under way, then end; with a share, as soon as so many tasks have ended."""
    DROP = "drop"
    """Give a task up."""
    REQUEUE = "requeue"
    """Do a task anew."""


class Order(Record, frozen=True):
    """One order."""

    verb: Verb
    task: str = ""
    """For drop and requeue: the task's id."""
    share: float = 0.0
    """For stop: the share of ended tasks, 0…1, from which it holds."""


class OrderBook:
    """The orders of one run directory."""

    def __init__(self, run: Path) -> None:
        self._path = run / "control.jsonl"
        self._position = self._path.stat().st_size if self._path.exists() else 0

    def write(self, order: Order) -> None:
        """Append an order."""
        with boundary(RunError, f"cannot write {self._path}"):
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            try:
                os.write(file, msgspec.json.encode(order) + b"\n")
            finally:
                os.close(file)

    def read(self) -> list[Order]:
        """Orders written since the last call; a line that is no order is passed over."""
        if not self._path.exists() or self._path.stat().st_size <= self._position:
            return []
        with self._path.open("rb") as file:
            file.seek(self._position)
            lines = [line for line in file if line.endswith(b"\n")]
        self._position += sum(map(len, lines))
        return [order for line in lines if (order := _decode(line))]


def _decode(line: bytes) -> Order | None:
    try:
        return msgspec.json.decode(line, type=Order)
    except msgspec.DecodeError:
        return None
