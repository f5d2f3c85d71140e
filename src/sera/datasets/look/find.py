"""Rows of a dataset by their number or id, read line by line."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from sera.datasets.manifest import ROWS, rows_of
from sera.errors import DatasetError, UsageError, boundary

_ID_DIGITS = 4
"""Fewest characters that stand for the beginning of an id."""


class Numbered(NamedTuple):
    """A row and its number, from 0."""

    number: int
    row: dict[str, Any]


class _Id(msgspec.Struct):
    id: str = ""


def first_rows(folder: Path, most: int) -> Iterator[Numbered]:
    """The first rows of the dataset in `folder`; `DatasetError` if there is none there or it is damaged."""
    for number, line in islice(lines(folder), most):
        yield Numbered(number, decode(line, folder, number))


def find_row(folder: Path, name: str) -> Numbered:
    """The one row of that number, or whose id is that or alone begins so; `UsageError` otherwise."""
    found: list[tuple[int, bytes]] = []
    number = -1
    for number, line in lines(folder):
        with boundary(DatasetError, f"{folder / ROWS}, line {number + 1}", msgspec.MsgspecError):
            own = msgspec.json.decode(line, type=_Id).id
        if name in (own, str(number)):
            return Numbered(number, decode(line, folder, number))
        if len(name) >= _ID_DIGITS and own.startswith(name) and len(found) < 2:
            found.append((number, line))
    if len(found) != 1:
        what = "no row" if not found else "more than one row"
        raise UsageError(
            f"{folder} has {what} {name!r}: rows have numbers from 0 to {number}, and `sera dataset show "
            f"{folder}` lists them with their ids"
        )
    number, line = found[0]
    return Numbered(number, decode(line, folder, number))


def decode(line: bytes, folder: Path, number: int) -> dict[str, Any]:
    """One row, with the messages that everything here reads."""
    with boundary(DatasetError, f"{folder / ROWS}, line {number + 1}", msgspec.MsgspecError):
        row: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
    messages = row.get("messages")
    if not isinstance(messages, list) or not all(isinstance(one, dict) and "role" in one for one in messages):
        raise DatasetError(f"{folder / ROWS}, line {number + 1}: a row needs `messages`, each with a `role`")
    return row


def lines(folder: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of the rows with their numbers, from 0."""
    rows = rows_of(folder)
    with boundary(DatasetError, f"cannot read {rows}"), rows.open("rb") as file:
        yield from enumerate(file)
