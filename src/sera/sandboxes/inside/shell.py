"""The persistent shell: one bash that is given a command at a time and outlives what they do.

Process 1 writes the command to a file and has bash read that file with `.`, which makes bash take
it as a script, quiet about jobs and prompts, while the shell itself is an interactive one: an
error or an interrupt that would end a script brings it back to its input instead. The line after
that reports `$?` on a pipe of its own. Redirections on the `.` give each command an empty stdin,
the output pipe, and neither of the private descriptors; bash undoes them afterwards, whatever
`exec` did in between.

A command that outlives its time is interrupted as from a keyboard, then killed with all it
started; daemons left by earlier commands stay. A shell that does not come back within
`_RECOVERY_SECONDS`, or that has ended, is replaced by a new one in the last known directory. A
command can disturb the report (by redefining `builtin`, or by reading bash's input): it then times
out and the shell is replaced.

Output is read only while a command runs. A daemon that goes on writing fills the pipe and waits; what
it wrote comes with the next command's output.
"""

import os
import re
import signal
import time

from . import processes
from .output import Output
from .programs import Outcome, exit_code_of
from .spec import COMMAND, Spec
from .watch import Watch

_STATUS, _OUTPUT = 60, 61  # bash keeps its own copies of descriptors from 10 up; these are out of their way
_ARGV = ["bash", "--norc", "--noprofile", "--noediting", "-i"]
_SETTINGS = "PS1= PS2=; set +m +H +o history; shopt -u checkwinsize\n"
_SOURCE = f"\\builtin . {COMMAND} </dev/null >&{_OUTPUT} 2>&{_OUTPUT} {_STATUS}>&- {_OUTPUT}>&-\n"
_REPORT = re.compile(rb"^(\d+) (\d+)$", re.MULTILINE)
_INTERRUPT_SECONDS = 0.05
_RECOVERY_SECONDS = 2.0


class Shell:
    """A bash that is always there, though not always the same one."""

    def __init__(self, spec: Spec, watch: Watch, messages: int) -> None:
        self._spec = spec
        self._watch = watch
        self._messages = messages
        self._directory = spec.workdir
        self._sequence = 0
        self._output, self._output_writer = processes.make_pipe(spec)
        os.set_blocking(self._output, False)
        self._start()

    # ── one bash ──────────────────────────────────────────────────────────────────────────────────

    def _start(self) -> None:
        commands, self._input = os.pipe2(os.O_CLOEXEC)
        self._status, status = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._status, False)
        os.set_blocking(self._input, False)
        self._reports = b""
        self._last = 0
        self.pid = os.fork()
        if self.pid == 0:
            self._become(commands, status)
        os.close(commands)
        os.close(status)
        self._watch.follow(self.pid)
        self._feed(_SETTINGS)

    def _become(self, commands: int, status: int) -> None:
        try:
            os.setsid()
            null = os.open("/dev/null", os.O_WRONLY)
            wanted = ((commands, 0), (null, 1), (null, 2), (status, _STATUS), (self._output_writer, _OUTPUT))
            for source, target in wanted:
                os.dup2(source, target)
            processes.become_command(self._spec)
            try:
                os.chdir(self._directory)
            except OSError:
                os.chdir(self._spec.workdir)
            os.execve("/bin/bash", _ARGV, self._spec.environment)
        finally:
            os._exit(126)

    def _replace(self) -> None:
        processes.send(self.pid, signal.SIGKILL)
        deadline = time.monotonic() + _RECOVERY_SECONDS
        while self._watch.ended(self.pid) is None and time.monotonic() < deadline:
            self._watch.wait((), deadline)
        self._watch.forget(self.pid)
        os.close(self._input)
        os.close(self._status)
        self._start()

    def _settle(self, output: Output) -> None:
        """Wait until a new bash is up: only then does it say where it is."""
        self._sequence += 1
        self._feed(self._report())
        self._until_reported(output, time.monotonic() + _RECOVERY_SECONDS)

    def _feed(self, text: str) -> None:
        try:
            os.write(self._input, text.encode())
        except (BlockingIOError, BrokenPipeError):
            return  # seen as a report that does not come

    def _report(self) -> str:
        return f"\\builtin printf '%d %d\\n' {self._sequence} \"$?\" >&{_STATUS}\n"

    # ── one command ───────────────────────────────────────────────────────────────────────────────

    def run(self, command: bytes, seconds: float) -> tuple[Outcome, str]:
        """What the command did, and if the shell had to be replaced the directory of the new one."""
        before = processes.alive() | {self.pid: 1}  # a bash not yet up is not to be seen
        self._watch.begin()
        self._write_command(command)
        self._sequence += 1
        restore = f"(exit {self._last}) || " if self._last else ""
        self._feed(restore + _SOURCE + self._report())
        output = Output(self._spec.output_bytes)
        exit_code = self._until_reported(output, time.monotonic() + seconds)
        timed_out = exit_code is None and self._alive()
        if timed_out:
            self._interrupt(before, output)
        status = self._watch.ended(self.pid)
        replaced = self._last < 0 or status is not None
        if status is not None and not timed_out:
            exit_code = None if os.WIFSIGNALED(status) and self._watch.over_memory else exit_code_of(status)
        output.drain(self._output)
        limit = "memory" if self._watch.over_memory else ""
        if replaced:
            self._replace()
            self._settle(output)
        self._remember_directory()
        directory = os.fsencode(self._directory).decode(errors="replace") if replaced else ""
        return Outcome(*output.result(), exit_code, timed_out, limit), directory

    def _write_command(self, command: bytes) -> None:
        flags = os.O_WRONLY | os.O_TRUNC
        descriptor = os.open(os.path.basename(COMMAND), flags, dir_fd=self._messages)
        try:
            rest = memoryview(command)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        finally:
            os.close(descriptor)

    def _alive(self) -> bool:
        return self._watch.ended(self.pid) is None

    def _until_reported(self, output: Output, until: float) -> int | None:
        """The `$?` of the current sequence; None when time is up or the shell has ended."""
        while self._alive():
            ready = self._watch.wait((self._output, self._status), until)
            if self._output in ready:
                output.take(self._output)
            if self._status in ready and (code := self._read_report()) is not None:
                self._last = code
                return code
            if time.monotonic() >= until:
                return None
        return None

    def _read_report(self) -> int | None:
        try:
            self._reports = (self._reports + os.read(self._status, 4096))[-4096:]
        except BlockingIOError:
            return None
        for sequence, code in _REPORT.findall(self._reports):
            if int(sequence) == self._sequence:
                self._reports = b""
                return int(code) & 0xFF
        return None

    def _interrupt(self, before: dict[int, int], output: Output) -> None:
        """Bring the shell back; `_last` is negative afterwards if that failed."""
        self._last = -1
        deadline = time.monotonic() + _RECOVERY_SECONDS
        gently = True
        while self._last < 0 and self._alive() and time.monotonic() < deadline:
            if gently:
                self._interrupt_together(before)
            else:
                processes.kill_new(before, self.pid)
            self._sequence += 1
            self._feed(self._report())
            self._until_reported(output, min(deadline, time.monotonic() + _INTERRUPT_SECONDS))
            gently = not gently
        processes.kill_new(before, self.pid)

    def _interrupt_together(self, before: dict[int, int]) -> None:
        """Interrupt the shell and what it runs at one moment, as a terminal would.

        bash gives up a loop only if the command it waits for died of the interrupt too, so it must
        not get to the next one in between.
        """
        processes.send(self.pid, signal.SIGSTOP)
        for pid in processes.alive().keys() - before.keys():
            processes.send(pid, signal.SIGINT)
        processes.send(self.pid, signal.SIGINT)
        processes.send(self.pid, signal.SIGCONT)

    def _remember_directory(self) -> None:
        try:
            self._directory = os.readlink(f"/proc/{self.pid}/cwd")
        except OSError:
            return
