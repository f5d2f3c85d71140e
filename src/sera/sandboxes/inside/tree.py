"""What is done to the tree while a patch is taken, by a child with the rights of a command.

git reads the tree as the command's user and with no right beyond that, so that a command which runs in
spite of everything, and exchanges a directory with a link, leads git to nothing it could not read itself.
Two things would then be missing or misleading, and are put aside for that time: what commands have closed to
their own user is opened (`open_up`) and closed again (`close_again`); and what would lead git astray is
found, for a `View` to hide.
"""

import errno
import os
import stat
from collections.abc import Iterable
from typing import NamedTuple

from . import kernel
from .views import Changes

_SETTINGS = (".gitignore", ".gitattributes")
_FOLDER, _HOLDER, _FILE = 0o500, 0o700, 0o400
_PATHS_BYTES = 16 << 20
"""The most that the paths of one answer may come to."""


class Found(NamedTuple):
    """What `open_up` came upon; absolute paths as commands see them."""

    misleading: list[str]
    closed: list[tuple[str, int]]
    """What was opened, the outermost first, with the mode that commands gave it."""


def open_up(workdir: str, changes: Changes) -> Found:
    """Let the owner read everything that was changed, and find what would lead git astray: every `.git` but
    the tree's own, and what has the name of a settings file but would never end. An overlay's store has all
    new ones. Directories deeper than a path can say are out of git's reach too."""
    found, waiting, room = Found([], []), [""], _PATHS_BYTES
    try:
        _open(workdir, os.stat(workdir).st_mode, _FOLDER, found)
        while waiting:
            below = waiting.pop()
            try:
                descriptor = kernel.open_beneath(changes.folder, changes.top + below, os.O_DIRECTORY)
            except OSError:
                continue
            before = len(found.misleading) + len(found.closed)
            try:
                waiting += _look(workdir + below, descriptor, found, below)
            finally:
                os.close(descriptor)
            room -= (len(found.misleading) + len(found.closed) - before) * len(workdir + below)
            if room < 0:
                raise OSError(errno.E2BIG, "too much of it is closed to its owner, or holds repositories")
    except OSError:
        close_again(found.closed)
        raise
    return found


def _look(folder: str, descriptor: int, found: Found, below: str) -> list[str]:
    """One directory; the paths of those in it."""
    inner, holds = [], False
    with os.scandir(descriptor) as entries:
        for entry in entries:
            path, mode = f"{folder}/{entry.name}", entry.stat(follow_symlinks=False).st_mode
            if entry.name.lower() == ".git":  # git refuses any spelling of it
                if below or entry.name != ".git":
                    holds = True
                    found.misleading.append(path)
            elif stat.S_ISDIR(mode):
                _open(path, mode, _FOLDER, found)
                inner.append(f"{below}/{entry.name}")
            elif stat.S_ISREG(mode):
                _open(path, mode, _FILE, found)
            elif entry.name in _SETTINGS and not stat.S_ISLNK(mode):
                holds = True
                found.misleading.append(path)
    if holds:
        _open(folder, os.stat(folder).st_mode, _HOLDER, found)
    return inner


def _open(path: str, mode: int, wanted: int, found: Found) -> None:
    mode = stat.S_IMODE(mode)
    if mode & wanted == wanted:
        return
    try:
        os.chmod(path, mode | wanted)
    except OSError:
        return  # another's, or gone: git will say what it cannot read
    found.closed.append((path, mode))


def close_again(closed: Iterable[tuple[str, int]]) -> None:
    """Give what was opened the modes it had, the innermost first."""
    for path, mode in reversed(list(closed)):
        try:
            os.chmod(path, mode)
        except OSError:
            continue


def rename(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Rename each, and keep its directory's times; those that could be. The rest is a mount, or in a tree
    that cannot be written: git sees it as it is."""
    done = []
    for path, other in pairs:
        folder = os.path.dirname(path)
        try:
            before = os.stat(folder)
            os.rename(path, other)
            os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))
        except OSError:
            continue
        done.append((path, other))
    return done
