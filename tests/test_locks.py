"""Locks, with the kernel's and on a file system that has none."""

import errno
import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sera.errors import RunError
from sera.leases import own_lease
from sera.locks import is_locked, locked

_HOLD = """
import errno, fcntl, sys, time
from pathlib import Path
from sera.errors import RunError
from sera.locks import locked
def flock(*a): raise OSError({number}, "no locks here")
if {number}: fcntl.flock = flock
with locked(Path({file!r}), RunError, "busy"):
    print("held", flush=True)
    time.sleep(60)
"""
WITHOUT = [errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS]


def hold(file: Path, number: int) -> subprocess.Popen[str]:
    """Another process that holds the lock; `number` is the error of its flock, 0 for a real one."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD.format(file=str(file), number=number)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.fixture(params=[0, *WITHOUT], ids=lambda number: errno.errorcode.get(number, "flock"))
def number(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The error that flock ends with on this file system; 0: it works."""

    def refuse(*_: object) -> None:
        raise OSError(request.param, os.strerror(request.param))

    if request.param:
        monkeypatch.setattr(fcntl, "flock", refuse)
    return request.param


def test_one_at_a_time_and_free_after_a_kill(tmp_path: Path, number: int) -> None:
    file = tmp_path / "lock"
    assert not is_locked(file)
    with hold(file, number) as other:
        try:
            assert is_locked(file)
            with pytest.raises(RunError, match="busy: wait"), locked(file, RunError, "busy", "wait"):
                pass
        finally:
            other.kill()
    assert not is_locked(file)
    with locked(file, RunError, "busy"):
        assert is_locked(file)
        with pytest.raises(RunError), locked(file, RunError, "busy"):
            pass
    assert not is_locked(file)
    assert [one.name for one in tmp_path.iterdir()] == ["lock"]


def test_one_that_waits_gets_it(tmp_path: Path, number: int) -> None:
    file = tmp_path / "lock"
    with hold(file, number) as other:
        threading.Timer(0.5, other.kill).start()
        began = time.monotonic()
        with locked(file, RunError, "busy", wait=True):
            assert 0.3 < time.monotonic() - began < 10


def test_never_two_at_once_where_there_is_no_flock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads, each with a mark of its own, come at the same moment and take turns."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    inside, most, done = 0, 0, 0

    def work() -> None:
        nonlocal inside, most, done
        with locked(tmp_path / "lock", RunError, "busy", wait=True):
            inside += 1
            most = max(most, inside)
            time.sleep(0.01)
            inside -= 1
            done += 1

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (most, done) == (1, 6)


def test_a_mark_of_another_machine_is_named_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    mark = tmp_path / f"lock.held-{own_lease()._replace(boot='00000000')}-0"
    mark.touch()
    with pytest.raises(RunError, match=f"another machine.*remove {mark}"):
        with locked(tmp_path / "lock", RunError, "busy"):
            pass
    assert mark.exists()


def test_looking_needs_no_rights(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "gone" / "lock")
    assert not is_locked(tmp_path)
