"""Who holds what a sandbox leaves outside of this process: a container, a control group, a folder.

Each carries a *lease* in its name or label: the process that made it, told apart from a later one of the
same number by its start, and from one before a reboot by the boot. Whatever bears the lease of a process
that is gone can be removed, and nothing else may be.
"""

import os
from pathlib import Path
from typing import NamedTuple

_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Lease(NamedTuple):
    """One process of this machine, in the text form `boot-pid-start`."""

    boot: str
    """First eight digits of the boot's id."""
    pid: int
    start: int
    """Clock ticks from boot to the start of the process."""

    def __str__(self) -> str:
        return f"{self.boot}-{self.pid}-{self.start}"

    @property
    def held(self) -> bool:
        """Whether that process still lives."""
        return self.boot == _boot() and self.start == _start(self.pid)


def own_lease() -> Lease:
    """The lease of this process."""
    pid = os.getpid()
    start = _start(pid)
    assert start is not None
    return Lease(_boot(), pid, start)


def read_lease(text: str) -> Lease | None:
    """A lease from its text, or None if it is none: then it is not ours to remove."""
    boot, _, rest = text.partition("-")
    pid, _, start = rest.partition("-")
    if len(boot) != 8 or not pid.isdecimal() or not start.isdecimal():
        return None
    return Lease(boot, int(pid), int(start))


def _boot() -> str:
    return _BOOT.read_text("ascii")[:8]


def _start(pid: int) -> int | None:
    """When the process began; None if there is none, or only its remains."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])
