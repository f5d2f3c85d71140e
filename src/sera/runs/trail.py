"""The trail of a rollout under way, or of a question about one: its steps so far, in a file of its own.

    steps/<rollout id>.jsonl              a line for each reply, before its tool call runs, and what followed
    steps/<rollout id>-self_check.jsonl   a line for each answer to the question

The file is there only while the work is unfinished: once the whole record is in the run's journal, the
trail is discarded. A reply is on the disk before it is used; 0.2 to 0.5 ms for an SSD, off the event loop. A
torn last line is cut off when the trail is taken up again.
"""

import asyncio
import os
from pathlib import Path
from types import TracebackType

import msgspec

from sera.errors import RunError, boundary
from sera.records import Answered, Replied

_decode = msgspec.json.Decoder(Replied | Answered).decode


class Trail:
    """An `agent.Memory` on disk. A context manager; leaving it keeps the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._replies: dict[int, Replied] = {}
        self._answers: dict[int, Answered] = {}
        with boundary(RunError, f"cannot write {path}"):
            path.parent.mkdir(exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            self._take_up()

    def __enter__(self) -> "Trail":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def reply(self, number: int) -> Replied | None:
        """The reply of a step of before."""
        return self._replies.get(number)

    def answer(self, number: int) -> Answered | None:
        """What followed it."""
        return self._answers.get(number)

    async def remember(self, half: Replied | Answered) -> None:
        """Append one line, whole or not at all; a reply is on the disk then. `RunError` if that is full."""
        line = msgspec.json.encode(half) + b"\n"
        with boundary(RunError, f"cannot write {self._path}; free some space and run the same command again"):
            if os.write(self._file, line) != len(line):
                raise OSError("only part of a line could be written")
            if isinstance(half, Replied):
                await asyncio.to_thread(os.fsync, self._file)

    def forget(self) -> None:
        """Begin anew: the steps so far could not be rebuilt."""
        os.ftruncate(self._file, 0)
        self._replies.clear()
        self._answers.clear()

    def discard(self) -> None:
        """What the steps led to is recorded whole, so they are no longer needed."""
        self._path.unlink(missing_ok=True)

    def _take_up(self) -> None:
        whole = 0
        for line in self._path.read_bytes().splitlines(keepends=True):
            try:
                half = _decode(line) if line.endswith(b"\n") else None
            except msgspec.DecodeError:
                half = None
            if half is None:
                break
            self._know(half)
            whole += len(line)
        os.ftruncate(self._file, whole)

    def _know(self, half: Replied | Answered) -> None:
        if isinstance(half, Replied):
            self._replies[half.number] = half
        else:
            self._answers[half.number] = half
