"""Control groups: one a sandbox, for what rlimits and the watch inside cannot bound.

A group counts every page its processes caused, also those that no process has mapped (files in `memfd`
and in memory, System V segments, socket and pipe buffers, the kernel's own), all threads, and time on
the processors. It is made and removed on this side; the spawner puts process 1 into it before the
sandbox has namespaces, so that nothing inside can name or leave it.

Groups are made below the group this process is in, or the nearest one above it where that is allowed,
so that whatever bounds this process bounds its sandboxes too. Version 1 has one hierarchy for each
controller; version 2 has one in all, hands out controllers from a group without processes only, and lets
an ordinary user do so in what systemd has delegated to it. Where no group can be made the other limits
remain.
"""

import itertools
import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from sera.leases import own_lease, read_lease
from sera.sandboxes.contract import Limits

CONTROLLERS = ("memory", "pids", "cpu")
_PREFIX = "sera-"
_HOME = 0
"""Number of the group that this process itself moves to, where version 2 demands it."""
_SPARE_BYTES = 64 << 20
_FILE_BYTES = 1 << 10
"""What the kernel keeps in memory of a file, beside its content."""
_BOUNDS = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.max")
_SPARE_PROCESSES = 32
_PERIOD_US = 100_000
_SHARES, _WEIGHT = 1024, 100
"""Of the processors: as much as one process outside. Less would make every command wait on a busy machine."""
_numbers = itertools.count(_HOME + 1)
_ending: set[Path] = set()
"""Removed groups of this process that the kernel still counts someone in, from whichever backend."""


class Place(NamedTuple):
    """Where groups of this process can be made."""

    version: int
    """1, 2, or 0 for nowhere."""
    parents: dict[str, Path]
    """The directory to make them in, for each controller that can be had."""
    obstacle: str = ""
    """Why there is none, for a person."""


class Groups:
    """The groups of one backend's sandboxes."""

    def __init__(self, place: Place, limits: Limits, tree_bytes: int = 0) -> None:
        """`tree_bytes`: what a sandbox holds in memory of the tree itself, where it is a copy."""
        self._place = place
        self._bound = _bound(limits) + tree_bytes
        self._room = limits.memory_bytes + 2 * limits.disk_bytes
        self._settings = _settings(limits, self._bound)
        for parent in set(place.parents.values()):
            for leftover in _leftovers_in(parent):
                _try_remove(leftover)

    def create(self) -> list[Path]:
        """A new group: its directory in each hierarchy. `OSError` if the kernel refuses it."""
        _remove_ending()
        name = f"{_PREFIX}{own_lease()}-{next(_numbers)}"
        made: list[Path] = []
        try:
            for controller, parent in self._place.parents.items():
                path = parent / name
                if path not in made:
                    path.mkdir()
                    made.append(path)
                for file, value in self._settings[controller]:
                    _set(path / file, value)
        except OSError:
            self.remove(made)
            raise
        return made

    def remove(self, directories: Iterable[Path]) -> None:
        """Remove a group whose processes are ending; as long as the kernel still counts one, it is tried
        again with each further call, that of another backend too: one may be cancelled while it closes."""
        _ending.update(directories)
        _remove_ending()

    @contextmanager
    def widened(self, group: Collection[Path]) -> Iterator[None]:
        """More memory for a while, for our own work inside while commands stand still: with none left, the
        kernel would end process 1."""
        self._set_bound(group, self._bound + self._room)
        try:
            yield
        finally:
            self._set_bound(group, self._bound)

    def _set_bound(self, group: Collection[Path], most: int) -> None:
        """Version 1 has two bounds, of which the first must not pass the second on the way."""
        for name in reversed(_BOUNDS) if most > self._bound else _BOUNDS:
            for directory in group:
                with suppress(OSError):  # not lowered below what is in use: the bound stays where it is
                    _set(directory / name, f"{most}")

    @property
    def ending(self) -> bool:
        """Whether a removed group is still there."""
        return bool(_ending)


def _bound(limits: Limits) -> int:
    """What a sandbox writes to its disk is memory of the group as well, so its bound lies above the sum of
    both limits: the watch keeps the first, the size of the file system the second, the group what escapes
    them."""
    return limits.memory_bytes + limits.disk_bytes + limits.files * _FILE_BYTES + _SPARE_BYTES


def _settings(limits: Limits, bound: int) -> dict[str, list[tuple[str, str]]]:
    """What to write where, by controller; files that a version does not have are passed over."""
    cpu = [("cpu.shares", f"{_SHARES}"), ("cpu.weight", f"{_WEIGHT}")]
    if limits.cpus is not None:
        quota = round(limits.cpus * _PERIOD_US)
        cpu += [("cpu.cfs_quota_us", f"{quota}"), ("cpu.max", f"{quota} {_PERIOD_US}")]
    return {
        "memory": [
            *((name, f"{bound}") for name in _BOUNDS),
            ("memory.swap.max", "0"),
        ],
        "pids": [("pids.max", f"{limits.processes + _SPARE_PROCESSES}")],
        "cpu": cpu,
    }


def _set(file: Path, value: str) -> None:
    """Write a setting, if this version has it: nothing is made in a hierarchy by opening it."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)


def _remove_ending() -> None:
    _ending.difference_update([path for path in tuple(_ending) if _try_remove(path)])


def _try_remove(path: Path) -> bool:
    try:
        path.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


# ── where ─────────────────────────────────────────────────────────────────────────────────────────


def find_place() -> Place:
    """Where this process can make groups. In version 2 it may have to move itself to one for that."""
    first: dict[str, Path] = {}
    second: dict[str, Path] = {}
    for mount in _mounts():
        if mount.version == 2:
            second = second or _delegated(mount)
        else:
            usable = os.access(mount.own, os.W_OK)
            first |= {name: mount.own for name in CONTROLLERS if name in mount.controllers and usable}
    if "memory" in first:
        return Place(1, first)
    if "memory" in second:
        return Place(2, second)
    return Place(0, {}, _obstacle())


def _obstacle() -> str:
    if not any(True for _ in _mounts()):
        return "no hierarchy of control groups is mounted"
    if os.geteuid() == 0:
        return "the hierarchy of control groups is read-only or hands out no memory controller"
    return "an ordinary user needs a group of its own: systemd-run --user --scope -p Delegate=yes sera …"


class _Mount(NamedTuple):
    version: int
    top: Path
    own: Path
    """The directory of the group this process is in."""
    controllers: frozenset[str]


def _mounts() -> Iterator[_Mount]:
    """The hierarchies that are mounted here."""
    memberships = [line.split(":", 2) for line in _lines("/proc/self/cgroup")]
    for line in _lines("/proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind not in ("cgroup", "cgroup2"):
            continue
        root, point = before.split(" ")[3:5]
        version = 2 if kind == "cgroup2" else 1
        for _, names, path in memberships:
            if (version == 2) == (not names) and set(filter(None, names.split(","))) <= set(
                options.split(",")
            ):
                own = Path(point) / _below(path, root)
                yield _Mount(version, Path(point), own, frozenset(names.split(",")))


def _below(path: str, root: str) -> str:
    """A group's path from where the hierarchy is mounted."""
    inside = path == root or path.startswith(root.rstrip("/") + "/")
    return path[len(root.rstrip("/")) :].lstrip("/") if inside else ""


def _delegated(mount: _Mount) -> dict[str, Path]:
    """The nearest group above this process that may hand out the memory controller to new ones."""
    above = [mount.own, *mount.own.parents]
    for directory in above[: above.index(mount.top) + 1]:
        offered = _words(directory / "cgroup.controllers")
        wanted = [name for name in CONTROLLERS if name in offered]
        if "memory" in wanted and not directory.name.startswith(_PREFIX) and _hands_out(directory, wanted):
            return dict.fromkeys(wanted, directory)
    return {}


def _hands_out(directory: Path, wanted: list[str]) -> bool:
    control = directory / "cgroup.subtree_control"
    if not all(os.access(path, os.W_OK) for path in (directory, directory / "cgroup.procs", control)):
        return False
    if set(wanted) <= _words(control):
        return True
    request = " ".join(f"+{name}" for name in wanted)
    try:
        if _words(directory / "cgroup.procs") == {str(os.getpid())}:
            home = directory / f"{_PREFIX}{own_lease()}-{_HOME}"
            home.mkdir(exist_ok=True)
            _set(home / "cgroup.procs", "0")
        _set(control, request)
    except OSError:
        return False  # other processes are in it, or an ancestor keeps the controller to itself
    return set(wanted) <= _words(control)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return []


def _words(path: Path) -> set[str]:
    return {word for line in _lines(str(path)) for word in line.split()}


# ── what is left after a crash ────────────────────────────────────────────────────────────────────


def leftover_groups() -> list[Path]:
    """Every group of ours whose process is gone, in all hierarchies; `remove_group` removes one."""
    found: list[Path] = []
    for top in dict.fromkeys(mount.top for mount in _mounts()):
        for folder, names, _ in os.walk(top):
            found += [Path(folder, name) for name in names if _is_leftover(name)]
    return found


def remove_group(path: Path) -> None:
    """Remove a leftover group. The kernel refuses, with `OSError`, as long as a process is in it."""
    path.rmdir()


def _leftovers_in(parent: Path) -> list[Path]:
    return [path for path in parent.iterdir() if _is_leftover(path.name)]


def _is_leftover(name: str) -> bool:
    text, _, number = name.removeprefix(_PREFIX).rpartition("-")
    lease = read_lease(text) if name.startswith(_PREFIX) and number.isdecimal() else None
    return lease is not None and not lease.held
