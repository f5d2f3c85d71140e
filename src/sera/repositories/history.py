"""A repository's own history: where it is, and the bound in time that a held-out list sets to training.

@before COMMIT NAME     of the repository NAME nothing that is newer than COMMIT: its fixes and their tests
                        are the answers of tasks
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from sera.errors import ConfigError
from sera.repositories.git import GitFailed, Local
from sera.repositories.snapshots import Snapshot
from sera.repositories.sources import find_repository

_DIRECTIVE = "@before"


class Bound(NamedTuple):
    """The newest commit of a repository that training may start from."""

    commit: str
    name: str

    @property
    def entry(self) -> str:
        """As it stands in a list."""
        return f"{_DIRECTIVE} {self.commit} {self.name}"

    def is_of(self, name: str) -> bool:
        """Whether a repository of that name is meant; its owner does not count."""
        one, other = (text.lower().rpartition("/")[2] for text in (self.name, name))
        return one == other


def bounds_among(entries: Iterable[str]) -> tuple[Bound, ...]:
    """The bounds that a held-out list has. `ConfigError` for one that cannot be read."""
    return tuple(_bound(entry) for entry in entries if entry.startswith("@"))


def _bound(entry: str) -> Bound:
    words = entry.split(maxsplit=2)
    if len(words) != 3 or words[0] != _DIRECTIVE:
        raise ConfigError(f"a held-out list has the line {entry!r}: write `{_DIRECTIVE} COMMIT NAME`")
    return Bound(words[1], words[2])


def refuse_later(entries: Iterable[str], source: str, snapshot: Snapshot) -> None:
    """See that a snapshot of `source` is not newer than a list allows. `ConfigError` says how to go back."""
    local = find_history(source)
    for bound in bounds_among(entries):
        is_known = local is not None and bool(local.commit(bound.commit))
        if (is_known or bound.is_of(snapshot.name)) and not _reaches(local, snapshot.origin_commit, bound):
            stands = f"of commit {snapshot.origin_commit[:12]}" if snapshot.origin_commit else "of no commit"
            raise ConfigError(
                f"the files of {snapshot.source} are {stands}, and the held-out list keeps what came after "
                f"{bound.commit[:12]} for an evaluation: a run over them would read its answers. Start from "
                f"there: --set revision={bound.commit}, of a git repository that has it"
            )


def find_history(source: str) -> Local | None:
    """The repository of a source on this machine, if it has one."""
    path = Path(source).expanduser()
    return find_repository(path.resolve()) if path.is_dir() else None


def _reaches(local: Local | None, commit: str, bound: Bound) -> bool:
    """Whether a commit is the bound or an ancestor of it, as far as can be seen."""
    if commit == bound.commit:
        return True
    if not commit or local is None:
        return False
    try:
        local.run("merge-base", "--is-ancestor", commit, bound.commit)
    except GitFailed:
        return False
    return True
