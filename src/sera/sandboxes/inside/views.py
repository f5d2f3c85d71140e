"""How git is shown the tree while a patch is taken: what it alone sees, and what it does not see.

A `View` has a private place for git's files, which no command can reach, and hides what would lead git
astray. Where process 1 may mount, `Mounted` does both by mounts in a namespace of git's own; a container
has other means (`contained.py`).
"""

import os
import stat
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from . import kernel
from .spec import CLOSED, SCRATCH, Spec

AsCommand = Callable[[Callable[[], Any]], Any]
"""Runs a function in a child with the rights of a command; what it gives must be data of JSON."""


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
    def rights(self) -> Sequence[int]:
        """Capabilities it keeps: none that means anything to a file."""
        ...

    @property
    def group(self) -> int | None:
        """Group number that git runs with in the place of the command's, which it has besides."""
        ...

    def open(self, spec: Spec, /) -> None:
        """Make the place, empty."""
        ...

    def hide(self, paths: Sequence[str], as_command: AsCommand, /) -> None:
        """Have git see nothing at these absolute paths. What that takes in the tree is done `as_command`."""
        ...

    def enter(self) -> None:
        """Called in git's process to be, while it still has process 1's rights."""
        ...

    def close(self, as_command: AsCommand, /) -> None:
        """Undo `hide` and throw the place away."""
        ...


class Mounted:
    """A view made of mounts."""

    place = f"{CLOSED}/{os.path.basename(SCRATCH)}"
    seen = SCRATCH
    git = ("git",)
    rights = (kernel.CAP_BLOCK_SUSPEND,)
    """A right that no command has, so that none may trace git, and that is worth nothing."""
    group = None

    def __init__(self) -> None:
        self._hidden: Sequence[str] = ()

    def open(self, spec: Spec, /) -> None:
        options = {"size": str(2 * spec.disk_bytes), "mode": "0755"}
        kernel.attach(kernel.tmpfs(options, kernel.NOSUID | kernel.NODEV), self.place)

    def hide(self, paths: Sequence[str], _: AsCommand) -> None:
        self._hidden = paths

    def enter(self) -> None:
        """Mounts of its own, with the place and without what is hidden."""
        kernel.unshare(kernel.CLONE_NEWNS)
        kernel.attach(kernel.clone_tree(self.place, 0), self.seen)
        top = os.open("/", os.O_PATH | os.O_DIRECTORY)
        for path in self._hidden:
            try:
                self._cover(kernel.open_beneath(top, path.lstrip("/"), os.O_PATH))
            except OSError:
                continue

    def _cover(self, place: int) -> None:
        mode = os.fstat(place).st_mode
        try:
            if stat.S_ISDIR(mode):
                kernel.attach(kernel.tmpfs({"mode": "0755"}, kernel.RDONLY), place)
            elif not stat.S_ISLNK(mode):
                kernel.attach(kernel.clone_tree("/dev/null", kernel.RDONLY), place)
        finally:
            os.close(place)

    def close(self, _: AsCommand) -> None:
        self._hidden = ()
        kernel.unmount(self.place)
