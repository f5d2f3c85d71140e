"""The trail of a rollout under way, or of a question about one: its steps so far, in a file of its own.

    steps/<rollout id>.jsonl              a line for each reply, before its tool call runs, and what followed
    steps/<rollout id>-self_check.jsonl   a line for each answer to the question

The file is there only while the work is unfinished: once the whole record is in the run's journal, the
trail is discarded. A reply is on the disk before it is used; 0.2 to 0.5 ms for an SSD, off the event loop.
Lines are sealed (`lines`). A torn last one is cut off when the trail is taken up again; where one is damaged,
what can still be gone on from is written anew: of a rollout all before the first reply that is lost, since
later ones answer to it, and of a question every answer.
"""

import asyncio
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import msgspec

from sera.errors import RunError, boundary
from sera.records import Answered, Replied
from sera.runs.folder import replace
from sera.runs.lines import Flaw, Scan, decode, records, seal

_DECODER = msgspec.json.Decoder(Replied | Answered)


class Trail:
    """An `agent.Memory` on disk. A context manager; leaving it keeps the file."""

    def __init__(self, path: Path, chained: bool = True) -> None:
        """`chained`: a reply is of no use without the ones before it."""
        self._path = path
        self._asked, self._chained = "", chained
        self._replies: dict[int, Replied] = {}
        self._answers: dict[int, Answered] = {}
        with boundary(RunError, f"cannot write {path}"):
            path.parent.mkdir(exist_ok=True)
            self._lines = self._take_up()
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def __enter__(self) -> "Trail":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def begin(self, asked: str) -> None:
        """From now on replies answer that, by its `content_id`. What is there and answers something else, as
        after the loss of what led to it, is forgotten."""
        self._asked = asked
        if any(reply.asked not in ("", asked) for reply in self._replies.values()):
            self.forget()

    def reply(self, number: int) -> Replied | None:
        """The reply of a step of before."""
        return self._replies.get(number)

    def answer(self, number: int) -> Answered | None:
        """What followed it."""
        return self._answers.get(number)

    async def remember(self, half: Replied | Answered) -> None:
        """Append one line, whole or not at all; a reply is on the disk then. `RunError` if that is full."""
        if isinstance(half, Replied):
            half = msgspec.structs.replace(half, asked=self._asked)
        line = seal(half, self._lines + 1)
        with boundary(RunError, f"cannot write {self._path}; free some space and run the same command again"):
            if os.write(self._file, line) != len(line):
                raise OSError("only part of a line could be written")
            self._lines += 1
            if isinstance(half, Replied):
                await asyncio.to_thread(os.fsync, self._file)

    def forget(self) -> None:
        """Begin anew: the steps so far could not be rebuilt."""
        os.ftruncate(self._file, 0)
        self._lines = 0
        self._replies.clear()
        self._answers.clear()

    def discard(self) -> None:
        """What the steps led to is recorded whole, so they are no longer needed."""
        self._path.unlink(missing_ok=True)

    def _take_up(self) -> int:
        """Read what is there; the number of its last line."""
        scan = scan_trail(self._path)
        for half in records(scan, _DECODER):
            if isinstance(half, Replied):
                self._replies[half.number] = half
            else:
                self._answers[half.number] = half
        kept = list(self._usable())
        if scan.damaged or scan.torn or scan.unended or len(kept) < len(self._replies) + len(self._answers):
            replace(self._path, b"".join(seal(half, number) for number, half in enumerate(kept, 1)))
            self._replies = {half.number: half for half in kept if isinstance(half, Replied)}
            self._answers = {half.number: half for half in kept if isinstance(half, Answered)}
            return len(kept)
        return scan.lines

    def _usable(self) -> Iterator[Replied | Answered]:
        """What can be gone on from, in order."""
        for place, number in enumerate(sorted(self._replies)):
            reply = self._replies[number]
            if self._chained and number != place:
                return
            yield reply
            if answer := self._answers.get(number):
                yield answer


def scan_trail(path: Path) -> Scan:
    """One pass over a trail."""
    return Scan(path, _is_plain)


def flaws_of(path: Path) -> list[Flaw]:
    """What is wrong with which line of a trail."""
    scan = scan_trail(path)
    deque(records(scan, _DECODER), maxlen=0)
    return [msgspec.structs.replace(flaw, file=f"{path.parent.name}/{flaw.file}") for flaw in scan.flaws]


def _is_plain(text: bytes) -> bool:
    try:
        decode(_DECODER, text)
    except msgspec.DecodeError:
        return False
    return True
