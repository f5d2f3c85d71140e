"""An imported run: a folder that `sera dataset build` takes beside runs.

    import.json     what was read and what came of it
    samples.jsonl   one `Sample` a line, in the order of the files
    refused.jsonl   one line for each document not taken: file, line, reason, detail
    harness.json    what is known of the harness: for `sera train DATASET --harness THIS`

It is written once and never added to.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from sera.datasets.sample import Sample, Source
from sera.errors import DatasetError, boundary
from sera.harness.profile import Profile
from sera.records import Record

KIND = "sera-import"
RECORD = "import.json"
SAMPLES = "samples.jsonl"
REFUSED = "refused.jsonl"
HARNESS = "harness.json"
_FILES = {RECORD, SAMPLES, REFUSED, HARNESS}


class Refused(Record, frozen=True, kw_only=True):
    """One document that was not taken."""

    file: str
    line: int
    """From 1; 0 where the file is one document."""
    reason: str
    detail: str


class ImportRecord(Record, frozen=True, kw_only=True):
    """What an imported run says of itself."""

    kind: str = KIND
    schema: int = 1
    format: str
    run: str
    """Identity: of the files' content and of what the caller added."""
    files: dict[str, str]
    """Name → SHA-256."""
    taken: int
    refused: dict[str, int]
    """Reason → documents."""
    unknown: dict[str, int]
    """What was not told → samples of which it was not."""
    lost: dict[str, int] = msgspec.field(default_factory=dict)
    """What the trajectories hold and a conversation of ours has no place for → times."""
    inferred: dict[str, int] = msgspec.field(default_factory=dict)
    """Tool that nobody defined → the calls that its definition was inferred from."""
    profiles: dict[str, int] = msgspec.field(default_factory=dict)
    """Hash of a harness profile → samples. A dataset has one; `harness.json` is that of most samples."""
    sources: tuple[Source, ...]
    samples: str
    """SHA-256 of `samples.jsonl`."""


def imported_profile(origin: str, tools: list[dict[str, Any]]) -> Profile:
    """What is known of the harness of an agent that is not ours: whose it was, and its tools. Our own agent
    has no words in it to ask a student with."""
    return Profile(name=origin, prompts={"agent": origin}, observations={}, categories={}, tools=tools)


def write_harness(profile: Profile, folder: Path) -> None:
    """Write it readable for people."""
    (folder / HARNESS).write_bytes(msgspec.json.format(msgspec.json.encode(profile)) + b"\n")


def write_record(record: ImportRecord, folder: Path) -> None:
    """Write it readable for people."""
    (folder / RECORD).write_bytes(msgspec.json.format(msgspec.json.encode(record)) + b"\n")


def is_import(folder: Path) -> bool:
    """Whether the folder is an imported run, and holds nothing else."""
    try:
        found: dict[str, Any] = msgspec.json.decode((folder / RECORD).read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError):
        return False
    return found.get("kind") == KIND and {path.name for path in folder.iterdir()} <= _FILES


def read_import(folder: Path) -> ImportRecord:
    """What an imported run says of itself; `DatasetError` if the folder is none."""
    with boundary(DatasetError, f"{folder} is no imported run", OSError, msgspec.DecodeError):
        return msgspec.json.decode((folder / RECORD).read_bytes(), type=ImportRecord)


def read_samples(folder: Path) -> Iterator[Sample]:
    """Its samples, one at a time."""
    decoder = msgspec.json.Decoder(Sample)
    with boundary(DatasetError, f"cannot read {folder / SAMPLES}"), (folder / SAMPLES).open("rb") as file:
        for number, line in enumerate(file, 1):
            with boundary(DatasetError, f"{folder / SAMPLES}, line {number}", msgspec.DecodeError):
                sample = decoder.decode(line)
            yield sample
