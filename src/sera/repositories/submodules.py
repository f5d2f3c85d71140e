"""Submodules that are checked out: their files are part of the tree, as they are of the checkout.

A submodule's repository lies where git puts it: in the `.git` of its own directory, or in that of the
repository around it, which a file called `.git` leads to. One that leads elsewhere is not followed: what
was unpacked from an archive could name any repository of this machine. Nothing is fetched.
"""

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from sera.repositories.git import GitFailed, Local, Object
from sera.repositories.staging import read_regular

_POINTER = b"gitdir:"


class Part(NamedTuple):
    """What a commit takes from one repository, by paths from the root of the whole."""

    local: Local
    entries: Iterator[Object]
    """To be read to its end before the next part. A submodule that is not to be had is one of mode 160000."""


def submodules_in(local: Local, root: Path, names: Iterable[str]) -> dict[str, Local]:
    """The repositories of those submodules below `root` that are checked out, by name."""
    found = {name: _checked_out(local, root, name) for name in names}
    return {name: module for name, module in found.items() if module is not None}


def parts_of(local: Local, commit: str, prefix: str, most: int) -> Iterator[Part]:
    """A commit, or a directory in it, and the commits of its submodules. A repository with more than `most`
    entries is cut off behind the next one. `GitFailed` if the commit cannot be read."""
    ahead = [(local, f"{commit}:{prefix}" if prefix else commit, "")]
    root = local.work_tree / prefix if local.work_tree else None

    def entries(one: Local, tree: str, at: str) -> Iterator[Object]:
        for entry in islice(one.entries(tree), most + 1):
            path = at + os.fsdecode(entry.path)
            module = _checked_out(one, root, path) if root and entry.mode == "160000" else None
            if module and module.commit(entry.hash):
                ahead.append((module, entry.hash, f"{path}/"))
            else:
                yield Object(entry.mode, entry.hash, entry.size, os.fsencode(path))

    for one, tree, at in ahead:
        yield Part(one, entries(one, tree, at))


def _checked_out(local: Local, root: Path, name: str) -> Local | None:
    above, place = os.path.realpath(root), root / name
    real = os.path.realpath(place)
    if real != f"{above}/{name}" or not real.startswith(above + os.sep):
        return None  # behind a link or elsewhere, and so not the submodule
    git_dir = place / ".git"
    if git_dir.is_dir() and not git_dir.is_symlink():
        return Local(git_dir, place)
    pointer = read_regular(git_dir) or b""
    if not pointer.startswith(_POINTER):
        return None
    target = os.path.realpath(place / os.fsdecode(pointer.removeprefix(_POINTER).strip()))
    return Local(git_dir, place) if target.startswith(_common(local) + os.sep) else None


def _common(local: Local) -> str:
    """Where the repository keeps what all its working trees share, its submodules among it."""
    try:
        said = local.run("rev-parse", "--git-common-dir", cwd=local.work_tree)
    except GitFailed:
        return os.devnull
    return os.path.realpath(Path(local.work_tree or "/", os.fsdecode(said.rstrip(b"\n"))))
