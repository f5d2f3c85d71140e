"""Uploading a dataset to the Hugging Face Hub, in two steps: a plan that can be read, and the sending.

Only what sera wrote goes out: a dataset, or an export for the hub, whose files are those its record names
and have the bytes it says. What the manifest tells of failed proofs or of secrets left in the data stops
the plan. The token is the client's affair, taken from `HF_TOKEN` or the hub's own login; it is never an
argument, and nothing here prints it.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from sera.datasets.exchange.contract import open_dataset
from sera.datasets.exchange.export import is_export, read_export
from sera.datasets.manifest import MANIFEST, Manifest, is_ours, sha256
from sera.datasets.safety.rules import Group, kinds
from sera.errors import ConfigError, DatasetError, UsageError, boundary
from sera.records import Record

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class Client(Protocol):
    """The part of `huggingface_hub.HfApi` that is used."""

    def create_repo(self, repo_id: str, *, repo_type: str, private: bool, exist_ok: bool) -> Any:
        """Make the repository if it is not there."""
        ...

    def upload_folder(
        self,
        *,
        repo_id: str,
        repo_type: str,
        folder_path: str,
        allow_patterns: list[str],
        commit_message: str,
    ) -> Any:
        """Upload the named files of a folder in one commit."""
        ...


class File(Record, frozen=True):
    """One file to be sent."""

    path: str
    """POSIX path in the folder and in the repository."""
    size: int
    """In bytes."""


class Plan(Record, frozen=True, kw_only=True):
    """What would be sent where."""

    folder: Path
    repo: str
    private: bool
    files: tuple[File, ...]
    rows: int

    @property
    def size(self) -> int:
        """Of all files, in bytes."""
        return sum(file.size for file in self.files)


def plan_push(folder: Path, repo: str, private: bool, rehearsal: bool = False) -> Plan:
    """Check what is to be sent. `rehearsal`: also what the rehearsal teacher wrote.

    Raises `ConfigError` if `repo` is no name of a repository, and `DatasetError` if the folder is neither
    a dataset nor an export for the hub, is not what was written, or should not leave the house.
    """
    if not _NAME.fullmatch(repo):
        raise ConfigError(f"{repo!r} is no repository's name: write it as OWNER/NAME")
    rows, checksums = _contents(folder, rehearsal)
    for path, checksum in checksums.items():
        with boundary(DatasetError, f"{folder / path} cannot be read"):
            if sha256(folder / path) != checksum:
                raise DatasetError(
                    f"{folder / path} is not what sera wrote: its checksum differs. Write it again"
                )
    sent = [*checksums, *([MANIFEST] if MANIFEST not in checksums else [])]
    files = tuple(File(path=path, size=(folder / path).stat().st_size) for path in sorted(sent))
    return Plan(folder=folder, repo=repo, private=private, files=files, rows=rows)


def _contents(folder: Path, rehearsal: bool) -> tuple[int, dict[str, str]]:
    """Rows, and file → checksum; `DatasetError` if the folder must not be sent."""
    if folder.is_dir() and is_export(folder):
        record = read_export(folder)
        if record.format != "hub":
            raise DatasetError(
                f"{folder} is an export for {record.format}: only a dataset or an export --to hub is pushed"
            )
        rows, files = record.rows, record.files
        manifest = open_dataset(folder).manifest
    elif folder.is_dir() and is_ours(folder):
        manifest = open_dataset(folder).manifest
        rows, files = manifest.rows, manifest.files
    else:
        raise DatasetError(f"{folder} is neither a dataset nor an export of sera's, with nothing added")
    if manifest.rehearsal and not rehearsal:
        raise DatasetError(
            f"{folder} is not pushed. {manifest.rehearsal}; --rehearsal sends them all the same"
        )
    if problems := "; ".join(_problems(manifest)):
        raise DatasetError(f"{folder} is not pushed: by its manifest {problems}. Build it again")
    return rows, files


def _problems(manifest: Manifest) -> Iterator[str]:
    """Why a dataset should stay here, as far as its manifest tells."""
    if manifest.faults:
        yield f"its proofs failed ({_listed(manifest.faults)})"
    safety = manifest.settings.get("safety", {})
    if safety.get("secrets") == "ignore":
        yield "nobody looked for secrets in it"
    secret = [kind for kind, group in kinds().items() if group is Group.SECRET]
    counts = {kind: manifest.row_tallies.get(f"scan/{kind}/report/values", 0) for kind in secret}
    if any(counts.values()):
        yield f"secrets were found and left in its rows ({_listed(counts)})"


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)


def make_client() -> Client:
    """The hub's own client; `UsageError` says which library or login is missing."""
    try:
        from huggingface_hub import HfApi, get_token
    except ImportError as missing:
        raise UsageError('the hub needs a library: pip install "sera[hub]"') from missing
    if not get_token():
        raise UsageError("the hub asks who you are: put a token with write access into HF_TOKEN")
    return HfApi(library_name="sera")


def push(plan: Plan, client: Client) -> None:
    """Send it. `DatasetError` if the hub refuses or cannot be reached."""
    with boundary(DatasetError, f"the hub did not take {plan.repo}", Exception):
        client.create_repo(plan.repo, repo_type="dataset", private=plan.private, exist_ok=True)
        client.upload_folder(
            repo_id=plan.repo,
            repo_type="dataset",
            folder_path=str(plan.folder),
            allow_patterns=[_literal(file.path) for file in plan.files],
            commit_message=f"{plan.rows} rows, written by sera",
        )


def _literal(path: str) -> str:
    """The path as a pattern that means itself."""
    return re.sub(r"([\[*?])", r"[\1]", path)
