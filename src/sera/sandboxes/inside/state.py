"""A digest of what was changed in the tree, quick enough to be taken after every step.

Runs as a command would, over the overlay's upper directory, so its time depends on what was changed
and not on the size of the tree; where the tree is a copy, over all of it. Names, kinds, modes and
contents count; times do not, nor what a patch never contains: `.git`, compiled Python, pytest's cache.
Of a file larger than `_WHOLE` the length and both ends stand for the content.
"""

import hashlib
import os
import stat
from collections.abc import Iterator

_IGNORED = frozenset({".git", "__pycache__", ".pytest_cache"})
_WHOLE = 4 << 20
_PART = 64 << 10
_OPAQUE = "user.overlay.opaque"


def digest(store: int) -> str:
    """Sixteen hex digits. `store` is the descriptor of the store that holds `changed`."""
    os.fchdir(store)
    summary = hashlib.sha256()
    for path, status in _entries("changed"):
        summary.update(b"%s\0%o\0" % (os.fsencode(path), status.st_mode))
        summary.update(_content(path, status))
    return summary.hexdigest()[:16]


def _entries(top: str) -> Iterator[tuple[str, os.stat_result]]:
    """Everything below `top`, in an order that depends on the names alone."""
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as found:
                entries = sorted((e for e in found if not _is_ignored(e.name)), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            yield entry.path, status
            if stat.S_ISDIR(status.st_mode):
                waiting.append(entry.path)


def _is_ignored(name: str) -> bool:
    return name in _IGNORED or name.endswith(".pyc")


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
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if size <= _WHOLE:
            content = b"".join(iter(lambda: os.read(descriptor, 1 << 20), b""))
        else:
            ends = os.pread(descriptor, _PART, 0) + os.pread(descriptor, _PART, size - _PART)
            content = b"%d " % size + ends
    finally:
        os.close(descriptor)
    return hashlib.sha256(content).digest()
