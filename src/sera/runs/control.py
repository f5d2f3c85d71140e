"""Orders to a run under way: one line each in `control.jsonl`, read by the process that works on it.

Orders to earlier processes do not count: whoever opens a run reads from the end of the file on, and whoever
begins to work on it notes that there.
"""

import os
from enum import StrEnum
from pathlib import Path

import msgspec

from sera.errors import RunError, boundary
from sera.records import Ratio, Record
from sera.untrusted import decode


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
    BEGIN = "begin"
    """No order: a process has begun to work, and what was ordered before is over."""


class Order(Record, frozen=True):
    """One order."""

    verb: Verb
    task: str = ""
    """For drop and requeue: the task's id."""
    share: Ratio = 0.0
    """For stop: the share of ended tasks, 0…1, from which it holds."""


class OrderBook:
    """The orders of one run directory, from now on."""

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

    def begin(self) -> None:
        """Note that a process begins to work."""
        self.write(Order(verb=Verb.BEGIN))

    def read(self) -> list[Order]:
        """Orders written since the last call; a line that is no order is passed over."""
        if not self._path.exists() or self._path.stat().st_size <= self._position:
            return []
        orders, read = _read(self._path, self._position)
        self._position += read
        return orders


def standing(run: Path) -> str:
    """What the process at work on a run has been ordered and has not been countermanded; empty if nothing."""
    path, paused, stops = run / "control.jsonl", False, ""
    for order in _read(path, 0)[0] if path.exists() else []:
        match order.verb:
            case Verb.BEGIN:
                paused, stops = False, ""
            case Verb.PAUSE | Verb.RESUME:
                paused = order.verb is Verb.PAUSE
            case Verb.STOP if order.share:
                stops = stops if stops == "stopping" else f"to stop when {order.share:.1%} have ended"
            case Verb.STOP:
                stops = "stopping"
    if stops == "stopping":
        return stops
    return ", ".join(filter(None, ("paused" if paused else "", stops)))


def _read(path: Path, position: int) -> tuple[list[Order], int]:
    """The orders from that byte on, and the bytes they take."""
    with path.open("rb") as file:
        file.seek(position)
        lines = [line for line in file if line.endswith(b"\n")]
    return [order for line in lines if (order := _decode(line))], sum(map(len, lines))


def _decode(line: bytes) -> Order | None:
    try:
        order: Order = decode(line, Order)
    except msgspec.DecodeError:
        return None
    return order
