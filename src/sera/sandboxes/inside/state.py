"""A digest of what was changed in the tree, quick enough to be taken after every step.

It is taken of the overlay's upper directory, so its time depends on what was changed and not on the size of
the tree. Names, kinds, modes and contents count; times do not, nor `.git`, nor what has the name of a
product of tools (`products.py`), which the same test suite leaves otherwise each time. Of a file larger than
`_WHOLE` the length and both ends stand for its content.

Digests that were recorded before products were known are of another form, and are compared with one of theirs
(`FORM`): of those, only compiled Python and pytest's cache are left out.

Little is read by process 1 itself, and of an overlay's store alone: each directory is opened without
following a link on the way to it, and what is in it from there, so that commands which change the tree
meanwhile lead nowhere else. When there is more than `QUICK` entries or bytes, a child with the rights of a
command does it, so that a flood of files costs that child.

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
from collections.abc import Callable, Iterator
from typing import NamedTuple

from . import kernel
from .products import Judge
from .views import Changes

FORM = "p"
"""What a digest without products begins with; those of before have nothing but hex digits."""
_IGNORED_BEFORE = frozenset({"__pycache__", ".pytest_cache"})
_WHOLE = 4 << 20
_PART = 64 << 10
QUICK = 4 << 20
_ENTRY = 1 << 12
"""What looking at one entry costs, in bytes read."""
_UNSETTLED = 100_000_000
"""Nanoseconds; the kernel's clock for files has steps of at most ten million."""
_MOST_KNOWN = 50_000
_PATHS_BYTES = 16 << 20
"""The most that the paths of what one look learns may come to."""
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
        self._room = _PATHS_BYTES

    def look(self, changes: Changes, judge: Judge | None = None) -> bytes:
        """The digest, and what was learnt on the way: for `learn`, in the process that forked this one."""
        return json.dumps([digest(changes, known=self, judge=judge), self._learnt]).encode()

    def learn(self, answer: bytes) -> bytes:
        """The digest out of what `look` gave, whose other half is kept for the next look."""
        found, learnt = json.loads(answer)
        for path, (identity, summary) in learnt.items():
            self._before[path] = tuple(identity), bytes.fromhex(summary)
        if len(self._before) > _MOST_KNOWN:
            self._before.clear()
        return str(found).encode()

    def content(self, entry: "_Entry", start: int) -> bytes:
        """The digest of a regular file's content."""
        status = entry.status
        identity = (status.st_ino, status.st_size, status.st_mode, status.st_mtime_ns, status.st_ctime_ns)
        known = self._before.get(entry.path)
        if known and known[0] == identity:
            return known[1]
        read = _content(entry)
        self._room -= len(entry.path)
        settled = max(status.st_ctime_ns, status.st_mtime_ns) < start - _UNSETTLED
        if settled and self._room >= 0 and len(self._learnt) < _MOST_KNOWN:
            self._learnt[entry.path] = identity, read.hex()
        return read


class _Entry(NamedTuple):
    """What one directory holds under one name, while that directory is open."""

    folder: int
    name: str
    path: str
    status: os.stat_result


def digest(
    changes: Changes, most: float = math.inf, known: Known | None = None, judge: Judge | None = None
) -> str:
    """`FORM` and sixteen hex digits, or without a judge of products those digits alone, as they were before;
    `TooMuch` if looking costs more than `most`."""
    summary, start = hashlib.sha256(), time.time_ns()
    for entry in _entries(changes, judge, most):
        most -= _ENTRY + min(entry.status.st_size, _WHOLE)
        if most < 0:
            raise TooMuch
        summary.update(b"%s\0%o\0" % (os.fsencode(entry.path), entry.status.st_mode))
        if known and stat.S_ISREG(entry.status.st_mode):
            summary.update(known.content(entry, start))
        else:
            summary.update(_content(entry))
    return (FORM if judge else "") + summary.hexdigest()[:16]


def _entries(changes: Changes, judge: Judge | None, most: float) -> Iterator[_Entry]:
    """Everything below the top that counts, in an order that depends on the names alone; `TooMuch` for a
    directory that alone costs more than `most`."""
    waiting, above = [changes.top], len(changes.top) + 1

    def counts(path: str, entry: os.DirEntry[str]) -> bool:
        if entry.name == ".git":
            return False
        if judge is None:
            return entry.name not in _IGNORED_BEFORE and not entry.name.endswith(".pyc")
        return not judge.hides(path[above:], entry.is_dir(follow_symlinks=False))

    while waiting:
        folder = waiting.pop()
        try:
            descriptor = kernel.open_beneath(changes.folder, folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue  # what vanishes meanwhile, or may not be read, is as good as empty
        try:
            for entry in _listed(descriptor, folder, counts, most):
                yield entry
                if stat.S_ISDIR(entry.status.st_mode):
                    waiting.append(entry.path)
        finally:
            os.close(descriptor)


def _listed(
    descriptor: int, folder: str, counts: Callable[[str, os.DirEntry[str]], bool], most: float
) -> list[_Entry]:
    found = []
    try:
        with os.scandir(descriptor) as entries:
            for entry in entries:
                most -= _ENTRY
                if most < 0:
                    raise TooMuch
                path = f"{folder}/{entry.name}"
                if counts(path, entry):
                    status = entry.stat(follow_symlinks=False)
                    found.append(_Entry(descriptor, entry.name, path, status))
    except OSError:
        pass  # as above
    return sorted(found, key=lambda entry: entry.path)


def _content(entry: _Entry) -> bytes:
    mode = entry.status.st_mode
    try:
        if stat.S_ISLNK(mode):
            return os.fsencode(os.readlink(entry.name, dir_fd=entry.folder))
        if stat.S_ISREG(mode):
            return _file_digest(entry)
        if stat.S_ISDIR(mode):
            return _mark(entry)
    except OSError:
        pass  # not readable as a command, or no such mark: its name and mode are all there is
    return b""


def _mark(entry: _Entry) -> bytes:
    descriptor = os.open(entry.name, _FLAGS | os.O_DIRECTORY, dir_fd=entry.folder)
    try:
        return os.getxattr(descriptor, _OPAQUE)
    finally:
        os.close(descriptor)


def _file_digest(entry: _Entry) -> bytes:
    size = entry.status.st_size
    descriptor = os.open(entry.name, _FLAGS, dir_fd=entry.folder)
    try:
        if size <= _WHOLE:
            content = os.read(descriptor, _WHOLE)
        else:
            ends = os.pread(descriptor, _PART, 0) + os.pread(descriptor, _PART, size - _PART)
            content = b"%d " % size + ends
    finally:
        os.close(descriptor)
    return hashlib.sha256(content).digest()
