"""Process 1's waiting: whatever it waits for, it notices the host's hang-up, dead children and
memory. Every wait of process 1 goes through here, so that it never sleeps past any of them.

Memory is looked at only while something besides the idle shell is alive: a sandbox at rest never
wakes up. Where the sandbox has a control group, the kernel kills too, for memory that no process shows;
it counts those kills in a file of the group, which is read at both ends of a command.
"""

import os
import select
import signal
import time
from collections.abc import Collection

from . import processes

_BUSY_SECONDS = 0.05
_DAEMON_SECONDS = 0.25


class HostGone(Exception):
    """The host has closed its end: the sandbox is over."""


class Watch:
    """Waits on behalf of process 1; there is one."""

    def __init__(self, control: int, memory_bytes: int, kills: int = -1) -> None:
        """`kills`: descriptor of the group's file, -1 without a group."""
        self._control = control
        self._memory_bytes = memory_bytes
        self._kills = kills
        self._kills_before = b""
        self._killed = False
        self._ended: dict[int, int | None] = {}
        self._next_look = 0.0
        self._wake, wake_writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        # A handler for this signal only: any other with a handler could be sent to process 1 by a command.
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def begin(self) -> None:
        """A command starts: its memory is its own account."""
        self._killed = False
        self._kills_before = self._count_kills()
        self._next_look = time.monotonic() + _BUSY_SECONDS

    @property
    def over_memory(self) -> bool:
        """Whether processes were killed for their memory since `begin`."""
        return self._killed or self._count_kills() != self._kills_before

    def _count_kills(self) -> bytes:
        """The group's count of kills, as it stands in its file."""
        text = os.pread(self._kills, 4096, 0) if self._kills >= 0 else b""
        return text.partition(b"oom_kill ")[2].partition(b"\n")[0]

    def follow(self, pid: int) -> None:
        """Remember how the child `pid` ends, for `ended`."""
        self._ended[pid] = None

    def ended(self, pid: int) -> int | None:
        """The wait status of a followed child, or None while it lives."""
        return self._ended[pid]

    def forget(self, pid: int) -> None:
        """No longer of interest."""
        self._ended.pop(pid, None)

    def wait(self, descriptors: Collection[int], until: float) -> set[int]:
        """Sleep until a descriptor is readable or at its end, a child died, or `until` has come."""
        return self._wait(descriptors, until, _BUSY_SECONDS, select.POLLRDHUP)

    def wait_for_request(self, shell: int) -> None:
        """Sleep until the host says something, with an eye on the daemons that commands left."""
        while True:
            quiet = processes.alive().keys() <= {shell}
            until = float("inf") if quiet else self._next_look
            events = select.POLLRDHUP | select.POLLIN
            if self._control in self._wait((), until, _DAEMON_SECONDS, events):
                return

    def _wait(self, descriptors: Collection[int], until: float, period: float, events: int) -> set[int]:
        poll = select.poll()
        poll.register(self._control, events)
        poll.register(self._wake, select.POLLIN)
        for descriptor in descriptors:
            poll.register(descriptor, select.POLLIN)
        now = time.monotonic()
        end = until if until == float("inf") else min(until, max(self._next_look, now))
        happened = dict(poll.poll(None if end == float("inf") else max(0.0, end - now) * 1000))
        if happened.get(self._control, 0) & ~select.POLLIN:
            raise HostGone
        if happened.pop(self._wake, 0):
            self._reap()
        if end != float("inf") and time.monotonic() >= self._next_look:
            self._look_at_memory()
            self._next_look = time.monotonic() + period
        return set(happened)

    def _reap(self) -> None:
        while True:
            try:
                if len(os.read(self._wake, 4096)) < 4096:
                    break
            except BlockingIOError:
                break
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._ended:
                self._ended[pid] = status

    def _look_at_memory(self) -> None:
        rough = processes.resident()
        if sum(rough.values()) <= self._memory_bytes:
            return
        exact = {}
        for pid, size in rough.items():
            share = processes.proportional(pid)
            exact[pid] = size if share is None else share
        while sum(exact.values()) > self._memory_bytes:
            largest = max(exact, key=lambda pid: exact[pid])
            processes.send(largest, signal.SIGKILL)
            self._killed = True
            del exact[largest]
