"""Prediction files: which patch was handed in for which instance.

    preds.json    {"ID": {"instance_id": "ID", "model_patch": "diff …"}, …}, or {"ID": "diff …"}
    preds.jsonl   {"instance_id": "ID", "model_patch": "diff …"}, one a line
    a JSON list   of the same rows, as SWE-bench writes them

A patch may be null or missing: nothing was handed in, which is an empty patch. Other columns are ignored.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from sera.errors import UsageError, boundary


class _Row(msgspec.Struct):
    instance_id: str
    model_patch: str | None = None


class _Entry(msgspec.Struct):
    model_patch: str | None = None


def read_predictions(file: Path) -> dict[str, str]:
    """Instance → patch, in the file's order. `UsageError` names the place of what cannot be read, and an
    instance that comes twice with different patches."""
    with boundary(UsageError, f"the predictions {file} cannot be read"):
        data = file.read_bytes()
    if file.suffix == ".jsonl":
        return _from_rows(file, (row for row in _lines(file, data)))
    with boundary(UsageError, f"{file} holds no predictions", msgspec.DecodeError):
        found = msgspec.json.decode(data, type=dict[str, _Entry | str | None] | list[_Row])
    if isinstance(found, list):
        return _from_rows(file, found)
    return {name: _patch(entry) for name, entry in found.items()}


def _lines(file: Path, data: bytes) -> Iterable[_Row]:
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            with boundary(UsageError, f"{file}, line {number} is no prediction", msgspec.DecodeError):
                row = msgspec.json.decode(line, type=_Row)
            yield row


def _from_rows(file: Path, rows: Iterable[_Row]) -> dict[str, str]:
    patches: dict[str, str] = {}
    for row in rows:
        patch = row.model_patch or ""
        if patches.setdefault(row.instance_id, patch) != patch:
            raise UsageError(f"{file} has two patches for {row.instance_id}: keep one of them")
    return patches


def _patch(entry: _Entry | str | None) -> str:
    return (entry.model_patch if isinstance(entry, _Entry) else entry) or ""
