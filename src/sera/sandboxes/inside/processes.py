"""The processes of one sandbox, as process 1 sees them: their rights, who is alive, how they die.

A command is stopped before it is killed: `kill(-1, SIGSTOP)` reaches every process at once, the
ones being born included, so that a fork bomb cannot outrun the list of whom to kill.
"""

import os
import resource
import signal
import time
from collections.abc import Collection, Iterable

from . import calls, kernel
from .spec import PROCESSES, Spec

_OPEN_FILES = 4096
_NICE = 5
_STANDING = 600
_DYING_SECONDS = 1.0
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
_PAGE = os.sysconf("SC_PAGE_SIZE")


# ── rights and limits ─────────────────────────────────────────────────────────────────────────────


def become_command(spec: Spec, keep: Iterable[int] = (), group: int | None = None) -> None:
    """In a fresh child: take on the user, the limits and the standing of a command.

    Memory is watched for the sandbox as a whole (`watch.py`). The limit on a process's private
    data is twice that: it stops what the watch would be too slow for, and is far enough away that
    a program is not refused memory it reserves but never touches.
    """
    limits = {
        resource.RLIMIT_NPROC: spec.processes + 1,  # without a user of its own, process 1 counts too
        resource.RLIMIT_DATA: 2 * spec.memory_bytes,
        resource.RLIMIT_FSIZE: spec.disk_bytes,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
    }
    for kind, wanted in limits.items():
        _, hard = resource.getrlimit(kind)
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (value, value))
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    os.nice(_NICE)
    for number in (*_IGNORED_BY_PYTHON, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    os.umask(0o022)
    _die_before_process_1()
    if spec.privileged:
        kernel.keep_capabilities_across_user_change(bool(keep))
        first = spec.inside_user if group is None else group
        os.setgroups([] if group is None else [spec.inside_user])
        os.setresgid(first, first, first)
        os.setresuid(spec.inside_user, spec.inside_user, spec.inside_user)
    kernel.set_capabilities(keep)
    calls.refuse_calls_to_commands()


def make_pipe(spec: Spec) -> tuple[int, int]:
    """A pipe for what commands print; theirs, so that they can also open it as `/dev/stdout`."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    if spec.privileged:
        os.fchown(writer, spec.inside_user, spec.inside_user)
    return reader, writer


def _die_before_process_1() -> None:
    """Have the kernel, when memory runs out, choose this one and what it starts before process 1.

    To an ordinary user the file is only its own while the process may be inspected. By whom is another
    matter: commands have none of the capabilities that this child still has, so they may not.
    """
    kernel.forbid_inspection(False)
    try:
        with open(f"{PROCESSES}/self/oom_score_adj", "w") as file:
            file.write(str(_STANDING))
    except OSError:
        pass  # stands lower already, by the host's own setting
    finally:
        kernel.forbid_inspection()


# ── who is alive ──────────────────────────────────────────────────────────────────────────────────


def alive() -> dict[int, int]:
    """Every living process but process 1, with its parent."""
    found = {}
    for name in os.listdir(PROCESSES):
        if not name.isdigit() or name == "1":
            continue
        try:
            with open(f"{PROCESSES}/{name}/stat", "rb", buffering=0) as stat:
                state, parent = stat.read(1024).rpartition(b") ")[2].split(None, 2)[:2]
        except (OSError, ValueError):
            continue
        if state not in b"ZX":
            found[int(name)] = int(parent)
    return found


def resident() -> dict[int, int]:
    """Resident bytes of every process but process 1; pages shared between them count for each."""
    found = {}
    for name in os.listdir(PROCESSES):
        if not name.isdigit() or name == "1":
            continue
        try:
            with open(f"{PROCESSES}/{name}/statm", "rb", buffering=0) as statm:
                found[int(name)] = int(statm.read(256).split()[1]) * _PAGE
        except (OSError, IndexError, ValueError):
            continue
    return found


def proportional(pid: int) -> int | None:
    """Resident bytes of a process, pages shared between processes counted in parts. Slow. None if
    it does not tell, because it runs a program that we may not read."""
    try:
        with open(f"{PROCESSES}/{pid}/smaps_rollup", "rb") as rollup:
            lines = [line for line in rollup if line.startswith(b"Pss:")]
    except PermissionError:
        return None
    except OSError:
        return 0
    return int(lines[0].split()[1]) * 1024 if lines else 0


# ── how they die ──────────────────────────────────────────────────────────────────────────────────


def send(pid: int, number: int) -> None:
    """Signal one process, or all but process 1 with -1; those already gone are no concern."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def kill_new(before: Collection[int], shell: int = 0) -> None:
    """Kill every process that is not in `before`, nor a later child of a daemon that is.

    What descends from the shell is its command's, and dies although the shell itself lives.
    """
    if alive().keys() <= set(before):
        return
    send(-1, signal.SIGSTOP)
    now = alive()
    doomed = {pid for pid in now if not _belongs(pid, now, before, shell)}
    for pid in doomed:
        send(pid, signal.SIGKILL)
    send(-1, signal.SIGCONT)
    deadline = time.monotonic() + _DYING_SECONDS
    while doomed & alive().keys() and time.monotonic() < deadline:
        time.sleep(0.001)


def _belongs(pid: int, now: dict[int, int], before: Collection[int], shell: int) -> bool:
    if pid in before:
        return True
    seen = set()
    while pid in now and pid not in seen:
        seen.add(pid)
        pid = now[pid]
        if pid in before:
            return pid != shell
    return False


def kill_all() -> None:
    """Kill every process but process 1 and wait until all are gone."""
    send(-1, signal.SIGKILL)
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        return
