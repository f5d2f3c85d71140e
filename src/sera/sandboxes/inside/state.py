"""A digest of what was changed in the tree, quick enough to be taken after every step.

It is taken of the overlay's upper directory, so its time depends on what was changed and not on the size of
the tree; where the tree is a copy, of all of it. Names, kinds, modes and contents count; times do
not, nor what a patch never contains: `.git`, compiled Python, pytest's cache. Of a file larger than
`_WHOLE` the length and both ends stand for the content.

Little is read by process 1 itself, which no path can lead further than the sandbox. When there is more than
`_QUICK` entries or bytes, a child with the rights of a command does it, so that a flood of files
costs that child.
"""

import hashlib
import os
import stat
from collections.abc import Iterator

from .views import Changes

_IGNORED = frozenset({".git", "__pycache__", ".pytest_cache"})
_WHOLE = 4 << 20
_PART = 64 << 10
_QUICK = 4 << 20
_ENTRY = 1 << 12
"""What looking at one entry costs, in bytes read."""
_OPAQUE = "user.overlay.opaque"
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class TooMuch(Exception):
    """More was changed than process 1 should look at."""


def digest(changes: Changes, most: float = _QUICK) -> str:
    """Sixteen hex digits; `TooMuch` if looking costs more than `most`."""
    summary = hashlib.sha256()
    os.fchdir(changes.folder)
    try:
        for path, status in _entries(changes.top):
            most -= _ENTRY + min(status.st_size, _WHOLE)
            if most < 0:
                raise TooMuch
            summary.update(b"%s\0%o\0" % (os.fsencode(path), status.st_mode))
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
