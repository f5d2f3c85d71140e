"""Process 1 of a sandbox: answers the host's requests, one at a time, until the host hangs up.

It keeps its rights over the sandbox's own namespaces, and everything it starts has none. It cannot
be signalled from inside (the kernel drops what process 1 has no handler for), nor traced, nor its
memory read. When it ends, the kernel ends everything else in the sandbox.
"""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from . import calls, files, kernel, patch, processes, products, programs, root, state, wire
from .shell import Shell
from .spec import COMMAND_LIMIT, PROCESSES, Spec
from .views import Changes, Mounted, View
from .watch import HostGone, Watch

_SETTLE_SECONDS = 5.0
_MOST = {
    "user/max_user_namespaces": "0",  # in one inside this one, commands would have rights again
    "user/max_inotify_instances": "16",  # of 128 that the user who runs the host process has in all
    "user/max_inotify_watches": "8192",
    "kernel/msgmni": "64",  # queues and semaphores are the kernel's own memory
    "kernel/sem": "1000 32000 100 64",
}
"""What one sandbox may have of what the kernel counts by user or by IPC namespace."""


class Walls(NamedTuple):
    """The sandbox around process 1, as far as its requests need it."""

    messages: int
    """Descriptor of the directory that commands see, read-only, as /run/sandbox."""
    changes: Changes
    view: View
    kills: int
    """Descriptor of the file in which the kernel counts what it killed for memory; -1: there is none."""


class Init:
    """The requests, by name."""

    def __init__(self, connection: wire.Channel, spec: Spec, walls: Walls) -> None:
        self._connection = connection
        self._spec = spec
        self._walls = walls
        self._watch = Watch(connection.fileno(), spec.memory_bytes, walls.kills)
        self._shell = Shell(spec, self._watch, walls.messages)
        self._known = state.Known()
        self._products = products.Products(spec.products)
        self._written: set[str] = set()

    def serve(self) -> None:
        """Answer until the host hangs up."""
        limit = max(self._spec.read_bytes, COMMAND_LIMIT)
        while True:
            self._watch.wait_for_request(self._shell.pid)
            request, body = wire.receive(self._connection, limit)
            header, content = self._answer(request, body)
            self._connection.sendall(wire.pack(header, content))

    def _answer(self, request: dict[str, Any], body: bytes) -> files.Reply:
        operations = {
            "run": self._run,
            "execute": self._execute,
            "read": self._read,
            "write": self._write,
            "list": self._list,
            "patch": self._patch,
            "state": self._state,
        }
        try:
            return operations[request["op"]](request, body)
        except patch.PatchFailed as error:
            return {"error": str(error)}, b""
        except OSError as error:
            return {"error": f"{request['op']}: {error}"}, b""

    def _run(self, request: dict[str, Any], body: bytes) -> files.Reply:
        outcome, directory = self._shell.run(body, request["seconds"])
        header, output = _report(outcome)
        return {**header, "restarted": directory}, output

    def _execute(self, request: dict[str, Any], _: bytes) -> files.Reply:
        program = programs.Program(
            argv=request["argv"],
            environment=self._spec.environment | request["env"],
            directory=self._spec.workdir,
            seconds=request["seconds"],
            output_bytes=self._spec.output_bytes,
        )
        return _report(programs.run(program, self._spec, self._watch, self._shell.pid))

    def _read(self, request: dict[str, Any], _: bytes) -> files.Reply:
        return files.serve(lambda: ({}, files.read(request["path"], self._spec)), self._spec, self._watch)

    def _write(self, request: dict[str, Any], body: bytes) -> files.Reply:
        def operation() -> files.Reply:
            return {"written": files.write(request["path"], body, self._spec.workdir)}, b""

        header, _ = files.serve(operation, self._spec, self._watch)
        if written := header.pop("written", ""):
            self._written.add(written)
        return header, b""

    def _list(self, request: dict[str, Any], _: bytes) -> files.Reply:
        def operation() -> files.Reply:
            return {}, json.dumps(files.listing(request["path"], request["depth"])).encode()

        return files.serve(operation, self._spec, self._watch)

    def _patch(self, _: dict[str, Any], __: bytes) -> files.Reply:
        walls = self._walls
        taking = patch.Taking(
            self._spec, walls.view, self._watch, self._shell.pid, self._products, self._written
        )
        return patch.take(taking, walls.changes)

    def _state(self, request: dict[str, Any], _: bytes) -> files.Reply:
        """In the form of the digest `like`, if that is one of before."""
        changes, like = self._walls.changes, request["like"]
        before = like and not like.startswith(state.FORM)
        judge = None if before else products.Judge(self._products, self._written)
        if changes.whole:
            header, body = files.serve(
                lambda: ({}, self._known.look(changes, judge)), self._spec, self._watch
            )
            return header, body if "errno" in header else self._known.learn(body)
        try:
            return {}, state.digest(changes, state.QUICK, judge=judge).encode()
        except state.TooMuch:
            return files.serve(
                lambda: ({}, state.digest(changes, judge=judge).encode()), self._spec, self._watch
            )


def _report(outcome: programs.Outcome) -> files.Reply:
    header = {
        "exit_code": outcome.exit_code,
        "dropped": outcome.dropped,
        "timed_out": outcome.timed_out,
        "limit": outcome.limit,
    }
    return header, outcome.output


def main(
    connection: socket.socket, spec: Spec, copied: bool, status: int, spawner: int, kills: int
) -> NoReturn:
    """Be process 1 of new namespaces. `status` is a descriptor of this process's status in the host's
    /proc; `kills` as in `Walls`."""

    def build() -> Walls:
        built = root.build(spec, copied)
        _isolate(spec)
        _follow_spawner(status, spawner)
        return Walls(built.messages, Changes(built.store, "changed", whole=copied), Mounted(), kills)

    live(connection, spec, build)


def live(connection: wire.Channel, spec: Spec, build: Callable[[], Walls]) -> NoReturn:
    """Be process 1: put up the walls, say so, answer until the host hangs up, take everything along."""
    try:
        init = Init(connection, spec, build())
        connection.sendall(wire.pack({"ready": True}))
        init.serve()
    except (wire.Closed, HostGone, ConnectionError):
        pass
    except OSError as error:
        connection.sendall(wire.pack({"error": str(error)}))
    except Exception:  # noqa: BLE001  (a bug of ours: shown before this process ends, which nobody else could)
        sys.excepthook(*sys.exc_info())
    finally:
        processes.kill_all()
        os._exit(0)


def _isolate(spec: Spec) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    socket.sethostname("sandbox")
    kernel.raise_loopback()
    kernel.hide_arguments(b"sandbox")
    kernel.forbid_new_privileges()
    kernel.drop_bounding_set(keep=Mounted.rights)
    pages = str(spec.memory_bytes // os.sysconf("SC_PAGE_SIZE"))
    for name, most in {**_MOST, "kernel/shmall": pages}.items():
        _limit(name, most)
    calls.refuse_calls()
    kernel.forbid_inspection()


def _limit(name: str, most: str) -> None:
    try:
        with open(f"{PROCESSES}/sys/{name}", "w") as limit:
            limit.write(most)
    except FileNotFoundError:
        return  # a kernel without that kind
    except PermissionError:
        if not name.startswith("kernel/"):  # which a kernel before 5.19 leaves to root alone
            raise


def _follow_spawner(status: int, spawner: int) -> None:
    """Die with the spawner, once the process in between is gone and the spawner is the parent."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while _parent(status) != spawner and time.monotonic() < deadline:
        time.sleep(0.0002)
    kernel.die_with_parent(signal.SIGKILL)
    if _parent(status) != spawner:
        os._exit(0)
    os.close(status)


def _parent(status: int) -> int:
    text = os.pread(status, 4096, 0)
    return int(text.partition(b"\nPPid:")[2].split(None, 1)[0])
