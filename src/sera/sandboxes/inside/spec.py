"""The settings of a backend, as the host sends them to its spawner, and the layout inside a sandbox.

Paths named here are constants of the sandbox, the same on every machine, so that what a command
prints depends on the layer alone.
"""

from collections.abc import Sequence
from typing import NamedTuple

USER = 1000
"""User and group number of every command, as seen inside."""
HOME = "/home/user"
COMMAND = "/run/sandbox/command"
"""The text of the running command, which the shell reads; read-only for commands."""
EXCLUDES = "/run/sandbox/excludes"
"""What git is not to see while a patch is taken, if there is such a file."""
COMMAND_LIMIT = 8 << 20
"""Longest command, in bytes."""
PATCH_BYTES = 64 << 20
"""Longest patch."""
NAMED_PRODUCTS = 10
"""Most products that are named with a patch they were left out of."""
LINKS = "/run/bin"
"""Where `python` is, for installations that only have `python3`."""
BASE = "/run/sandbox/base.git"
"""The layer's `.git`, out of reach of any change inside."""
SCRATCH = "/run/sandbox/scratch"
"""Where git, and only git, sees its private files while a patch is taken."""
CLOSED = "/run/sandbox/closed"
"""A directory that no command can enter or open, for mounts that process 1 keeps to itself."""
PROCESSES = f"{CLOSED}/proc"
"""A /proc that shows process 1 every process; in the commands' own, one that runs what it cannot
read is hidden, from process 1 too where it is an ordinary user outside."""

COPIED = "the kernel refuses an overlay on this layer: each sandbox holds its own copy of the tree"
"""The backend's notice when sandboxes cannot share the layer."""


class Spec(NamedTuple):
    """One backend's settings."""

    tree: str
    commit: str
    workdir: str
    prefixes: list[str]
    """Directories mounted read-only at their own path, beside the system's."""
    python: str
    """The interpreter commands find as `python`."""
    environment: dict[str, str]
    privileged: bool
    """Whether the spawner is root, so that commands get a user of their own."""
    user: int
    """The user and group number of commands as the host sees it (privileged only)."""
    shared: bool
    """Whether to share the layer by an overlay, if the kernel lets us."""
    memory_bytes: int
    processes: int
    disk_bytes: int
    files: int
    output_bytes: int
    read_bytes: int
    patch_seconds: float
    inside_user: int = USER
    """User and group number of every command, as seen inside."""
    hidden: tuple[str, ...] = ()
    """Directories of the host that are seen empty."""
    products: Sequence[Sequence[object]] = ()
    """The fields of each `products.Rule`: what is left out of a patch."""
