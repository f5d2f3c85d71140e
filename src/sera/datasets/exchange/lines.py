"""Reading files of one JSON object a line, a line at a time."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sera.datasets.exchange.trajectory import Document, Trajectory, json_document


def json_lines(
    file: Path, name: str, kind: type[Any], convert: Callable[[Any], Trajectory]
) -> Iterator[Document]:
    """One document for each line that is not empty."""
    with file.open("rb") as opened:
        for number, line in enumerate(opened, 1):
            if line.strip():
                yield Document(name, number, partial(_read, line, kind, convert))


def one_document(
    file: Path, name: str, kind: type[Any], convert: Callable[[Any], Trajectory]
) -> Iterator[Document]:
    """The file's only document."""
    yield Document(name, 0, partial(_read, file.read_bytes(), kind, convert))


def _read(data: bytes, kind: type[Any], convert: Callable[[Any], Trajectory]) -> Trajectory:
    return convert(json_document(data, kind))
