"""Lines that say whether they are whole: the form of every file of records that grows.

    {"rollout": "3f9a…", "accepted": true, …, "seq": 17, "sum": "5d41402a"}

`seq` counts the lines of the file from 1, and `sum` is the CRC-32 of all that stands before it in its line:
what was altered, cut or zeroed does not pass, what was lost leaves a gap, and what comes twice or out of its
place shows. The JSON is readable for whatever passes over fields it does not know, older versions of sera
included. Lines from before there were seals count if they can be read, as long as no sealed one stands before
them; the seals after such lines are begun with 1, so that a line which lost its seal does not pass for one.

A line without its newline at the end of a file is torn, as a kill leaves it, and no damage.
"""

import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

import msgspec

from sera.errors import RunError, boundary
from sera.records import Record

R = TypeVar("R")
_SEAL = re.compile(rb',"seq":([0-9]{1,18}),"sum":"([0-9a-f]{8})"\}')
_REMAINS = re.compile(rb'"(seq|sum)":')
"""What stands in a line that had a seal, also where that is damaged; in a text the quotes are escaped."""
_TAIL = len(b',"sum":"01234567"}\n')
_BUFFER = 2**18
"""Bytes read at once: lines are often longer than what Python reads by itself."""
_MOST_FLAWS = 1000
"""Flaws of one file that are told one by one."""
_WIDEST = 100_000
"""Numbers of lost lines that are remembered, so that one of them that turns up elsewhere is known."""


class Flaw(Record, frozen=True):
    """What is wrong with a file of records, and where."""

    file: str
    line: int
    """From 1; 0: the file as a whole."""
    what: str

    def __str__(self) -> str:
        return f"{self.file}{f', line {self.line}' if self.line else ''}: {self.what}"


class Whole(NamedTuple):
    """A line that is whole."""

    offset: int
    text: bytes
    """Without the newline."""
    sealed: bool = True
    late: bool = False
    """Whether a line with a higher number stands before it."""


class _Found(NamedTuple):
    """A whole line, in what stands between two newlines."""

    start: int
    text: bytes
    number: int | None
    """None: it has no seal."""


def seal(record: Record, number: int, after_plain: bool = False) -> bytes:
    """A record as the line of that number, newline included. `after_plain`: lines without a seal stand before
    it in its file."""
    body = b'%b,"seq":%d' % (msgspec.json.encode(record)[:-1], number)
    return b'%b,"sum":"%08x"}\n' % (body, zlib.crc32(body, after_plain))


def read_seal(text: bytes) -> tuple[int, bool] | None:
    """(number, `after_plain`) of a line whose seal holds, else None."""
    found = _SEAL.search(text, max(len(text) - 64, 0))
    if not found or found.end() != len(text):
        return None
    body, told = memoryview(text)[: found.end(1)], int(found[2], 16)
    for after_plain in (False, True):
        if zlib.crc32(body, after_plain) == told:
            return int(found[1]), after_plain
    return None


def decode(decoder: "msgspec.json.Decoder[Any]", text: bytes) -> Any:
    """The record in a line. Raises `msgspec.DecodeError`, whatever is wrong with it."""
    try:
        return decoder.decode(text)
    except RecursionError:
        raise msgspec.DecodeError("it is nested too deeply") from None
    except UnicodeError as problem:
        raise msgspec.DecodeError(f"it is no text: {problem}") from None


def records(scan: "Scan", decoder: "msgspec.json.Decoder[R]") -> Iterator[R]:
    """The records of a file; a whole line of another kind of file counts as damage of this one."""
    for line in scan:
        try:
            yield decode(decoder, line.text)
        except msgspec.DecodeError:
            scan.tell_foreign()


class Scan:
    """One pass over a file: iterating gives every whole line once, in the order of the file; the rest is
    known afterwards. `is_plain` says whether a line without a seal is a record."""

    def __init__(self, path: Path, is_plain: Callable[[bytes], bool]) -> None:
        self.flaws: list[Flaw] = []
        self.damaged = 0
        """Flaws, also those beyond what is told one by one."""
        self.lines = 0
        """What the next line is numbered after: the last one's number, broken ones after it counted too."""
        self.broken_at_end = 0
        """Lines after the last whole one that are none any more."""
        self.size = 0
        """Bytes of the file without a torn end."""
        self.unended = False
        """Whether the last line lacks nothing but its newline."""
        self.torn = 0
        """The line that is torn, from 1; 0: none is."""
        self.rest = b""
        """What stands in it."""
        self.plain = 0
        """Lines without a seal that count; all others stand after them."""
        self._path = path
        self._is_plain = is_plain
        self._last = self._broken = self._place = 0
        self._missing: set[int] = set()

    def __iter__(self) -> Iterator[Whole]:
        if not self._path.exists():
            return
        with boundary(RunError, f"cannot read {self._path}"), self._path.open("rb", _BUFFER) as file:
            first = _first_seal(file)
            takes_plain = first is None or first[1]
            begun = int(first is not None and first[1])
            offset = 0
            for place, raw in enumerate(file, 1):
                self._place = place
                if not self._broken and _is_next(raw, self._last + 1, begun):  # as nearly every line is
                    takes_plain = False
                    self._last += 1
                    self.size += len(raw)
                    yield Whole(offset, raw[:-1])
                    offset += len(raw)
                    continue
                for start, text, number in self._whole(place, raw, takes_plain):
                    late = number is not None and number <= self._last
                    takes_plain = takes_plain and number is None
                    if self._counts(place, number):
                        yield Whole(offset + start, text, number is not None, late)
                offset += len(raw)
        self.broken_at_end = self._broken
        self.lines = self._last + self._broken

    def _whole(self, place: int, raw: bytes, takes_plain: bool) -> list[_Found]:
        """The whole lines in what ends at a newline: one, if all is well."""
        text = raw.removesuffix(b"\n")
        ended = text is not raw
        if seal := read_seal(text):
            found = [_Found(0, text, seal[0])]
        elif (
            ended
            and takes_plain
            and not _REMAINS.search(text, max(len(text) - 64, 0))
            and self._is_plain(text)
        ):
            found = [_Found(0, text, None)]
        else:
            found = list(_salvaged(raw))
        if ended:
            self.size += len(raw)
            if not found or len(found[0][1]) != len(text):
                self._broken += not found
                self._tell(place, "altered" if not found else "altered beside what is whole in it")
        elif found:
            self.size += found[-1][0] + len(found[-1][1])
            self.unended = True
        else:
            self.torn, self.rest = place, text
        return found

    def _counts(self, place: int, number: int | None) -> bool:
        """Note where a whole line stands; whether it counts."""
        if number is None:
            self.plain += 1
            self._last += 1 + self._broken
            self._broken = 0
            return True
        if number > self._last:
            lost = number - self._last - 1 - self._broken
            if lost > 0:
                self._tell(place, f"{lost} before it {'is' if lost == 1 else 'are'} lost")
            self._missing.update(range(self._last + 1, min(number, self._last + _WIDEST)))
            self._last, self._broken = number, 0
            return True
        self._tell(place, "out of its place" if number in self._missing else "here twice, and counted once")
        if number in self._missing:
            self._missing.discard(number)
            return True
        return False

    def tell_foreign(self) -> None:
        """Note that the line which came last is of another kind of file."""
        self._tell(self._place, "whole, and of another kind of file")

    def _tell(self, place: int, what: str) -> None:
        self.damaged += 1
        if len(self.flaws) < _MOST_FLAWS:
            self.flaws.append(Flaw(file=self._path.name, line=place, what=what))


def _first_seal(file: IO[bytes]) -> tuple[int, bool] | None:
    """Of the first line that has one that holds; the file is then at its start again."""
    seal = next(filter(None, (read_seal(raw.removesuffix(b"\n")) for raw in file)), None)
    file.seek(0)
    return seal


def _is_next(raw: bytes, number: int, start: int) -> bool:
    """Whether that is the line of that number, whole, newline included; its sum begins with `start`."""
    told = zlib.crc32(memoryview(raw)[:-_TAIL], start)
    return raw.endswith(b',"seq":%d,"sum":"%08x"}\n' % (number, told))


def _salvaged(raw: bytes) -> Iterator[_Found]:
    """Whole lines in one that is not, such as two whose newline was altered."""
    start = 0
    for end in _SEAL.finditer(raw):
        begin = raw.find(b"{", start)
        if begin >= 0 and (seal := read_seal(text := raw[begin : end.end()])):
            yield _Found(begin, text, seal[0])
        start = end.end()
