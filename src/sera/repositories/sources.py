"""Telling what a source is, and handing its files to a `Staging`. See `snapshots` for the kinds."""

import os
import posixpath
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cache
from itertools import islice
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from sera.errors import SourceError, UsageError, boundary
from sera.repositories.archives import is_archive, unpack
from sera.repositories.git import GitFailed, Local
from sera.repositories.globs import Globs
from sera.repositories.not_source import (
    JUNK,
    JUNK_SUFFIXES,
    OURS,
    VERSION_CONTROL,
    is_repository,
    why_left_out,
)
from sera.repositories.remotes import encodable, fetch, is_remote, redacted
from sera.repositories.staging import SourceLimits, Staging, read_regular
from sera.repositories.submodules import Part, parts_of, submodules_in

_ENDINGS = re.compile(r"(\.git|\.bundle|\.whl|\.zip|\.tgz|\.tar(\.\w+)?)$")
_VERSION = re.compile(r"-v?\d[\w.+!-]*$")


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What was read, before it is a snapshot."""

    staging: Staging
    description: str
    kind: str
    name: str
    commit: str = ""
    committed: str = ""
    dirty: bool = False


def read_source(
    source: str,
    revision: str | None,
    building: Path,
    limits: SourceLimits,
    store: Path,
    leave_out: Sequence[str] = (),
) -> Origin:
    """Read `source` into `building/tree`, but for what matches `leave_out` (see `globs`); anything else this
    needs it puts beside that.

    `store`, the cache, is never part of a source, also where it lies in its directory.
    """
    if revision is not None and (revision.startswith("-") or not revision.strip() or "\0" in revision):
        raise UsageError(f"{revision!r} is no revision: name a branch, a tag or a commit")
    if not source.strip():
        raise UsageError("no repository named: give a directory, an archive or a git URL")
    (building / "tree").mkdir()
    path, description = _local_path(source), described(source)
    staging = Staging(building / "tree", limits, description, Globs(leave_out))
    if path is None:
        return _read_remote(description, source, revision, building, staging)
    if path.is_dir():
        return _read_directory(description, path.resolve(), revision, staging, store)
    if not path.is_file():
        kind = "is neither a file nor a directory" if path.exists() else "does not exist"
        raise SourceError(f"{redacted(str(path))} {kind}: name a directory, an archive or a git URL")
    if _is_bundle(path):
        return _read_remote(description, str(path), revision, building, staging)
    return _read_archive(description, path, revision, staging, limits)


def described(source: str) -> str:
    """What a snapshot of `source` will say it was taken from, told without taking one: the absolute path,
    or the URL without credentials. Equal for all ways to name one directory or file; always UTF-8."""
    path = _local_path(source)
    if path is None or source.startswith("file://"):
        return redacted(source)
    with _well_formed():
        return encodable(str(path.resolve()))


def _local_path(source: str) -> Path | None:
    """The path that `source` names on this machine; None for a remote."""
    with _well_formed():
        if source.startswith("file://"):
            parts = urlsplit(source)
            if parts.netloc not in ("", "localhost"):
                raise SourceError(f"{redacted(source)} names a file on another host: mount it, or use ssh")
            return Path(unquote(parts.path))
        path = Path(source).expanduser()
        if is_remote(source) and not os.path.lexists(path):
            urlsplit(source)
            return None
        return path.absolute()


def _well_formed() -> AbstractContextManager[None]:
    return boundary(SourceError, "the repository's path or URL is malformed", ValueError, RuntimeError)


def _read_remote(
    description: str, address: str, revision: str | None, building: Path, staging: Staging
) -> Origin:
    local, commit = fetch(address, revision or "", building / "clone")
    _take_commit(local, commit, "", staging)
    name = _plain_name(description.rstrip("/").replace(":", "/"))
    return _of_commit(staging, description, name, local, commit)


def _of_commit(
    staging: Staging, description: str, name: str, local: Local, commit: str, dirty: bool = False
) -> Origin:
    return Origin(
        staging=staging,
        description=description,
        kind="git",
        name=name,
        commit=commit,
        committed=local.committed(commit),
        dirty=dirty,
    )


def _read_archive(
    description: str, path: Path, revision: str | None, staging: Staging, limits: SourceLimits
) -> Origin:
    if revision is not None:
        raise UsageError(f"{path} is no git repository, so it has no revision {revision!r}")
    if not is_archive(path):
        raise SourceError(f"{path} is no archive that sera reads: .tar, .tar.gz, .tar.bz2, .tar.xz or .zip")
    top = unpack(path, staging, limits)
    name = _VERSION.sub("", top or _plain_name(str(path)))
    return Origin(staging=staging, description=description, kind="archive", name=name)


def _read_directory(
    description: str, path: Path, revision: str | None, staging: Staging, store: Path
) -> Origin:
    local = find_repository(path)
    name = _plain_name(str(path))
    whole = local is not None and (local.work_tree is None or description.startswith("file://"))
    if local is not None and (whole or revision is not None):
        commit = _commit_of(local, revision or "HEAD", path)
        _take_commit(local, commit, _prefix(local, path), staging)
        return _of_commit(staging, description, name, local, commit)
    if revision is not None:
        raise UsageError(f"{path} is not under git, so it has no revision {revision!r}")
    tracked, others = _listed(local, path) if local is not None else ([], [])
    for listed in (*tracked, *others):
        staging.check_path(listed)
    if local is None or not (tracked or others):
        _take_plain(path, staging, store)
        return Origin(staging=staging, description=description, kind="directory", name=name)
    others = _source_among(path, others, tracked, staging, store)
    taken = _take_listed(path, [*others, *tracked], staging)
    commit = local.commit()
    dirty = not commit or _differs(local, commit, path, staging, taken)
    return _of_commit(staging, description, name, local, commit, dirty)


# ── a repository on this machine ──────────────────────────────────────────────────────────────────


def find_repository(path: Path) -> Local | None:
    """The repository that `path` is, or that it lies in; None for a directory without git."""
    if is_repository(path):
        return Local(path)
    for root in (path, *path.parents):
        if (root / ".git" / "HEAD").is_file() or (root / ".git").is_file():
            return Local(root / ".git", root)
    return None


def _commit_of(local: Local, revision: str, path: Path) -> str:
    if commit := local.commit(revision):
        return commit
    if revision == "HEAD":
        raise SourceError(f"{path} has no commit yet: commit its files first")
    raise SourceError(f"{path} has no revision {revision!r}: name a branch, a tag or a commit of it")


def _prefix(local: Local, path: Path) -> str:
    """Path of the directory inside the working tree, empty for all of it."""
    return "" if local.work_tree in (None, path) else path.relative_to(local.work_tree or path).as_posix()


def _take_commit(local: Local, commit: str, prefix: str, staging: Staging) -> None:
    """Hand over the files of a commit, or of one directory in it, as they are stored; with them those of
    its submodules, as far as they are checked out."""
    try:
        for part in parts_of(local, commit, prefix, staging.limits.files):
            _take_part(part, staging)
    except GitFailed as failure:
        where = f"directory {prefix!r} of commit" if prefix else "commit"
        raise SourceError(
            f"the {where} {commit[:12]} cannot be read from {local.git_dir}: {failure.stderr}"
        ) from None


def _take_part(part: Part, staging: Staging) -> None:
    entries = list(part.entries)
    with part.local.blobs() as blobs:
        for entry in entries:
            if staging.leaves_out(os.fsdecode(entry.path)) or not staging.admits(entry.size):
                continue
            if entry.mode == "160000":
                staging.skip("submodule")
                continue
            content = blobs.read(entry.hash)
            if content is None:
                staging.skip("object missing from the repository")
            elif entry.mode == "120000":
                staging.link(entry.path, content)
            else:
                staging.file(entry.path, content, entry.mode == "100755")


def _listed(local: Local, path: Path) -> tuple[list[str], list[str]]:
    """Tracked files, and untracked ones that are not ignored, relative to `path`; those of submodules that
    are checked out among them."""
    tracked, others, ahead = dict[str, None](), dict[str, None](), [(local, "")]
    try:
        for one, at in ahead:
            there = path / at
            rows = one.run("ls-files", "-z", "--cached", "--stage", cwd=there).split(b"\0")
            found = {at + os.fsdecode(row.partition(b"\t")[2]): row[:6] for row in rows if row}
            below = submodules_in(one, path, (name for name, mode in found.items() if mode == b"160000"))
            ahead += [(module, f"{name}/") for name, module in below.items()]
            tracked |= dict.fromkeys(name for name in found if name not in below)
            rest = one.run("ls-files", "-z", "--others", "--exclude-standard", cwd=there).split(b"\0")
            others |= dict.fromkeys(at + os.fsdecode(name) for name in rest if name)
    except GitFailed as failure:
        raise SourceError(f"the git repository around {path} cannot be read: {failure.stderr}. "
                          "Repair it, or copy the files to a directory without .git") from None  # fmt: skip
    return list(tracked), list(others)


def _source_among(
    root: Path, names: list[str], tracked: list[str], staging: Staging, store: Path
) -> list[str]:
    """Those of the untracked files that are source; directories that are none are counted.

    A directory that holds something tracked is source, unless it has a name of version control.
    """
    holding = {directory for name in tracked for directory in _around(name)}

    @cache
    def why(directory: str) -> str:
        path = root / directory
        if path == store:
            return OURS
        return why_left_out(path) if directory not in holding or path.name in VERSION_CONTROL else ""

    kept, left_out = [], set()
    for name in names:
        place = next((directory for directory in _around(name) if why(directory)), None)
        if place is None:
            kept.append(name)
        else:
            left_out.add(place)
    for place in left_out:
        staging.skip(why(place))
    return kept


def _around(name: str) -> Iterator[str]:
    """The directories that a file lies in, the outermost first."""
    end = name.find("/")
    while end >= 0:
        yield name[:end]
        end = name.find("/", end + 1)


def _differs(local: Local, commit: str, path: Path, staging: Staging, taken: set[str]) -> bool:
    """Whether what was taken is not the commit's; things that never enter a tree are no difference."""
    algorithm = "sha1" if len(commit) == 40 else "sha256"
    refused = taken - staging.files.keys() - staging.links.keys()
    parts = parts_of(local, commit, _prefix(local, path), staging.limits.files)
    entries = (entry for part in parts for entry in part.entries if entry.mode != "160000")
    named = ((os.fsdecode(entry.path), entry) for entry in entries)
    wanted = ((name, entry) for name, entry in named if not staging.leave_out.match(name))
    try:
        most = islice(wanted, len(taken) + 1)  # with more, some are missing from what was taken
        committed = {name: (entry.mode, entry.hash) for name, entry in most if name not in refused}
    except GitFailed:  # the subdirectory is not in the commit
        return True
    return committed != staging.contents(algorithm)


# ── files on disk ─────────────────────────────────────────────────────────────────────────────────


def _take_listed(root: Path, names: list[str], staging: Staging) -> set[str]:
    """Hand over the named files; returns the names of those that exist."""

    @cache
    def plain(directory: str) -> bool:
        """No symbolic link among the directories below `root`: a file behind one is not tracked."""
        return not directory or (not (root / directory).is_symlink() and plain(posixpath.dirname(directory)))

    taken = set()
    for name in names:
        if staging.leaves_out(name):
            continue
        if plain(posixpath.dirname(name)) and os.path.lexists(root / name):
            taken.add(name)
            _take_file(root, name, staging)
    return taken


def _take_plain(root: Path, staging: Staging, store: Path) -> None:
    """Hand over a whole directory but for what is never source."""
    for directory, below, names in os.walk(root, onerror=lambda _: staging.skip("directory cannot be read")):
        relative = Path(directory).relative_to(root)
        staging.check_path(str(relative))
        junk = {name for name in (*below, *names) if name in JUNK or name.endswith(JUNK_SUFFIXES)}
        junk |= {name for name in below if os.path.lexists(Path(directory, name, "pyvenv.cfg"))}
        if junk:
            staging.skip("not source (environments, caches, version control)", len(junk))
        links = [name for name in below if Path(directory, name).is_symlink()]
        below[:] = [
            name
            for name in sorted(set(below) - junk - set(links))
            if not staging.leaves_out((relative / name).as_posix())
            and not _left_out(Path(directory, name), staging, store)
        ]
        for name in sorted({*names, *links} - junk):
            if not staging.leaves_out((relative / name).as_posix()):
                _take_file(root, (relative / name).as_posix(), staging)


def _left_out(directory: Path, staging: Staging, store: Path) -> bool:
    """Whether a directory is no source by what it holds; counts it then."""
    reason = OURS if directory == store else why_left_out(directory)
    if reason:
        staging.skip(reason)
    return bool(reason)


def _take_file(root: Path, name: str, staging: Staging) -> None:
    path = root / name
    try:
        facts = path.lstat()
    except OSError:
        return
    if stat.S_ISLNK(facts.st_mode):
        if staging.admits(0):
            # a `Path` drops what git keeps, such as a last `/`
            staging.link(name, os.readlink(path))  # noqa: PTH115
    elif stat.S_ISDIR(facts.st_mode):
        staging.skip("submodule or nested repository")
    elif not stat.S_ISREG(facts.st_mode):
        staging.skip("special file")
    elif staging.admits(facts.st_size):
        content = read_regular(path)
        if content is None:
            staging.skip("file cannot be read")
        else:
            staging.file(name, content, bool(facts.st_mode & 0o100))


def _is_bundle(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(16).startswith((b"# v2 git bundle", b"# v3 git bundle"))


def _plain_name(path: str) -> str:
    return _ENDINGS.sub("", posixpath.basename(encodable(path))) or "repository"
