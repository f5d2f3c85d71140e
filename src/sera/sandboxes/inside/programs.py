"""A program run apart from the shell: its own session, its own output, nothing left of it afterwards."""

import os
import signal
import time
from collections.abc import Callable, Collection
from typing import NamedTuple

from . import processes
from .output import Output
from .spec import Spec
from .watch import Watch

_LEFTOVER_SECONDS = 2.0


class Program(NamedTuple):
    """What to run, and how."""

    argv: list[str]
    environment: dict[str, str]
    directory: str
    seconds: float
    output_bytes: int
    keep: Collection[int] = ()
    """Capabilities it runs with: none, but for git taking a patch."""
    group: int | None = None
    """Its group number, if not the command's, which it has besides."""
    prepare: Callable[[], None] | None = None
    """Called in the child while it still has process 1's rights."""


class Outcome(NamedTuple):
    """What it did."""

    output: bytes
    dropped: int
    exit_code: int | None
    timed_out: bool
    limit: str


def run(program: Program, spec: Spec, watch: Watch, shell: int) -> Outcome:
    """Run to the end or to its time; every process it started is dead when this returns."""
    before = processes.alive() | {shell: 1}
    watch.begin()
    reader, writer = processes.make_pipe(spec)
    pid = os.fork()
    if pid == 0:
        _become(program, spec, writer)
    os.close(writer)
    os.set_blocking(reader, False)
    watch.follow(pid)
    output = Output(program.output_bytes)
    try:
        timed_out = not _until_ended(pid, reader, output, watch, time.monotonic() + program.seconds)
        if timed_out:
            processes.send(
                pid, signal.SIGKILL
            )  # by number: it is not to be seen before it has become the program
        processes.kill_new(before)
        if timed_out:
            _until_ended(pid, reader, output, watch, time.monotonic() + _LEFTOVER_SECONDS)
        output.drain(reader)
        status = watch.ended(pid)
    finally:
        watch.forget(pid)
        os.close(reader)
    exit_code = None if timed_out or status is None else exit_code_of(status)
    return Outcome(*output.result(), exit_code, timed_out, "memory" if watch.over_memory else "")


def exit_code_of(status: int) -> int:
    """A wait status as the shell would give it in `$?`."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _until_ended(pid: int, reader: int, output: Output, watch: Watch, until: float) -> bool:
    descriptors = [reader]
    while watch.ended(pid) is None:
        if time.monotonic() >= until:
            return False
        if reader in watch.wait(descriptors, until) and not output.take(reader):
            descriptors = []
    return True


def _become(program: Program, spec: Spec, writer: int) -> None:
    try:
        os.setsid()
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(writer, 1)
        os.dup2(writer, 2)
        if program.prepare:
            program.prepare()
        processes.become_command(spec, program.keep, program.group)
        os.chdir(program.directory)
        os.execvpe(program.argv[0], program.argv, program.environment)
    except FileNotFoundError as error:
        _refuse(127, f"{program.argv[0]}: {error.strerror}")
    except (OSError, ValueError, IndexError) as error:
        _refuse(126, f"{program.argv[:1]}: {error}")
    finally:
        os._exit(125)


def _refuse(code: int, message: str) -> None:
    os.write(2, message.encode(errors="replace") + b"\n")
    os._exit(code)
