"""What a dataset says of itself, as data: `manifest.json`.

It carries no time and no path of the machine, so that equal inputs give equal folders, byte for byte.
"""

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from sera.datasets.sample import Source
from sera.records import Record

KIND = "sera-dataset"
MANIFEST = "manifest.json"
ROWS = "train.jsonl"
REJECTED = "rejected.jsonl"
CARD = "README.md"
FILES = frozenset({MANIFEST, ROWS, REJECTED, CARD})


class Count(Record, frozen=True, kw_only=True):
    """What became of the samples of one stage. Selected and rejected ones are all there were."""

    selected: int
    rejected: dict[str, int]
    """Reason → samples."""


class Tokens(Record, frozen=True, kw_only=True):
    """Lengths of the rows in tokens, template overhead included."""

    total: int
    max: int
    mean: float


class Manifest(Record, frozen=True, kw_only=True):
    """Origin, settings and figures of one dataset."""

    kind: str = KIND
    schema: int = 1
    sources: tuple[Source, ...]
    profile: str
    """Hash of the harness profile: serve the student with the same one."""
    teachers: tuple[dict[str, Any], ...]
    """The different settings of the teachers whose rollouts were selected."""
    settings: dict[str, Any]
    """`DatasetConfig`, without the tokenizer's path."""
    tokenizer: str
    """SHA-256 of the `tokenizer.json` the tokens were counted with."""
    counts: dict[str, Count]
    """Stage → what became of its samples."""
    rows: int
    cut_rows: int
    """Rows that are not the whole conversation."""
    untrained_turns: int
    """Assistant turns that are context only, because their calls are malformed."""
    tokens: Tokens
    files: dict[str, str]
    """Name → SHA-256 of every other file of the dataset."""


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write it readable for people."""
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    (folder / MANIFEST).write_bytes(text + b"\n")


def is_ours(folder: Path) -> bool:
    """Whether the folder is a dataset that sera wrote, and holds nothing else."""
    names = {path.name for path in folder.iterdir()}
    if MANIFEST not in names or not names <= FILES:
        return False
    try:
        found = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=dict[str, Any])
    except msgspec.DecodeError:
        return False
    return found.get("kind") == KIND


def sha256(file: Path) -> str:
    """Of a file's bytes, in hex."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
