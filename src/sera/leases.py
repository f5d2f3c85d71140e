"""Who holds what lies outside of this process and must not outlive it: containers, control groups, folders.

Each carries a *lease* in its name or label: the process that made it, told apart from a later one of the
same number by its start, from one before a reboot by the boot, and from one of another container by the
namespace its number counts in. Whatever bears the lease of a process that is gone can be removed, and nothing
else may be: what another machine or namespace holds (an engine's socket may be shared) cannot be judged here.
"""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_FOLDER = "sera-{kind}-{lease}-"
_FORM = re.compile(r"([0-9a-f]{8})-([0-9]+)-([0-9]+)-([0-9]+)")


class Lease(NamedTuple):
    """One process, in the text form `boot-namespace-pid-start`."""

    boot: str
    """First eight digits of the boot's id, another one on every machine."""
    namespace: int
    """The pid namespace, by its inode."""
    pid: int
    start: int
    """Clock ticks from boot to the start of the process."""

    def __str__(self) -> str:
        return f"{self.boot}-{self.namespace}-{self.pid}-{self.start}"

    @property
    def ours_to_judge(self) -> bool:
        """Whether that process would be seen from here, if it lived."""
        return (self.boot, self.namespace) == (_boot(), _namespace())

    @property
    def held(self) -> bool:
        """Whether that process still lives, or may live where we cannot see it."""
        return not self.ours_to_judge or self.start == _start(self.pid)


def own_lease() -> Lease:
    """The lease of this process."""
    pid = os.getpid()
    start = _start(pid)
    assert start is not None
    return Lease(_boot(), _namespace(), pid, start)


def read_lease(text: str) -> Lease | None:
    """A lease from its text, or None if it is none: then it is not ours to remove."""
    found = _FORM.fullmatch(text)
    return Lease(found[1], *map(int, found.groups()[1:])) if found else None


@contextmanager
def leased_folder(kind: str, place: Path | None = None) -> Iterator[Path]:
    """A folder for the time of the block, in `place` or among the temporary ones. `kind`, a word, says in its
    name what it is for."""
    prefix = _FOLDER.format(kind=kind, lease=own_lease())
    with tempfile.TemporaryDirectory(prefix=prefix, dir=place) as folder:
        yield Path(folder)


def leftover_folders(*places: Path) -> Iterator[Path]:
    """Every such folder whose process is gone, among the temporary ones and in `places`."""
    for place in (Path(tempfile.gettempdir()), *places):
        for path in place.glob(_FOLDER.format(kind="*", lease="*") + "*"):
            lease = read_lease(path.name.split("-", 2)[2].rpartition("-")[0])
            if lease and not lease.held:
                yield path


def _boot() -> str:
    return _BOOT.read_text("ascii")[:8]


def _namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino


def _start(pid: int) -> int | None:
    """When the process began; None if there is none, or only its remains."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])
