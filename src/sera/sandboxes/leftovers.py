"""What sandboxes of processes that were killed have left on this machine, and how each of it is removed.

Every finder yields what bears the lease of a process that is gone, and nothing else. What a living process
holds, what another machine or another pid namespace made, and what has no lease of ours is never touched.
"""

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sera.errors import SandboxError, boundary
from sera.leases import leftover_folders, read_lease
from sera.sandboxes.cgroups import leftover_groups, remove_group
from sera.sandboxes.containers.engine import KINDS, Engine
from sera.sandboxes.containers.toolbox import place_of_toolboxes


class Leftover(NamedTuple):
    """One thing to remove."""

    kind: str
    name: str
    remove: Callable[[], None]
    """Raises `SandboxError` if that cannot be."""


def leftovers(unasked: Callable[[str], None]) -> Iterator[Leftover]:
    """Everything found; `unasked` is told of an engine that does not answer."""
    yield from _containers(unasked)
    yield from _groups()
    yield from _folders()


def _containers(unasked: Callable[[str], None]) -> Iterator[Leftover]:
    for kind in KINDS:
        if shutil.which(kind) is None:
            continue
        engine = Engine(kind, kind)
        try:
            found = engine.containers()
        except SandboxError as error:
            unasked(str(error))
            continue
        for identifier, lease, name in found:
            if _is_gone(lease):
                yield Leftover(f"{kind} container", name, partial(engine.remove, identifier))


def _groups() -> Iterator[Leftover]:
    for path in leftover_groups():
        yield Leftover("control group", str(path), partial(_remove_group, path))


def _remove_group(path: Path) -> None:
    with boundary(SandboxError, f"cannot remove the control group {path}", OSError):
        remove_group(path)


def _folders() -> Iterator[Leftover]:
    for path in leftover_folders(place_of_toolboxes()):
        yield Leftover("folder", str(path), partial(_remove_folder, path))


def _remove_folder(path: Path) -> None:
    with boundary(SandboxError, f"cannot remove {path}", OSError):
        shutil.rmtree(path)


def _is_gone(text: str) -> bool:
    lease = read_lease(text)
    return lease is not None and not lease.held
