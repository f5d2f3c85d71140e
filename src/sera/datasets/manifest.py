"""What a dataset says of itself, as data: `manifest.json`.

It carries no time and no path of the machine, so that equal inputs give equal folders, byte for byte.
"""

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from sera.datasets.safety.canaries import Canary
from sera.datasets.sample import Source, is_rehearsal
from sera.errors import DatasetError, boundary
from sera.records import Record
from sera.untrusted import below, decode

KIND = "sera-dataset"
MANIFEST = "manifest.json"
ROWS = "train.jsonl"
REJECTED = "rejected.jsonl"
CARD = "README.md"


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


class PartCount(Record, frozen=True, kw_only=True):
    """What one part of a recipe asked for and got."""

    part: str
    run: str = ""
    """Identity of the run it takes from; empty: any."""
    wanted: int | None
    """None: all there are."""
    got: int
    filters: str = ""
    """All that was asked of its samples, by the part or by the settings; as a recipe says it."""


class Mixed(Record, frozen=True, kw_only=True):
    """How a recipe was followed."""

    seed: int
    parts: tuple[PartCount, ...]


class Manifest(Record, frozen=True, kw_only=True):
    """Origin, settings and figures of one dataset."""

    kind: str = KIND
    schema: int = 1
    sources: tuple[Source, ...]
    profile: str
    """Hash of the harness profile: serve the student with the same one."""
    teachers: tuple[dict[str, Any], ...]
    """The different settings of the teachers whose rollouts were selected."""
    rehearsed: int = 0
    """Rows that the rehearsal teacher wrote. It is no model: they try out the way, and teach nothing."""
    settings: dict[str, Any]
    """`DatasetConfig`, without paths and what does not change the data."""
    tokenizer: str
    """SHA-256 of the `tokenizer.json` the tokens were counted with."""
    student: str = ""
    """Family of the student it was built for, e.g. `qwen3`; `another` if it is none that is known."""
    template: str = ""
    """SHA-256 of the chat template it was rendered with: train and serve with the same one."""
    faults: dict[str, int] = msgspec.field(default_factory=dict)
    """What the proofs found in a dataset that was written all the same: kind → times."""
    altered: int = 0
    """Rows whose text the tokenizer changes before it reads it, such as by composing accents."""
    alteration: str = ""
    """The first of these changes."""
    lists: dict[str, str] = msgspec.field(default_factory=dict)
    """Lists that samples were compared with, such as benchmarks: SHA-256 → name of the file."""
    recipe: Mixed | None = None
    """How the recipe was followed, if there was one."""
    tallies: dict[str, int] = msgspec.field(default_factory=dict)
    """What was counted on the way, over all samples of the wanted stages, rejected ones
    too: name → times."""
    row_tallies: dict[str, int] = msgspec.field(default_factory=dict)
    """The same over the samples that became rows."""
    canaries: tuple[Canary, ...] = ()
    """What was planted to measure memorisation."""
    counts: dict[str, Count]
    """Stage → what became of its samples."""
    rows: int
    cut_rows: int
    """Rows that are not the whole conversation."""
    untrained_turns: int
    """Assistant turns that are context only, because their calls are malformed, or not defined."""
    tokens: Tokens
    files: dict[str, str]
    """Name → SHA-256 of every other file of the dataset."""

    @property
    def rehearsal(self) -> str:
        """What is said of data that a rehearsal made, in a sentence; empty of others. Manifests of older
        versions do not count the rows."""
        if not self.rehearsed and not any(map(is_rehearsal, self.teachers)):
            return ""
        rows = f"{self.rehearsed:,} of {self.rows:,} rows" if self.rehearsed else "rows"
        return (
            f"Rehearsal data: {rows} were written by the rehearsal teacher, which is no model but a script. "
            "They try out the way to a student and are no training data"
        )


_NEEDED = {"format": str, "max_tokens": int}
"""Settings without which rows can be neither read nor trained, by their type."""


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write it readable for people."""
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    (folder / MANIFEST).write_bytes(text + b"\n")


def read_manifest(folder: Path) -> Manifest:
    """What a dataset says of itself; `DatasetError` if the folder is none, or the file is damaged."""
    file = _there(folder, MANIFEST)
    with boundary(
        DatasetError, f"{file} cannot be read, build the dataset again", OSError, msgspec.DecodeError
    ):
        manifest: Manifest = decode(file.read_bytes(), Manifest)
    for setting, kind in _NEEDED.items():
        if not isinstance(manifest.settings.get(setting), kind):
            raise DatasetError(f"{file} does not say the {setting} of its rows: build the dataset again")
    return manifest


def rows_of(folder: Path) -> Path:
    """The file of a dataset's rows; `DatasetError` if the folder has none."""
    return _there(folder, ROWS)


def _there(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise DatasetError(
            f"{folder} is no dataset: there is no {name} in it. `sera dataset build RUN --out {folder}` "
            "makes one"
        )
    return folder / name


def is_ours(folder: Path) -> bool:
    """Whether the folder is a dataset that sera wrote, and holds nothing that its manifest does not name."""
    if not (folder / MANIFEST).is_file():
        return False
    try:
        found = decode((folder / MANIFEST).read_bytes(), dict[str, Any])
        names = {str(path.relative_to(folder)) for path in below(folder) if not path.is_dir()}
    except (OSError, msgspec.DecodeError):
        return False
    return found.get("kind") == KIND and names <= {MANIFEST, *found.get("files", ())}


def sha256(file: Path) -> str:
    """Of a file's bytes, in hex."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
