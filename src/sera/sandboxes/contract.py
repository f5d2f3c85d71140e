"""What a sandbox promises, whatever it is built of.

A *backend* holds one working tree (the *layer*) and makes any number of sandboxes from it; each
sandbox sees its own writable copy of that tree at `workdir` and nothing of its neighbours. Every
backend passes `tests/sandboxes/conformance.py`.

What each outcome means:

- the command failed, was killed, timed out or flooded: a `CommandResult`, never an exception;
- a path cannot be read or written as asked (missing, a directory, too large, leads outside):
  the matching `OSError` (`FileNotFoundError`, `IsADirectoryError`, `PermissionError`, …), text for the model;
- the sandbox is gone or cannot be made: `SandboxError`, which ends the rollout and is owed again.

When the context manager of a sandbox is left, however it is left, everything it started is dead
and everything it wrote is gone. If this process itself is killed, the same holds.
"""

from contextlib import AbstractAsyncContextManager
from typing import Annotated, Protocol

import msgspec

from sera.records import Layer
from sera.settings import Config, Count


class CommandResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a command did."""

    output: str
    """stdout and stderr as they came, decoded as UTF-8 with replacement; at most the backend's
    output limit, the middle dropped."""
    exit_code: int | None
    """The shell's `$?`; None when the command was killed by us and has none."""
    dropped_bytes: int = 0
    """Bytes of output left out of the middle."""
    timed_out: bool = False
    """The command outlived its timeout and was killed; shell state as far as it got is kept."""
    limit: str = ""
    """Empty, or the limit that ended the command: `memory`."""
    shell_restarted: bool = False
    """The shell itself ended (`exit`, `exec`, or it could not be recovered) and a new one took its
    place: variables and functions are lost, files are not."""
    directory: str = ""
    """Where that new shell is: where the one before was when the last command but this had ended, or the
    working tree if there is no such directory any more. Empty without a new shell."""


class Limits(Config, frozen=True):
    """Bounds on one sandbox. A sandbox at its bound fails its own commands, nobody else's."""

    memory_bytes: Count = 2 << 30
    """Resident memory of all its processes together."""
    processes: Count = 256
    """Processes and threads alive at once."""
    cpus: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """Processors' worth of time it may take, e.g. 1.5; kept where the machine has control groups. None:
    all that is free, and an equal share with its neighbours of what is not."""
    disk_bytes: Count = 1 << 30
    """Everything it writes, in the tree and in /tmp."""
    files: Count = 200_000
    """Files it creates."""
    output_bytes: Count = 1 << 20
    """Output of one command that is kept; the rest is read and dropped."""
    read_bytes: Count = 16 << 20
    """Largest file that `read` returns."""


class Entry(msgspec.Struct, frozen=True):
    """One name in a directory listing."""

    path: str
    """Relative to the directory listed."""
    is_dir: bool


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A patch, and what is not in it because a tool left it behind."""

    patch: str = ""
    left_out: int = 0
    """Files."""
    products: tuple[str, ...] = ()
    """The first few of them; a directory `x/` stands for all in it."""


class Sandbox(Protocol):
    """A place where a rollout runs what it likes."""

    @property
    def workdir(self) -> str:
        """Absolute path of the working tree as seen inside, e.g. `/testbed`."""
        ...

    async def run(self, command: str, timeout: float) -> CommandResult:
        """Run `command` in the persistent shell (bash): directory, variables and functions last
        from one call to the next. stdin is empty, there is no terminal, and editors end at once.
        `timeout` in seconds."""
        ...

    async def execute(
        self, argv: list[str], timeout: float, env: dict[str, str] | None = None
    ) -> CommandResult:
        """Run a program directly, apart from the shell and untouched by its state, in `workdir`.
        `env` adds to the sandbox's fixed environment. For our own needs, e.g. taking the patch."""
        ...

    async def read(self, path: str) -> bytes:
        """Content of a file, resolved as a process inside would; relative paths start at `workdir`."""
        ...

    async def write(self, path: str, content: bytes) -> None:
        """Create or replace a file, parent directories included; mode is kept on replacement."""
        ...

    async def list(self, path: str, depth: int) -> list[Entry]:
        """Names below a directory, `depth` levels deep, sorted, hidden ones and symlinked
        directories' contents left out. At most 1,000 entries. `NotADirectoryError` for a file."""
        ...

    async def patch(self) -> str:
        """Unified diff of the whole tree against the layer's commit: `git diff` of everything
        staged, untracked files included, ignored ones not, whatever was done to the tree's own `.git`.
        Products of tools, by the backend's setting `products`, are no part of it unless they are tracked or
        came by `write`. Whole or `SandboxError`: never a part of it."""
        ...

    async def take_patch(self) -> Taken:
        """The patch, with what was left out of it."""
        ...

    async def state(self, like: str = "") -> str:
        """A digest of what was changed in the tree: equal after equal changes, in any sandbox of the
        layer. `.git` and what has the name of a tool's product do not count. Quick enough for every step.
        To be compared with one that may be older than the rule about products, it is made `like` that."""
        ...


class Backend(Protocol):
    """Makes sandboxes of one layer. Itself an async context manager that frees what it holds."""

    async def __aenter__(self) -> "Backend": ...

    async def __aexit__(self, *exc: object) -> None: ...

    def sandbox(self) -> AbstractAsyncContextManager[Sandbox]:
        """A fresh sandbox over the layer; any number may be open at once."""
        ...

    @property
    def notice(self) -> str:
        """One sentence on what this machine could not give, or empty."""
        ...


__all__ = ["Backend", "CommandResult", "Entry", "Layer", "Limits", "Sandbox", "Taken"]
