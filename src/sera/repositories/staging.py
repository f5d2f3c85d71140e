"""A directory being filled from a source: what comes in is safe, bounded and counted.

Every kind of source hands its files to one `Staging`, which decides what may enter the tree:

- a path that is absolute, climbs with `..`, contains `.git` or is not UTF-8 does not; one longer than
  `SourceLimits.path_bytes`, and so deeper than half of that, is a `SourceError`: nothing after this walks
  deeper, whether by recursion or not;
- a file over `SourceLimits.file_bytes` does not, and more than `total_bytes` or `files` altogether
  is a `SourceError`: an archive may be a bomb, and a home directory is no repository;
- a symbolic link does if, followed through at most 40 others, as the kernel does, it stays inside the tree.
  Links are made last, so no file is ever written through one.

Whatever stays out is counted by reason in `skipped`; none of it is fatal. A disk that takes no more is:
`CannotWrite`. Files get mode 0644 or 0755, directories 0755, and everything one constant time, so that
equal content makes equal trees.
"""

import errno
import hashlib
import os
import posixpath
import stat
from pathlib import Path

import msgspec

from sera.errors import SourceError
from sera.repositories.globs import Globs

MODIFIED = 1_577_836_800
"""Time stamp of every file in a snapshot: 2020-01-01, UTC."""

_IMPOSSIBLE = frozenset({errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EINVAL})
"""Of a path that this file system cannot have: too long a name, a file and a directory of one name."""
_FOLLOWED = 40
_STEPS = 20_000_000
"""On the ways of all links together, those that are ahead counted anew at each link."""
LEFT_OUT = "left out by a pattern"
_LFS = b"version https://git-lfs.github.com/spec/v1\n"


class CannotWrite(SourceError):
    """The cache does not take a file, as when its disk is full."""


class SourceLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a source may amount to."""

    file_bytes: int = 64 << 20
    """A larger file is left out and counted."""
    total_bytes: int = 4 << 30
    """All files together, unpacked; beyond it the source is refused."""
    files: int = 500_000
    """Files and links; beyond it the source is refused."""
    path_bytes: int = 1_024
    """A path, and what a link leads to; the source is refused for a longer one."""
    paths_bytes: int = 64 << 20
    """All of them together; beyond it the source is refused."""


class Staging:
    """Receives files and links under `root`, an existing empty directory."""

    def __init__(self, root: Path, limits: SourceLimits, source: str, leave_out: Globs) -> None:
        self.root = root
        self.leave_out = leave_out
        """Files and directories that whoever takes the snapshot does not want in it."""
        self.skipped: dict[str, int] = {}
        self.files: dict[str, str] = {}
        """Path → git mode of every file written."""
        self.links: dict[str, str] = {}
        self.limits = limits
        self._source = source
        self._bytes = self._paths_bytes = self._steps = 0
        self._entries = 0

    def skip(self, reason: str, count: int = 1) -> None:
        """Count something left out."""
        self.skipped[reason] = self.skipped.get(reason, 0) + count

    def leaves_out(self, path: str) -> bool:
        """Whether a file or directory is one of `leave_out`, and counts it; to be asked before reading it."""
        if not self.leave_out.match(path):
            return False
        self.skip(LEFT_OUT)
        return True

    def admits(self, size: int) -> bool:
        """Whether a file of `size` bytes may be read at all; to be asked before reading it.

        Raises `SourceError` when the source as a whole is over its limits.
        """
        self._bytes += size
        self._entries += 1
        if self._bytes > self.limits.total_bytes or self._entries > self.limits.files:
            raise SourceError(
                f"{self._source} is too large for a source repository: more than "
                f"{self.limits.total_bytes >> 20:,} MiB or {self.limits.files:,} files. "
                "Name the subdirectory with the code, or leave data and build output out (--leave-out)"
            )
        if size > self.limits.file_bytes:
            self.skip("file too large")
            return False
        return True

    def check_path(self, path: str) -> int:
        """Bytes of a path; `SourceError` for one that is too long."""
        size = len(os.fsencode(path))
        if size > self.limits.path_bytes:
            raise SourceError(
                f"{self._source} holds a path of {size:,} bytes, {path[:60]}…: it may have "
                f"{self.limits.path_bytes:,}. Leave it out, or name the subdirectory with the code"
            )
        return size

    def file(self, name: str | bytes, content: bytes, executable: bool) -> None:
        """Write one file; the last of several with one name wins."""
        path = self._path(name)
        if path is None:
            return
        if content.startswith(_LFS) and len(content) < 1024:
            self.skip("content of a git-lfs pointer")
        target = self.root / path
        try:
            target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            target.write_bytes(content)
            target.chmod(0o755 if executable else 0o644)
        except OSError as failure:
            self._skip_impossible(path, failure)
            return
        self.links.pop(path, None)
        self.files[path] = "100755" if executable else "100644"

    def link(self, name: str | bytes, target: str | bytes) -> None:
        """Note a symbolic link, to be made by `finish`."""
        path = self._path(name)
        if path is None:
            return
        text = _text(target)
        self._count_path(text or "")
        lexical = posixpath.normpath(posixpath.join(posixpath.dirname(path), text or "/"))
        parts = lexical.split("/")
        if (
            lexical.startswith("/")
            or parts[0] == ".."
            or "\0" in lexical
            or _is_git(parts)
            or path.lower().endswith(".gitmodules")
        ):
            self.skip("link leads outside")
        else:
            self.links[path] = text or ""

    def strip_top(self) -> str:
        """Drop the one directory that everything lies in, if there is one; returns its name."""
        tops = {path.partition("/")[0] for path in (*self.files, *self.links)}
        if len(tops) != 1 or any("/" not in path for path in (*self.files, *self.links)):
            return ""
        top = tops.pop()
        aside = self.root.with_name(self.root.name + ".top")
        if (self.root / top).is_dir():
            (self.root / top).rename(aside)
            self.root.rmdir()
            aside.rename(self.root)
        self.files = {path.partition("/")[2]: mode for path, mode in self.files.items()}
        self.links = {path.partition("/")[2]: target for path, target in self.links.items()}
        return top

    def drop_left_out(self) -> None:
        """Remove what of `leave_out` is here already, where paths are known only in the end."""
        for path in [path for path in (*self.files, *self.links) if self.leaves_out(path)]:
            if self.links.pop(path, None) is None:
                del self.files[path]
                (self.root / path).unlink()
        for directory in [Path(one) for one, _, _ in os.walk(self.root, topdown=False)]:
            if directory != self.root and not any(directory.iterdir()):
                directory.rmdir()

    def finish(self) -> int:
        """Make the links that stay inside, set modes and times; returns the number of entries."""
        for path in sorted(self.links):
            self._make_link(path)
        while leaving := [path for path in sorted(self.links) if not self._stays_inside(path)]:
            for path in leaving:
                (self.root / path).unlink()
                self.links.pop(path)
            self.skip("link leads outside", len(leaving))
        for directory, _, names in os.walk(self.root, topdown=False):
            for name in names:
                os.utime(Path(directory, name), (MODIFIED, MODIFIED), follow_symlinks=False)
            Path(directory).chmod(0o755)
            os.utime(directory, (MODIFIED, MODIFIED))
        return len(self.files) + len(self.links)

    def contents(self, algorithm: str) -> dict[str, tuple[str, str]]:
        """Path → (git mode, git blob hash) of everything in the tree. `algorithm`: sha1 or sha256."""
        blobs = {
            path: (mode, blob_hash((self.root / path).read_bytes(), algorithm))
            for path, mode in self.files.items()
        }
        links = {path: ("120000", blob_hash(os.fsencode(to), algorithm)) for path, to in self.links.items()}
        return blobs | links

    def _stays_inside(self, path: str) -> bool:
        """Whether the link, through all others, ends in the tree or nowhere. A removal may spoil another."""
        here, ahead, seen = list[str](), path.split("/")[::-1], set[tuple[str, ...]]()
        while ahead:
            part = ahead.pop()
            if part == ".." and not here:
                return False
            if part in ("", ".", ".."):
                here = here[:-1] if part == ".." else here
                continue
            target = self.links.get("/".join([*here, part]))
            if target is None:
                here.append(part)
                continue
            self._steps += len(here) + len(ahead) + len(target)
            state = (*here, "", part, *ahead)
            if state in seen:
                return True
            seen.add(state)
            ahead += target.split("/")[::-1]
            if target.startswith("/") or len(seen) > _FOLLOWED:
                return False
            if self._steps > _STEPS:
                raise SourceError(f"the symbolic links of {self._source} are too entangled to be followed")
        return True

    def _make_link(self, path: str) -> None:
        place = self.root / path
        try:
            place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            place.symlink_to(self.links[path])
        except OSError as failure:
            self._skip_impossible(path, failure)
            self.links.pop(path)

    def _count_path(self, path: str) -> None:
        self._paths_bytes += self.check_path(path)
        if self._paths_bytes > self.limits.paths_bytes:
            raise SourceError(
                f"the paths in {self._source} come to more than {self.limits.paths_bytes >> 20:,} MiB. "
                "Name the subdirectory with the code, or leave data and build output out"
            )

    def _skip_impossible(self, path: str, failure: OSError) -> None:
        """Count a path that cannot be; `CannotWrite` for a failure that is not the path's."""
        if failure.errno not in _IMPOSSIBLE:
            raise CannotWrite(f"{path} of {self._source} cannot be written: {failure.strerror}") from failure
        self.skip("path cannot be written")

    def _path(self, name: str | bytes) -> str | None:
        """The name as a clean path inside the tree, or None after counting why not."""
        text = _text(name)
        if text is None:
            self.skip("name is not UTF-8")
            return None
        self._count_path(text)
        parts = [part for part in text.split("/") if part not in ("", ".")]
        if text.startswith("/") or ".." in parts or "\0" in text or not parts:
            self.skip("path leads outside")
            return None
        if _is_git(parts):
            self.skip("version control")
            return None
        return "/".join(parts)


def blob_hash(content: bytes, algorithm: str) -> str:
    """The name git gives to a file of this content."""
    return hashlib.new(algorithm, b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def read_regular(path: Path) -> bytes | None:
    """Content of a regular file, or None: not a regular file, gone, or not ours to read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as stream:
        return stream.read() if stat.S_ISREG(os.fstat(handle).st_mode) else None


def _is_git(parts: list[str]) -> bool:
    return any(part.casefold() == ".git" for part in parts)


def _text(name: str | bytes) -> str | None:
    try:
        return os.fsencode(name).decode("utf-8")
    except UnicodeError:
        return None
