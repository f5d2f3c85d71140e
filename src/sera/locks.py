"""Locks between processes: one holds a file, others see that it does. Freed however the process ends.

The kernel's `flock` where the file system has it. Where it has none (some network and FUSE mounts say ENOLCK,
ENOTSUP or the like), marks beside the file stand for it, each named by the lease of the process that made it
(`leases`): whoever wants the lock makes one, looks for others, and takes his own away again if there is one
whose process lives. Two that come at the same moment may both go away, and never both stay. What a dead
process has left is removed; what one of another machine has left cannot be judged from here, and is named.
"""

import errno
import fcntl
import itertools
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from sera.errors import SeraError, boundary
from sera.leases import own_lease, read_lease

_NO_FLOCK = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
_PATIENCE = (0.02, 0.1, 0.3)
"""Seconds between the tries to lock: `is_locked` holds a lock for an instant."""
_LOOK_AGAIN = 0.5
"""Seconds between two tries of one that waits, where the kernel cannot wake it."""
_LONGEST_WAIT = 3600.0
"""Seconds for which one that waits puts up with a mark that it cannot judge."""
_BESIDE = "{file}.held-{lease}-{number}"
_numbers = itertools.count()


class _Held(Exception):
    """Somebody else has the lock. The text says what to do if that cannot be judged; else it is empty."""


@contextmanager
def locked(
    file: Path, error: type[SeraError], busy: str, cure: str = "", wait: bool = False
) -> Iterator[None]:
    """Hold the lock `file`, which is made if it is missing. If another process has it, `error` says after
    half a second what it is at, `busy`, and what to do, `cure`; unless this one is to `wait`."""
    with ExitStack() as held:
        try:
            with boundary(error, f"cannot lock {file}"):
                held.enter_context(_held(file, wait))
        except _Held as other:
            raise error(f"{busy}: {str(other) or cure}") from None
        yield


def is_locked(file: Path) -> bool:
    """Whether somebody holds the lock. For those who only look: what cannot be found out is no."""
    try:
        with file.open("rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as problem:
        return problem.errno in _NO_FLOCK and any(_is_live(other) for other in _beside(file))
    return False


@contextmanager
def _held(file: Path, wait: bool) -> Iterator[None]:
    with file.open("ab") as opened:
        if _flocked(opened, wait):
            yield
            return
    with _held_beside(file, wait):
        yield


def _flocked(opened: IO[bytes], wait: bool) -> bool:
    """Take the kernel's lock; False if the file system has none."""
    for patience in (*_PATIENCE, None):
        try:
            fcntl.flock(opened, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if patience is None:
                raise _Held from None
            time.sleep(patience)
        except OSError as problem:
            if problem.errno in _NO_FLOCK:
                return False
            raise
    raise AssertionError("the loop above returns or raises")


@contextmanager
def _held_beside(file: Path, wait: bool) -> Iterator[None]:
    own = file.with_name(_BESIDE.format(file=file.name, lease=own_lease(), number=next(_numbers)))
    began = time.monotonic()
    for number in itertools.count():
        own.touch(exist_ok=False)
        try:
            other = _another(file, own)
            if other is None:
                yield
                return
        finally:
            own.unlink(missing_ok=True)
        foreign = not _is_ours_to_judge(other)
        if wait:
            if foreign and time.monotonic() - began > _LONGEST_WAIT:
                raise _Held(_of_elsewhere(other))
            pause = _LOOK_AGAIN
        elif number == len(_PATIENCE):
            raise _Held(_of_elsewhere(other) if foreign else "")
        else:
            pause = _PATIENCE[number]
        time.sleep(pause * random.uniform(0.5, 1.5))


def _of_elsewhere(mark: Path) -> str:
    return f"a process of another machine or container has marked it: if none is at work there, remove {mark}"


def _another(file: Path, own: Path) -> Path | None:
    """A mark of somebody who lives; those of the dead are removed."""
    for other in _beside(file):
        if other == own:
            continue
        if _is_live(other):
            return other
        other.unlink(missing_ok=True)
    return None


def _beside(file: Path) -> list[Path]:
    prefix = _BESIDE.partition("{lease}")[0].format(file=file.name)
    try:
        return [one for one in file.parent.iterdir() if one.name.startswith(prefix)]
    except OSError:
        return []


def _is_live(mark: Path) -> bool:
    lease = read_lease(_lease_of(mark))
    return lease is not None and lease.held


def _is_ours_to_judge(mark: Path) -> bool:
    lease = read_lease(_lease_of(mark))
    return lease is not None and lease.ours_to_judge


def _lease_of(mark: Path) -> str:
    return mark.name.rpartition(".held-")[2].rpartition("-")[0]
