"""The processors that this process may use, and how its libraries wait for each other on them."""

import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def processors() -> int:
    """How many there is time for: those it is bound to, and no more than a container's quota is worth."""
    bound = len(os.sched_getaffinity(0))
    return max(1, min(bound, *_quotas(_own_group(), bound)))


def wait_without_spinning() -> None:
    """For libraries that compute with OpenMP and are loaded later, here and in processes started from here.

    By default their threads wait for each other in loops. Beside other work these take the processors from
    the thread that is waited for, and an answer or a step of training takes several times as long
    (benchmarks/waiting.py). A policy in `OMP_WAIT_POLICY` stays as it is.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def _own_group() -> Path:
    """Where the second version of control groups has this process; its root if that is not told."""
    try:
        lines = Path("/proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    own = next((line[3:] for line in lines if line.startswith("0::")), "/")
    return _CGROUPS / own.lstrip("/")


def _quotas(group: Path, bound: int) -> list[int]:
    """Of the group and of all that it is in, in processors, rounded up."""
    found = [bound]
    while group.is_relative_to(_CGROUPS):
        try:
            quota, period = (group / "cpu.max").read_text("ascii").split()
            found.append(-(-int(quota) // int(period)))
        except (OSError, ValueError):  # the root has none, and `max` is no number
            pass
        group = group.parent
    return found
