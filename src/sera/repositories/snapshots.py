"""From whatever the user names to a `Snapshot`: the files of one moment, as one commit, in a cache.

A source is

- a directory under git, or a subdirectory of one: the working tree as it stands, that is tracked
  files and untracked ones that are not ignored; with `revision`, that commit instead;
- a directory without git: everything but what is no source by `not_source`;
- a bare repository, a `file://` URL or a git bundle: its HEAD, or `revision`;
- an archive (tar, compressed or not, or zip), a single top directory stripped;
- a git URL: the remote's HEAD, or `revision`.

What it promises: the source is only read, not even its index is refreshed, and nothing that its
configuration names is run. The snapshot's repository holds one commit by a constant author at a
constant time and no other object, reference or log: history may contain the answers. So equal
content gives an equal commit, and the cache `<cache>/snapshots/<tree hash>/tree` is keyed by it.
Attributes are neutralised: the bytes are the source's, and `git status` is clean. A snapshot is
built beside its place and renamed into it, so an interrupted one leaves no half and two processes
may make the same one. Submodules that are checked out are files like others; the rest of them is left
out and counted, as is all that `staging` refuses.
"""

import shutil
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from sera.errors import SourceError, UsageError, boundary
from sera.records import Layer
from sera.repositories.git import GitFailed, run, writing
from sera.repositories.remotes import encodable
from sera.repositories.sources import Origin, described, read_source
from sera.repositories.staging import CannotWrite, SourceLimits
from sera.settings import default_cache

_ATTRIBUTES = "* -text !eol !crlf -filter -ident !working-tree-encoding !diff -export-ignore -export-subst\n"
_CONFIG = """\
[core]
\tautocrlf = false
\tsafecrlf = false
\tcheckStat = minimal
\ttrustctime = false
\tlogAllRefUpdates = false
"""
"""`checkStat`: a copy of the tree, with other inodes and owners, is still seen as unchanged."""

_NAME_LENGTH = 200
"""Characters; a longer name is none, and stands in every record."""
_STALE_SECONDS = 86_400.0


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The files of a source at one moment, and where they came from."""

    tree: Path
    """Absolute path of the cached tree, with a `.git` of exactly one commit. Not to be written to."""
    commit: str
    """Full hash of that commit; depends on the content alone."""
    tree_hash: str
    """Full hash of its tree: the identity of the snapshot."""
    source: str
    """What was named, without credentials."""
    kind: str
    """`directory`, `git` or `archive`."""
    name: str
    """Of the project: from `pyproject.toml`, or else of the directory, archive or URL."""
    origin_commit: str = ""
    """Commit of the source that the files were taken from, or that its working tree stands on."""
    committed: str = ""
    """Moment of that commit, as ISO 8601 writes it; empty where there is none."""
    dirty: bool = False
    """The files differ from `origin_commit` (changed, untracked, deleted, or converted on checkout)."""
    files: int = 0
    """Files and links in the tree."""
    skipped: dict[str, int] = {}
    """Reason → number of things of the source that are not in the tree."""

    @property
    def notice(self) -> str:
        """What a user is told of it, in a sentence: that it is not what a commit says. Empty if it is."""
        if not self.dirty:
            return ""
        stands = (
            f"of commit {self.origin_commit[:12]}"
            if self.origin_commit
            else "of a repository without commits"
        )
        return f"the snapshot is {stands} with changes that are not committed: they are part of it"

    @property
    def layer(self) -> Layer:
        """The tree as a sandbox backend takes it."""
        return Layer(tree=self.tree, commit=self.commit)


def open_snapshot(
    source: str,
    cache: Path | None = None,
    revision: str | None = None,
    limits: SourceLimits = SourceLimits(),  # noqa: B008  (frozen)
    leave_out: Sequence[str] = (),
) -> Snapshot:
    """Take a snapshot of `source`, or find the cached one of the same content.

    Files and directories that match a pattern of `leave_out` (see `globs`) are no part of it. Raises
    `SourceError` when the source cannot be read, `UsageError` for a revision where there are none, or for a
    cache whose path is not UTF-8. Calling it twice on an unchanged source gives an equal result.
    """
    cache = (cache or default_cache()).expanduser().absolute()
    place = cache / "snapshots"
    _refuse_unwritable_name(place)
    with _naming(place):
        place.mkdir(parents=True, exist_ok=True)
        _sweep(place)
        with _building(place) as building:
            with boundary(SourceError, f"{described(source)} cannot be read"):
                origin = read_source(source, revision, building, limits, cache.resolve(), leave_out)
            if not origin.staging.finish():
                raise SourceError(
                    f"{origin.description} holds no files that a snapshot could take: name the directory "
                    "with the code; of a git repository, check out the files, or name a revision"
                )
            commit, tree_hash = _record(origin.staging.root)
            tree = _keep(building, place / tree_hash, commit)
    return _snapshot(origin, tree, commit, tree_hash)


def _refuse_unwritable_name(place: Path) -> None:
    """The path of a snapshot stands in records, which are UTF-8."""
    try:
        str(place).encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"the path of the cache, {encodable(str(place.parent))}, is not UTF-8: set SERA_CACHE to "
            "another folder"
        ) from None


@contextmanager
def _naming(place: Path) -> Iterator[None]:
    """What fails for want of room in the cache is a `SourceError` that names it."""
    try:
        yield
    except (GitFailed, CannotWrite, OSError) as failure:
        raise SourceError(
            f"no snapshot can be made in the cache {place}: {failure}. If its disk is full or not yours to "
            "write, set SERA_CACHE to a folder on a larger one"
        ) from failure


def _snapshot(origin: Origin, tree: Path, commit: str, tree_hash: str) -> Snapshot:
    return Snapshot(
        tree=tree,
        commit=commit,
        tree_hash=tree_hash,
        source=origin.description,
        kind=origin.kind,
        name=_project_name(tree) or origin.name,
        origin_commit=origin.commit,
        committed=origin.committed,
        dirty=origin.dirty,
        files=len(origin.staging.files) + len(origin.staging.links),
        skipped=dict(sorted(origin.staging.skipped.items())),
    )


@contextmanager
def _building(place: Path) -> Iterator[Path]:
    """A directory beside the finished ones, gone afterwards unless it was renamed into place."""
    building = Path(tempfile.mkdtemp(prefix=".building-", dir=place))
    try:
        building.chmod(0o755)
        yield building
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _sweep(place: Path) -> None:
    """Remove what processes that were killed have left: nothing builds for a day."""
    for leftover in place.glob(".building-*"):
        with suppress(OSError):
            if leftover.stat().st_mtime < time.time() - _STALE_SECONDS:
                shutil.rmtree(leftover, ignore_errors=True)


def commit_tree(tree: Path) -> tuple[str, str]:
    """Make `tree` a repository of one commit and nothing else; returns the hashes of commit and tree."""
    hashes = _record(tree)
    _pack(tree)
    return hashes


def _record(tree: Path) -> tuple[str, str]:
    """The same, its objects not packed yet."""

    def git(*args: str) -> str:
        return run(list(args), env=writing(tree), cwd=tree, seconds=1800).decode().strip()

    git("init", "--quiet", "--template=", "--initial-branch=main", "--object-format=sha1")
    information = tree / ".git" / "info"
    information.mkdir(exist_ok=True)
    (information / "attributes").write_text(_ATTRIBUTES, encoding="utf-8")
    with (tree / ".git" / "config").open("a", encoding="utf-8") as config:
        config.write(_CONFIG)
    git("add", "--all", "--force", ".")
    tree_hash = git("write-tree")
    commit = git("commit-tree", tree_hash, "-m", "Snapshot")
    git("update-ref", "refs/heads/main", commit)
    return commit, tree_hash


def _pack(tree: Path) -> None:
    run(["repack", "-a", "-d", "-q"], env=writing(tree), cwd=tree, seconds=1800)


def _keep(building: Path, final: Path, commit: str) -> Path:
    """Move what was built into place, unless an intact one is there; returns the tree's path."""
    if final.exists() and not _intact(final / "tree", commit):
        final.rename(building / "damaged")
    if not final.exists():
        _pack(building / "tree")  # the slowest step by far, for new content alone
        finished = building / "finished"
        finished.mkdir()
        finished.chmod(0o755)
        (building / "tree").rename(finished / "tree")
        with suppress(OSError):  # another process was faster
            finished.rename(final)
    if not _intact(final / "tree", commit):
        raise SourceError(f"the cached snapshot {final} is damaged: remove it and repeat")
    return final / "tree"


def _intact(tree: Path, commit: str) -> bool:
    """Whether the cached tree is what its commit says, by sizes and times."""
    try:
        head = run(["rev-parse", "HEAD"], env=writing(tree), cwd=tree).decode().strip()
        status = run(["status", "--porcelain", "-z", "--ignored"], env=writing(tree), cwd=tree)
    except (GitFailed, OSError):
        return False
    return head == commit and not status


def _project_name(tree: Path) -> str:
    try:
        table = tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return ""
    tool = table.get("tool")
    for section in (table.get("project"), tool.get("poetry") if isinstance(tool, dict) else None):
        name = section.get("name") if isinstance(section, dict) else None
        if isinstance(name, str) and len(name) <= _NAME_LENGTH and name.isprintable() and "/" not in name:
            return name
    return ""
