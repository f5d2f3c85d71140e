"""A built dataset, written for others. `EXPORTS` is the only list of formats.

Every export is a folder that is there whole or not at all, and holds `export.json`: what it was made
from, how many rows went in and were left out and why, what the format loses, and each file's checksum.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from sera.datasets.exchange.contract import Export, Options, open_dataset
from sera.datasets.exchange.to_axolotl import write_axolotl
from sera.datasets.exchange.to_hub import write_hub
from sera.datasets.exchange.to_jsonl import write_jsonl
from sera.datasets.exchange.to_openai import write_openai
from sera.datasets.exchange.to_parquet import write_parquet
from sera.datasets.exchange.to_trl import write_trl, write_trl_turns
from sera.datasets.folder import replacing
from sera.datasets.manifest import sha256
from sera.errors import ConfigError, DatasetError, boundary
from sera.records import Record
from sera.untrusted import below

KIND = "sera-export"
RECORD = "export.json"
_ALL = frozenset({"hermes", "xml", "raw"})
_TEXT = frozenset({"hermes", "xml"})
_ONLY_MESSAGES = "Every column but the messages."

EXPORTS: Mapping[str, Export] = {
    "jsonl": Export(write_jsonl, "the native rows", _ALL, "Nothing."),
    "parquet": Export(write_parquet, "the native rows in columns", _ALL, "Nothing."),
    "hub": Export(write_hub, "a folder for the Hugging Face Hub", _ALL, "Nothing."),
    "axolotl": Export(write_axolotl, "rows and configuration for Axolotl", _TEXT, _ONLY_MESSAGES),
    "trl": Export(
        write_trl,
        "conversations for TRL",
        _ALL,
        f"{_ONLY_MESSAGES} The mask: conversations with an assistant turn that is not trained are left out. "
        f"The spacing of structured arguments.",
    ),
    "trl-turns": Export(
        write_trl_turns,
        "prompt and completion for TRL, a row for each trained turn",
        _ALL,
        f"{_ONLY_MESSAGES} The spacing of structured arguments.",
    ),
    "openai": Export(
        write_openai,
        "OpenAI's fine-tuning form",
        frozenset({"raw"}),
        f"{_ONLY_MESSAGES} Reasoning apart from content: it stands in <think>. What follows the last "
        f"assistant message.",
    ),
}


class ExportRecord(Record, frozen=True, kw_only=True):
    """What an export says of itself."""

    kind: str = KIND
    schema: int = 1
    format: str
    dataset: str
    """SHA-256 of the dataset's manifest."""
    rows: int
    """Rows of the dataset."""
    left_out: dict[str, int]
    """Reason → rows of the dataset that the format cannot express."""
    lost: str
    files: dict[str, str]
    """Path in the folder → SHA-256."""


def export_dataset(dataset: Path, out: Path, to: str, options: Options | None = None) -> ExportRecord:
    """Write the dataset in one of `EXPORTS` into the folder `out`, which is replaced whole or not touched.

    Raises `ConfigError` for an unknown format, and `DatasetError` if the dataset's own format does not
    suit, if its rows are not those that were built, or if `out` holds something else.
    """
    if to not in EXPORTS:
        raise ConfigError(f"there is no export format {to!r}: choose one of {', '.join(EXPORTS)}")
    export, source = EXPORTS[to], open_dataset(dataset)
    if source.format not in export.takes:
        raise DatasetError(
            f"{dataset} has calls in the format {source.format!r}, and {to} takes "
            f"{' or '.join(sorted(export.takes))}: build it again with --format {min(export.takes)}"
        )
    with boundary(DatasetError, f"export {out}"), replacing(out, is_export) as workspace:
        new = workspace / "new"
        left_out = export.write(source, new, options or Options())
        record = ExportRecord(
            format=to,
            dataset=sha256(dataset / "manifest.json"),
            rows=source.manifest.rows,
            left_out=dict(sorted(left_out.items())),
            lost=export.lost,
            files=_checksums(new),
        )
        (new / RECORD).write_bytes(msgspec.json.format(msgspec.json.encode(record)) + b"\n")
    return record


def read_export(folder: Path) -> ExportRecord:
    """What an export says of itself; `DatasetError` if the folder is none."""
    with boundary(DatasetError, f"{folder} is no export of sera's", OSError, msgspec.DecodeError):
        return msgspec.json.decode((folder / RECORD).read_bytes(), type=ExportRecord)


def is_export(folder: Path) -> bool:
    """Whether the folder is an export of ours, and holds nothing else."""
    try:
        found: dict[str, Any] = msgspec.json.decode((folder / RECORD).read_bytes(), type=dict[str, Any])
        here = {path.relative_to(folder).as_posix() for path in below(folder) if not path.is_dir()}
    except (OSError, msgspec.DecodeError):
        return False
    return found.get("kind") == KIND and here == {RECORD, *found.get("files", {})}


def _checksums(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256(path) for path in files}
