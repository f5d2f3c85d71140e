"""Reading files of one JSON document, of one object a line, or of one list of them.

A file of lines is read a line at a time. What is read whole, a document or a line, may have `MOST` bytes: a
longer one is refused like any that is broken.
"""

from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any

import msgspec

from sera.datasets.exchange.trajectory import Document, Reason, Refusal, Trajectory, json_document
from sera.untrusted import decode

MOST = 512_000_000
"""Bytes of one document or line: a day's session with screenshots has a tenth of it."""
_LOOKED_AT = 50
"""Lines by which a file's format is recognised."""


def lines_of(opened: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """(number from 1, line) of each line that is not empty; None in the place of one that is too long."""
    number = 0
    while line := opened.readline(MOST + 1):
        number += 1
        line = line.removeprefix(BOM_UTF8) if number == 1 else line
        if len(line) > MOST:
            while line and not line.endswith(b"\n"):
                line = opened.readline(MOST + 1)
            yield number, None
        elif line.strip():
            yield number, line


def json_lines(
    file: Path, name: str, kind: type[Any], convert: Callable[[Any], Trajectory]
) -> Iterator[Document]:
    """One document for each line that is not empty, or for each entry if the file is one JSON list."""
    if (listed := _listed(file)) is not None:
        for number, entry in enumerate(listed, 1):
            yield Document(name, number, partial(_read, entry, kind, convert))
        return
    with file.open("rb") as opened:
        for number, line in lines_of(opened):
            yield Document(name, number, partial(_read, line, kind, convert))


def one_document(
    file: Path, name: str, kind: type[Any], convert: Callable[[Any], Trajectory]
) -> Iterator[Document]:
    """The file's only document."""
    yield Document(name, 0, partial(_read, whole(file), kind, convert))


def whole(file: Path) -> bytes | None:
    """All of a file; None if it is too long."""
    return file.read_bytes().removeprefix(BOM_UTF8) if file.stat().st_size <= MOST else None


def first_values(file: Path) -> list[Any]:
    """What a file begins with, to tell its format: the values of its first lines, or its one document, or the
    first entries of its list. Nothing of what is no JSON."""
    with file.open("rb") as opened:
        found = [value for _, value in zip(range(_LOOKED_AT), _decoded(opened), strict=False)]
    if found and not (len(found) == 1 and isinstance(found[0], list)):
        return found
    try:
        value = decode(whole(file) or b"", list[msgspec.Raw] | dict[str, Any])
    except msgspec.DecodeError:
        return []
    if isinstance(value, dict):
        return [value]
    entries = [decode(bytes(entry)) for entry in value[:_LOOKED_AT]]
    return [entries, *entries]


def _decoded(opened: IO[bytes]) -> Iterator[Any]:
    """The values of the first lines; stops at the second line if the first is no JSON: the file is no list
    of lines."""
    for number, line in lines_of(opened):
        try:
            yield decode(line or b"")
        except msgspec.DecodeError:
            if number == 1:
                return


def _listed(file: Path) -> list[Any] | None:
    """The entries of a file that is one JSON list, or one object over several lines; None: it is of lines."""
    with file.open("rb") as opened:
        first = next((line for _, line in lines_of(opened)), None) or b""
    try:
        if not first.lstrip().startswith(b"["):
            decode(first)
            return None
    except msgspec.DecodeError:
        pass
    data = whole(file) or b""
    try:
        found = decode(data, list[msgspec.Raw] | dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return None
    return [data] if isinstance(found, dict) else found


def _read(data: Any, kind: type[Any], convert: Callable[[Any], Trajectory]) -> Trajectory:
    if data is None:
        raise Refusal(Reason.UNREADABLE, f"it has more than {MOST:,} bytes")
    return convert(json_document(data, kind))
