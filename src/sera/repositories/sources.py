"""Telling what a source is, and handing its files to a `Staging`. See `snapshots` for the kinds."""

import os
import posixpath
import re
import stat
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from sera.errors import SourceError, UsageError, boundary
from sera.repositories.archives import is_archive, unpack
from sera.repositories.git import GitFailed, Local
from sera.repositories.remotes import fetch, is_remote, redacted
from sera.repositories.staging import SourceLimits, Staging, read_regular

JUNK = frozenset(
    {
        ".git",
        ".hg",
        ".svn",
        ".bzr",
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
)
"""Names left out of a directory without git, at any depth; so are virtual environments of any name."""
_JUNK_SUFFIXES = (".pyc", ".pyo")
_ENDINGS = re.compile(r"(\.git|\.bundle|\.whl|\.zip|\.tgz|\.tar(\.\w+)?)$")
_VERSION = re.compile(r"-v?\d[\w.+!-]*$")


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What was read, before it is a snapshot."""

    staging: Staging
    description: str
    kind: str
    name: str
    commit: str = ""
    dirty: bool = False


def read_source(source: str, revision: str | None, building: Path, limits: SourceLimits) -> Origin:
    """Read `source` into `building/tree`; anything else this needs it puts beside that."""
    if revision is not None and (revision.startswith("-") or not revision.strip() or "\0" in revision):
        raise UsageError(f"{revision!r} is no revision: name a branch, a tag or a commit")
    if not source.strip():
        raise UsageError("no repository named: give a directory, an archive or a git URL")
    (building / "tree").mkdir()
    with boundary(SourceError, "the repository's path or URL is malformed", ValueError, RuntimeError):
        path = _local_path(source)
    staging = Staging(building / "tree", limits, redacted(source))
    if path is None:
        return _read_remote(source, source, revision, building, staging)
    if path.is_dir():
        return _read_directory(source, path, revision, staging)
    if not path.is_file():
        kind = "is neither a file nor a directory" if path.exists() else "does not exist"
        raise SourceError(f"{redacted(str(path))} {kind}: name a directory, an archive or a git URL")
    if _is_bundle(path):
        return _read_remote(source, str(path), revision, building, staging)
    return _read_archive(path, revision, staging, limits)


def _local_path(source: str) -> Path | None:
    """The path that `source` names on this machine; None for a remote."""
    if source.startswith("file://"):
        parts = urlsplit(source)
        if parts.netloc not in ("", "localhost"):
            raise SourceError(f"{redacted(source)} names a file on another host: mount it, or use ssh")
        return Path(unquote(parts.path))
    path = Path(source).expanduser()
    if is_remote(source) and not path.exists():
        urlsplit(source)
        return None
    return path.absolute()


def _read_remote(source: str, address: str, revision: str | None, building: Path, staging: Staging) -> Origin:
    local, commit = fetch(address, revision or "", building / "clone")
    _take_commit(local, commit, "", staging)
    name = _plain_name(redacted(source).rstrip("/").replace(":", "/"))
    return Origin(staging=staging, description=redacted(source), kind="git", name=name, commit=commit)


def _read_archive(path: Path, revision: str | None, staging: Staging, limits: SourceLimits) -> Origin:
    if revision is not None:
        raise UsageError(f"{path} is no git repository, so it has no revision {revision!r}")
    if not is_archive(path):
        raise SourceError(f"{path} is no archive that sera reads: .tar, .tar.gz, .tar.bz2, .tar.xz or .zip")
    top = unpack(path, staging, limits)
    name = _VERSION.sub("", top or _plain_name(str(path)))
    return Origin(staging=staging, description=str(path), kind="archive", name=name)


def _read_directory(source: str, path: Path, revision: str | None, staging: Staging) -> Origin:
    path = path.resolve()
    local = find_repository(path)
    name = _plain_name(str(path))
    is_url = source.startswith("file://")
    whole = local is not None and (local.work_tree is None or is_url)
    if local is not None and (whole or revision is not None):
        commit = _commit_of(local, revision or "HEAD", path)
        _take_commit(local, commit, _prefix(local, path), staging)
        description = redacted(source) if is_url else str(path)
        return Origin(staging=staging, description=description, kind="git", name=name, commit=commit)
    if revision is not None:
        raise UsageError(f"{path} is not under git, so it has no revision {revision!r}")
    names = _listed(local, path) if local is not None else []
    if local is None or not names:
        _take_plain(path, staging)
        return Origin(staging=staging, description=str(path), kind="directory", name=name)
    taken = _take_listed(path, names, staging)
    commit = local.commit()
    dirty = not commit or _differs(local, commit, path, staging, taken)
    return Origin(staging=staging, description=str(path), kind="git", name=name, commit=commit, dirty=dirty)


# ── a repository on this machine ──────────────────────────────────────────────────────────────────


def find_repository(path: Path) -> Local | None:
    """The repository that `path` is, or that it lies in; None for a directory without git."""
    if (path / "HEAD").is_file() and (path / "objects").is_dir() and (path / "refs").is_dir():
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


def _entries(local: Local, commit: str, prefix: str) -> Iterator[tuple[str, str, int, bytes]]:
    tree = f"{commit}:{prefix}" if prefix else commit
    for entry in local.entries(tree):
        yield entry.mode, entry.hash, entry.size, entry.path


def _take_commit(local: Local, commit: str, prefix: str, staging: Staging) -> None:
    """Hand over the files of a commit, or of one directory in it, as they are stored."""
    try:
        entries = list(_entries(local, commit, prefix))
    except GitFailed as failure:
        where = f"directory {prefix!r} of commit" if prefix else "commit"
        raise SourceError(
            f"the {where} {commit[:12]} cannot be read from {local.git_dir}: {failure.stderr}"
        ) from None
    with local.blobs() as blobs:
        for mode, digest, size, path in entries:
            if mode == "160000":
                staging.skip("submodule")
            elif staging.admits(size):
                content = blobs.read(digest)
                if content is None:
                    staging.skip("object missing from the repository")
                elif mode == "120000":
                    staging.link(path, content)
                else:
                    staging.file(path, content, mode == "100755")


def _listed(local: Local, path: Path) -> list[str]:
    """Tracked files and untracked ones that are not ignored, relative to `path`."""
    try:
        out = local.run("ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=path)
    except GitFailed as failure:
        raise SourceError(f"the git repository around {path} cannot be read: {failure.stderr}. "
                          "Repair it, or copy the files to a directory without .git") from None  # fmt: skip
    return [os.fsdecode(name) for name in dict.fromkeys(out.split(b"\0")) if name]


def _differs(local: Local, commit: str, path: Path, staging: Staging, taken: set[str]) -> bool:
    """Whether what was taken is not the commit's; things that never enter a tree are no difference."""
    algorithm = "sha1" if len(commit) == 40 else "sha256"
    refused = taken - staging.files.keys() - staging.links.keys()
    try:
        committed = {
            os.fsdecode(name): (mode, digest)
            for mode, digest, _, name in _entries(local, commit, _prefix(local, path))
            if mode != "160000" and os.fsdecode(name) not in refused
        }
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
        if plain(posixpath.dirname(name)) and os.path.lexists(root / name):
            taken.add(name)
            _take_file(root, name, staging)
    return taken


def _take_plain(root: Path, staging: Staging) -> None:
    """Hand over a whole directory but for what is never source."""
    for directory, below, names in os.walk(root, onerror=lambda _: staging.skip("directory cannot be read")):
        relative = Path(directory).relative_to(root)
        junk = {name for name in (*below, *names) if name in JUNK or name.endswith(_JUNK_SUFFIXES)}
        junk |= {name for name in below if (Path(directory) / name / "pyvenv.cfg").is_file()}
        if junk:
            staging.skip("not source (environments, caches, version control)", len(junk))
        links = [name for name in below if Path(directory, name).is_symlink()]
        below[:] = sorted(set(below) - junk - set(links))
        for name in sorted({*names, *links} - junk):
            _take_file(root, (relative / name).as_posix(), staging)


def _take_file(root: Path, name: str, staging: Staging) -> None:
    path = root / name
    try:
        facts = path.lstat()
    except OSError:
        return
    if stat.S_ISLNK(facts.st_mode):
        if staging.admits(0):
            staging.link(name, str(path.readlink()))
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
    return _ENDINGS.sub("", posixpath.basename(path)) or "repository"
