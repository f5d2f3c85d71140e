"""A digest of what was changed in the tree, quick enough to be taken after every step.

It is taken of the overlay's upper directory, so its time depends on what was changed and not on the size of
the tree. Names, kinds, modes and contents count; times do not, nor what a patch never contains: `.git`,
compiled Python, pytest's cache. Of a file larger than `_WHOLE` the length and both ends stand for its
content.

Little is read by process 1 itself, which no path can lead further than the sandbox. When there is more than
`QUICK` entries or bytes, a child with the rights of a command does it, so that a flood of files
costs that child.

Where the tree is a copy, or the image's own, all of it is looked at, always by such a child, so that the same
is readable every time; but a file is read only once (`Known`). It is read again when its number, size, mode,
time of modification or time of change is another; the last is the kernel's, and no command can set it. What
changed less than `_UNSETTLED` before a look is read by the next look too, since a second change may bear the
same time. A write through a memory map that the kernel puts no time on is not seen, as it is not by git.
"""

import hashlib
import json
import math
import os
import stat
import time
from collections.abc import Iterator

from .views import Changes

_IGNORED = frozenset({".git", "__pycache__", ".pytest_cache"})
_WHOLE = 4 << 20
_PART = 64 << 10
QUICK = 4 << 20
_ENTRY = 1 << 12
"""What looking at one entry costs, in bytes read."""
_UNSETTLED = 100_000_000
"""Nanoseconds; the kernel's clock for files has steps of at most ten million."""
_MOST_KNOWN = 50_000
_OPAQUE = "user.overlay.opaque"
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class TooMuch(Exception):
    """More was changed than process 1 should look at."""


_Identity = tuple[int, ...]
"""What of a file's status tells whether it may have changed."""


class Known:
    """The contents of a whole tree's files as they were read before."""

    def __init__(self) -> None:
        self._before: dict[str, tuple[_Identity, bytes]] = {}
        """By path, the digest of the content."""
        self._learnt: dict[str, tuple[_Identity, str]] = {}

    def look(self, changes: Changes) -> bytes:
        """The digest, and what was learnt on the way: for `learn`, in the process that forked this one."""
        return json.dumps([digest(changes, known=self), self._learnt]).encode()

    def learn(self, answer: bytes) -> bytes:
        """The digest out of what `look` gave, whose other half is kept for the next look."""
        found, learnt = json.loads(answer)
        for path, (identity, summary) in learnt.items():
            self._before[path] = tuple(identity), bytes.fromhex(summary)
        if len(self._before) > _MOST_KNOWN:
            self._before.clear()
        return str(found).encode()

    def content(self, path: str, status: os.stat_result, start: int) -> bytes:
        """The digest of a regular file's content."""
        identity = (status.st_ino, status.st_size, status.st_mode, status.st_mtime_ns, status.st_ctime_ns)
        known = self._before.get(path)
        if known and known[0] == identity:
            return known[1]
        read = _content(path, status)
        if max(status.st_ctime_ns, status.st_mtime_ns) < start - _UNSETTLED:
            self._learnt[path] = identity, read.hex()
        return read


def digest(changes: Changes, most: float = math.inf, known: Known | None = None) -> str:
    """Sixteen hex digits; `TooMuch` if looking costs more than `most`."""
    summary, start = hashlib.sha256(), time.time_ns()
    os.fchdir(changes.folder)
    try:
        for path, status in _entries(changes.top):
            most -= _ENTRY + min(status.st_size, _WHOLE)
            if most < 0:
                raise TooMuch
            summary.update(b"%s\0%o\0" % (os.fsencode(path), status.st_mode))
            if known and stat.S_ISREG(status.st_mode):
                summary.update(known.content(path, status, start))
            else:
                summary.update(_content(path, status))
    finally:
        os.chdir("/")
    return summary.hexdigest()[:16]


def _entries(top: str) -> Iterator[tuple[str, os.stat_result]]:
    """Everything below `top`, in an order that depends on the names alone."""
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        for path, status in _listed(folder):
            yield path, status
            if stat.S_ISDIR(status.st_mode):
                waiting.append(path)


def _listed(folder: str) -> list[tuple[str, os.stat_result]]:
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name not in _IGNORED and not entry.name.endswith(".pyc"):
                    found.append((entry.path, entry.stat(follow_symlinks=False)))
    except OSError:
        pass  # what vanishes meanwhile, or may not be read, is as good as empty
    return sorted(found, key=lambda pair: pair[0])


def _content(path: str, status: os.stat_result) -> bytes:
    try:
        if stat.S_ISLNK(status.st_mode):
            return os.fsencode(os.readlink(path))
        if stat.S_ISREG(status.st_mode):
            return _file_digest(path, status.st_size)
        if stat.S_ISDIR(status.st_mode):
            return os.getxattr(path, _OPAQUE)
    except OSError:
        pass  # not readable as a command, or no such mark: its name and mode are all there is
    return b""


def _file_digest(path: str, size: int) -> bytes:
    descriptor = os.open(path, _FLAGS)
    try:
        if size <= _WHOLE:
            content = os.read(descriptor, _WHOLE)
        else:
            ends = os.pread(descriptor, _PART, 0) + os.pread(descriptor, _PART, size - _PART)
            content = b"%d " % size + ends
    finally:
        os.close(descriptor)
    return hashlib.sha256(content).digest()
