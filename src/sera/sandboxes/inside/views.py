"""How git is shown the tree while a patch is taken: what it alone sees, and what it does not see.

A `View` has a private place for git's files, which no command can reach, and hides what would lead git
astray. Where process 1 may mount, `Mounted` does both by mounts in a namespace of git's own; a container
has other means (`contained.py`).
"""

import os
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from . import kernel
from .spec import CLOSED, SCRATCH, USER, Spec


class Changes(NamedTuple):
    """Where everything that commands changed in the tree can be found."""

    folder: int
    """Descriptor of the directory that `top` is relative to."""
    top: str
    whole: bool
    """Whether that is the tree itself, unchanged files included, and not what was changed alone."""


class View(Protocol):
    """What one taking of a patch needs; entered and left around it."""

    @property
    def place(self) -> str:
        """Directory of git's files as process 1 sees it."""
        ...

    @property
    def seen(self) -> str:
        """The same directory as git sees it."""
        ...

    @property
    def git(self) -> Sequence[str]:
        """The program."""
        ...

    @property
    def user(self) -> int:
        """User and group number that git runs as."""
        ...

    @property
    def rights(self) -> Sequence[int]:
        """Capabilities it keeps."""
        ...

    def open(self, spec: Spec, /) -> None:
        """Make the place, empty."""
        ...

    def hide(self, paths: Sequence[str]) -> None:
        """Have git see nothing at these absolute paths."""
        ...

    def enter(self) -> None:
        """Called in git's process to be, while it still has process 1's rights."""
        ...

    def close(self) -> None:
        """Undo `hide` and throw the place away."""
        ...


class Mounted:
    """A view made of mounts."""

    place = f"{CLOSED}/{os.path.basename(SCRATCH)}"
    seen = SCRATCH
    git = ("git",)
    user = USER
    rights = (kernel.CAP_DAC_READ_SEARCH,)

    def __init__(self) -> None:
        self._hidden: Sequence[str] = ()

    def open(self, spec: Spec, /) -> None:
        options = {"size": str(2 * spec.disk_bytes), "mode": "0755"}
        kernel.attach(kernel.tmpfs(options, kernel.NOSUID | kernel.NODEV), self.place)

    def hide(self, paths: Sequence[str]) -> None:
        self._hidden = paths

    def enter(self) -> None:
        """Mounts of its own, with the place and without what is hidden."""
        kernel.unshare(kernel.CLONE_NEWNS)
        kernel.attach(kernel.clone_tree(self.place, 0), self.seen)
        for path in self._hidden:
            try:
                if os.path.isdir(path) and not os.path.islink(path):
                    kernel.attach(kernel.tmpfs({"mode": "0755"}, kernel.RDONLY), path)
                elif not os.path.islink(path):
                    kernel.attach(kernel.clone_tree("/dev/null", kernel.RDONLY), path)
            except OSError:
                continue

    def close(self) -> None:
        self._hidden = ()
        kernel.unmount(self.place)
