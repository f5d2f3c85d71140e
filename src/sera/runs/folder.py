"""What every folder that is worked on has: a lock for its one writer, files that are written whole, and a
manifest that says what it was begun with, which nobody may go on against.

The lock is freed however the process ends; any number may read meanwhile.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from sera import locks
from sera.errors import ConfigError, RunError, boundary
from sera.records import SCHEMA, Record, content_id

_LOCK = ".lock"
_BEFORE_THE_MANIFEST = ("harness.json", "tasks.jsonl")
"""What is written before the manifest, whose presence says that the start is whole."""
_NO_RECORDS = ("tasks.jsonl", "control.jsonl", "ledger.jsonl")
_REPLY = b'"type":"replied"'
"""In a trail: a step that somebody has paid for."""


class Manifest(Record, frozen=True):
    """What was asked for."""

    version: str
    """Of sera, when the work was last started."""
    config: dict[str, Any]
    """Every setting, resolved; can be given to the command's `--config` again."""
    identity: dict[str, Any]
    """The part of what was asked for that decides what the data are like: it never changes."""
    source: dict[str, Any]
    """What the work is on. Of a run, the snapshot: where the repository came from, its hash, its counts."""
    schema: int = SCHEMA
    tasks: int = 0
    """Of a run, tasks of the plan; 0 in records that are older than this field."""
    sum: str = ""
    """`content_id` of all other fields, so that an altered byte shows; empty in older records."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the folder's lock; `RunError` if another process does."""
    busy = f"another process is working on the run in {path}"
    with locks.locked(path / _LOCK, RunError, busy, "wait for it, or choose another --out"):
        yield


def is_running(path: Path) -> bool:
    """Whether some process holds the folder's lock."""
    return locks.is_locked(path / _LOCK)


def replace(file: Path, content: bytes) -> None:
    """Write a whole file or nothing: beside it first, then renamed."""
    with boundary(RunError, f"cannot write {file}"):
        if file.exists() and file.read_bytes() == content:
            return
        beside = file.with_name(file.name + ".new")
        beside.write_bytes(content)
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.replace(file)


def check_manifest(file: Path, manifest: Manifest) -> None:
    """See that the folder of the manifest is new, or was begun with the same one. One in which nothing was
    recorded may be begun otherwise.

    Raises `RunError` if the folder holds something else, and `ConfigError` if it was begun with another
    identity.
    """
    children = list(file.parent.iterdir()) if file.parent.is_dir() else []
    if file.exists():
        before = read_manifest(file)
        if is_recorded(file.parent):
            _refuse_unlike(file, before, manifest)
    elif not all(_of_a_beginning(child, file) for child in children):
        raise RunError(f"{file.parent} is not empty and has no {file.name}: choose another --out")


def is_recorded(folder: Path) -> bool:
    """Whether the folder holds records of any work. The plan, the orders and the ledger are none: money that
    was spent stays counted, whatever it was spent on."""
    journals = (file for file in folder.glob("*.jsonl") if file.name not in _NO_RECORDS)
    if any(file.stat().st_size for file in journals):
        return True
    return any(_REPLY in file.read_bytes() for file in folder.glob("steps/*"))


def _of_a_beginning(child: Path, manifest: Path) -> bool:
    """Whether it is what a start that was killed before its manifest may leave."""
    name = child.name
    return name.startswith(_LOCK) or name.removesuffix(".new") in {*_BEFORE_THE_MANIFEST, manifest.name}


def write_manifest(file: Path, manifest: Manifest) -> None:
    """Write it, readable for people. The caller holds the lock."""
    manifest = msgspec.structs.replace(manifest, sum=_sum_of(manifest))
    replace(file, msgspec.json.format(msgspec.json.encode(manifest)))


def read_manifest(file: Path) -> Manifest:
    """What a folder was begun with; `RunError` if it is damaged or a newer sera wrote it."""
    manifest: Manifest = decode_file(file, Manifest, "restore it from a copy, or choose another --out")
    if manifest.schema > SCHEMA:
        raise RunError(f"{file.parent} was written by sera {manifest.version}, a newer one: update this")
    if manifest.sum not in ("", _sum_of(manifest)):
        raise RunError(
            f"{file} is not as sera wrote it, and says what the records beside it belong to: restore it from "
            "a copy, or choose another --out"
        )
    return manifest


def decode_file(file: Path, kind: type[Any], cure: str) -> Any:
    """The record that a file holds; `RunError` with the cure if it is damaged."""
    damage = (OSError, UnicodeError, RecursionError, msgspec.DecodeError)
    try:
        return msgspec.json.decode(file.read_bytes(), type=kind)
    except damage as problem:
        raise RunError(f"cannot read {file}: {problem}: {cure}") from problem


def _sum_of(manifest: Manifest) -> str:
    """As it is read from a file: lists for tuples."""
    fields = msgspec.to_builtins(msgspec.structs.replace(manifest, sum=""))
    return content_id(msgspec.json.decode(msgspec.json.encode(fields)))


def _refuse_unlike(file: Path, before: Manifest, now: Manifest) -> None:
    # As both are read from a file: lists for tuples.
    old, new = (msgspec.json.decode(msgspec.json.encode(m.identity)) for m in (before, now))
    changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    if changed:
        listed = "; ".join(f"{key} was {old.get(key)!r} and is now {new.get(key)!r}" for key in changed)
        raise ConfigError(
            f"{file.parent} was started with other settings, and mixing would spoil its data: {listed}. "
            f"Give the old settings (they stand in {file}) or another --out"
        )
