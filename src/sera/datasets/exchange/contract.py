"""What an export format promises, and the dataset as every one of them reads it.

A format is one function that reads a built dataset row by row and writes files into an empty folder:

- Rows keep their order. A row that the format cannot express is left out and counted under a reason,
  never bent; `Export.lost` says what of the others does not survive.
- One row is in memory at a time, or one group of rows where the format has groups.
- The same dataset gives the same bytes: no time, no path of this machine.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from sera.datasets.exchange.licences import Licence
from sera.datasets.manifest import CARD, MANIFEST, ROWS, Manifest, read_manifest
from sera.errors import DatasetError, boundary
from sera.untrusted import decode

Row = dict[str, Any]


class BuiltDataset:
    """A dataset's folder, opened for reading."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = manifest

    @property
    def format(self) -> str:
        """How its rows spell tool calls: a name of `sera.formats.FORMATS`."""
        return str(self.manifest.settings.get("format", ""))

    @property
    def card(self) -> str:
        """The text of its card."""
        with boundary(DatasetError, f"the card of {self.path} cannot be read", OSError, UnicodeDecodeError):
            return (self.path / CARD).read_text("utf-8")

    def rows(self) -> Iterator[Row]:
        """Every row in order. `DatasetError` if the file is not, byte for byte, the one that was built;
        this is known when the last row has been read."""
        digest, rows = hashlib.sha256(), 0
        with boundary(DatasetError, f"cannot read {self.path / ROWS}"), (self.path / ROWS).open("rb") as file:
            for line in file:
                digest.update(line)
                rows += 1
                with boundary(DatasetError, f"{self.path / ROWS}, line {rows}", msgspec.DecodeError):
                    row: Row = decode(line, Row)
                yield row
        if digest.hexdigest() != self.manifest.files.get(ROWS):
            raise DatasetError(
                f"{self.path / ROWS} is not the file that was built: its checksum differs from the "
                f"one in {MANIFEST}. Build the dataset again"
            )


def open_dataset(path: Path) -> BuiltDataset:
    """Read a dataset's manifest; `DatasetError` if the folder is no dataset."""
    return BuiltDataset(path, read_manifest(path))


class Options(NamedTuple):
    """What the caller adds to a dataset when it leaves the house."""

    licences: tuple[Licence, ...] = ()
    """Of the repositories whose code the rows quote."""
    shard_bytes: int = 500_000_000
    """Size at which a folder for the hub begins another file, in bytes of JSON."""


class Export(NamedTuple):
    """One format that a dataset can be written in."""

    write: Callable[[BuiltDataset, Path, Options], Counter[str]]
    """Fills an empty folder; returns the rows left out, by reason."""
    about: str
    """What it is for, in a few words."""
    takes: frozenset[str]
    """The dataset formats it can be made from."""
    lost: str
    """What of a row does not survive, as a sentence."""
