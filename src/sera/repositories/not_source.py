"""What lies in a repository's folder and is no source of it, though nobody has told git to ignore it.

Version control, by its names or as a bare repository, holds the history, and what sera has made holds
patches and rollouts: either may be the answer to what an agent is asked. Environments and caches are of no
use to it. What is tracked is source, whatever it looks like; so all this is said of the rest only.
"""

import os
from pathlib import Path
from typing import NamedTuple

import msgspec

from sera.repositories.staging import read_regular
from sera.untrusted import decode

VERSION_CONTROL = frozenset({".git", ".hg", ".svn", ".bzr", ".jj", ".sl", ".pijul", "_darcs", "CVS"})
"""Names of what holds a history."""
JUNK = VERSION_CONTROL | {
    ".venv",
    "venv",
    "node_modules",
    "__pycache__",
    ".tox",
    ".nox",
    ".eggs",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".hypothesis",
    ".ipynb_checkpoints",
    ".DS_Store",
    ".coverage",
}
"""Names left out of a directory without git, at any depth; so are virtual environments of any name."""
JUNK_SUFFIXES = (".pyc", ".pyo")

CONTROL, OURS = "version control", "made by sera"
"""Reasons to leave a directory out."""


class _Sign(NamedTuple):
    """Files that show a directory to be one of ours, by their paths in it."""

    record: str
    """May be a pattern, for one of several."""
    keys: frozenset[str] = frozenset()
    """Of the record, which is a JSON object then."""
    kind: str = ""
    """What the record says under `kind`."""
    beside: tuple[str, ...] = ()
    """Further files or directories."""

    @property
    def names(self) -> set[str]:
        """What has to be in the directory itself."""
        return {path.partition("/")[0] for path in (self.record, *self.beside)}


_MANIFEST = frozenset({"version", "config", "identity", "source"})
_SIGNS = (
    _Sign("run.json", _MANIFEST, beside=("harness.json",)),
    _Sign("evaluation.json", _MANIFEST),
    _Sign("harness.json", beside=(".lock",)),  # a run or an evaluation that was killed at its start
    _Sign("manifest.json", kind="sera-dataset", beside=("train.jsonl",)),
    _Sign("decided.jsonl", beside=("spool.jsonl", "key")),  # a dataset under way
    _Sign("export.json", kind="sera-export"),
    _Sign("import.json", kind="sera-import"),
    _Sign("manifest.json", frozenset({"tree", "environment", "split", "operators"}), beside=("tasks.jsonl",)),
    _Sign("work/identity", beside=("work/lock",)),  # tasks under way
    _Sign("train.json", kind="sera-training"),
    _Sign("sera.json", kind="sera-checkpoint"),
    _Sign("stages/*.json", frozenset({"stage", "argv", "fixed", "identity"})),  # of `sera specialize`
    _Sign("environment.json", frozenset({"tree_hash", "plan", "prefix", "workdir"}), beside=("tree",)),
)
"""A sign for each thing that commands make, and for those that are found half made."""
_NEEDED = [(sign.names, sign) for sign in _SIGNS]
_BEGUN = {".lock"}
"""All there is in a directory of ours at first."""
_LARGEST = 64 << 20
"""Bytes of a record that are read to tell."""


def why_left_out(directory: Path) -> str:
    """Why a directory that holds nothing tracked is no source; empty if it may be."""
    if directory.name in VERSION_CONTROL or is_repository(directory):
        return CONTROL
    return OURS if is_ours(directory) else ""


def is_repository(directory: Path) -> bool:
    """Whether the directory is what git keeps a history in, under whatever name."""
    parts = (directory / "objects", directory / "refs")
    return os.path.lexists(directory / "HEAD") and all(part.is_dir() for part in parts)


def is_ours(directory: Path) -> bool:
    """Whether the directory is a run, dataset, set of tasks or the like: told by its files, not its name."""
    try:
        with os.scandir(directory) as entries:
            names = {entry.name for entry in entries}
        if names == _BEGUN:
            return read_regular(directory / ".lock") == b""
        return any(needed <= names and _shows(directory, sign) for needed, sign in _NEEDED)
    except OSError:  # not ours to read
        return False


def _shows(directory: Path, sign: _Sign) -> bool:
    if not all((directory / path).exists() for path in sign.beside):
        return False
    return any(_says(record, sign) for record in directory.glob(sign.record))


def _says(record: Path, sign: _Sign) -> bool:
    """Whether the record is as the sign has it."""
    if not sign.keys and not sign.kind:
        return True
    content = read_regular(record) if record.stat().st_size <= _LARGEST else None
    try:
        found = decode(content or b"", dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return False
    kind = bytes(found.get("kind", b""))
    return sign.keys <= found.keys() and (not sign.kind or kind == b'"%s"' % sign.kind.encode())
