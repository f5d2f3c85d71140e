"""What a run of tests has answered, read line by line as `probes/sera_recorder.py` writes it.

What a test says of itself is taken as it comes: a patch could forge it, as it could any runner's output.
"""

import posixpath
from pathlib import PurePosixPath
from typing import Annotated, Literal

import msgspec

from sera import untrusted
from sera.records import Record
from sera.sandboxes import Sandbox

_LONGEST_ID, _MOST_SAID = 10_000, 4000
"""Characters."""
_MOST_ANSWERED = 256 << 20
"""Bytes of all lines."""
_MOST_PIECES = 1000
_Number = Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]


class Outcome(Record, frozen=True, kw_only=True):
    """What became of one test."""

    id: str
    outcome: str
    """`passed`, `failed`, `skipped`, or `late`: it did not end in its time."""
    seconds: float = 0.0
    kind: str = ""
    """Of a failure: the exception's class."""
    said: str = ""
    line: int = 0
    """Line of the test's file on which it failed; 0: none."""
    inside: bool = False
    """Whether the exception came from the project rather than the test."""
    calls: tuple[int, ...] = ()
    """Functions called, as numbers in `Answer.places`; tests that call the same share one."""


class _Line(Record, frozen=True, kw_only=True):
    """A line of the answer, of one of the kinds that the recorder names, or else a test."""

    begun: str | None = None
    broken: str | None = None
    place: tuple[str, _Number] | None = None
    end: str | None = None
    collected: _Number | None = None
    chosen: _Number | None = None
    id: str = ""
    outcome: Literal["", "passed", "failed", "skipped", "late"] = ""
    seconds: Annotated[float, msgspec.Meta(ge=0, le=1e7)] = 0.0
    kind: str = ""
    said: str = ""
    line: _Number = 0
    inside: bool = False
    calls: tuple[_Number, ...] = ()
    same: _Number | None = None


class Answer:
    """What the lines so far have told."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.places: list[tuple[str, int]] = []
        self.broken: dict[str, str] = {}
        self.collected: int | None = None
        """Tests there are; None: the files were never all read in."""
        self.chosen = 0
        """Tests that were to run."""
        self.left = 0
        """Those of them that did not end."""
        self.at = ""
        """The file that was being read in, or the test that was running."""
        self.last = ""
        """The test that ended last."""
        self.end: str | None = None
        """Why the runner stopped before its last test, empty if it did not; None: it never said."""
        self.lines = 0
        self._ended: set[str] = set()
        self._sets: list[tuple[int, ...]] = []
        self._numbers: list[int] = []

    def add(self, line: bytes) -> None:
        """Take in a line. Raises `msgspec.DecodeError` if it says nothing that a run of tests can say."""
        self.lines += 1
        try:
            one: _Line = untrusted.decode(line, _Line)
            self._add(one)
        except msgspec.DecodeError as problem:
            raise msgspec.DecodeError(f"line {self.lines}: {problem}") from None

    def _add(self, line: _Line) -> None:
        if line.begun is not None:
            self.at = line.begun[:_LONGEST_ID]
        elif line.broken is not None:
            self.broken[line.broken[:_LONGEST_ID]] = line.said[-_MOST_SAID:]
        elif line.place:
            self._numbers.append(len(self.places))
            self.places.append((posixpath.normpath(line.place[0]), line.place[1]))
        elif line.end is not None:
            self.end = line.end[:_MOST_SAID]
        elif line.collected is not None and line.chosen is not None:
            self.collected, self.chosen, self.left, self.at = line.collected, line.chosen, line.chosen, ""
        elif line.outcome:
            self._add_test(line)
        else:
            raise msgspec.DecodeError("it tells of no test")

    def _add_test(self, line: _Line) -> None:
        calls = self._calls(line)
        self.at, self.last = "", line.id[:_LONGEST_ID]
        if line.id not in self._ended:
            self._ended.add(line.id)
            self.left = max(0, self.left - 1)
        if _is_in_tree(line.id):
            self.outcomes[line.id] = Outcome(
                id=line.id,
                outcome=line.outcome,
                seconds=line.seconds,
                kind=line.kind[:_MOST_SAID],
                said=line.said[:_MOST_SAID],
                line=line.line,
                inside=line.inside,
                calls=calls,
            )

    def _calls(self, line: _Line) -> tuple[int, ...]:
        try:
            if line.same is not None:
                return self._sets[line.same]
            calls = tuple([self._numbers[call] for call in line.calls])  # numbers that exist once
        except IndexError:
            raise msgspec.DecodeError("it tells of no function that was named") from None
        if calls:
            self._sets.append(calls)
        return calls


async def read_answer(box: Sandbox, path: str) -> tuple[Answer, str]:
    """What was answered at `path`, and why that cannot be read any further, if it cannot."""
    answer = Answer()
    try:
        await _read(box, path, answer)
    except FileNotFoundError:
        return answer, ""
    except (OSError, msgspec.DecodeError) as problem:
        return Answer(), f"what the tests answered cannot be read: {problem}"
    return answer, ""


async def _read(box: Sandbox, path: str, answer: Answer) -> None:
    """Piece by piece, so that no more than one is held; `FileNotFoundError` ends it."""
    rest, left = b"", _MOST_ANSWERED
    for piece in range(_MOST_PIECES):
        content = await box.read(f"{path}.{piece}" if piece else path)
        left -= len(content)
        if left < 0:
            break
        *lines, rest = (rest + content).split(
            b"\n"
        )  # what follows the last one, a process did not get to write
        for line in lines:
            answer.add(line)
    raise msgspec.DecodeError(f"it is longer than {_MOST_ANSWERED >> 20} MiB")


def _is_in_tree(test: str) -> bool:
    """Whether a test can be one of the tree: its file is read on the host."""
    file = PurePosixPath(test.partition("::")[0])
    inside = not file.is_absolute() and ".." not in file.parts and str(file).isprintable()
    return inside and bool(file.parts) and len(test) <= _LONGEST_ID and "\0" not in test
