"""The spawner: one process per backend, which forks one sandbox for each request and keeps no state.

It is small, has everything imported, and is the parent of every process 1 of the backend. It
answers on a socket of packets: the first packet is the settings, answered by what this machine
offers; each later one carries a descriptor, the socket of a new process 1. It ends when the host
hangs up or dies, and the sandboxes with it.

As root it gives commands a user of their own, because the kernel exempts root from the limit on
processes. The layer is then shown to them as theirs through an id-mapped mount, untouched on disk.
"""

import gc
import json
import os
import signal
import socket
from collections.abc import Callable, Collection
from typing import Any, NoReturn

from . import calls, init, kernel, root, wire
from .spec import COPIED, USER, Spec

_SETTINGS_BYTES = 1 << 17
_GROUP_BYTES = 1 << 14
_STANDING = 300
"""How readily the kernel ends process 1 when memory runs out: before the host, after any command."""
_NAMESPACES = (
    kernel.CLONE_NEWNS
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNET
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUTS
    | kernel.CLONE_NEWCGROUP
)


def main(descriptor: int) -> None:
    """Serve on the inherited socket until its other end is closed."""
    kernel.die_with_parent(signal.SIGKILL)
    os.set_inheritable(descriptor, False)
    control = socket.socket(fileno=descriptor)
    settings = control.recv(_SETTINGS_BYTES)
    if not settings:
        return
    spec = Spec(**json.loads(settings))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's interrupt is the host's to handle
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    kernel.adopt_orphans()
    kernel.leave_session_keyring()
    copied = not spec.shared
    try:
        if spec.privileged:
            _own_layer(spec)
        copied = not _probe(spec) or copied
        answer: dict[str, Any] = {"notice": COPIED if copied else ""}
    except OSError as error:
        answer = {"error": str(error), "errno": error.errno}
    try:
        control.send(json.dumps(answer).encode())
    except BrokenPipeError:
        return  # interrupted before the first sandbox
    calls.prepare()
    gc.collect()
    gc.freeze()
    gc.disable()
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, _GROUP_BYTES, 1)
        if not message:
            return
        for received in descriptors:
            os.set_inheritable(received, False)  # or every command would hold the host's socket
            _spawn(spec, copied, control, socket.socket(fileno=received), json.loads(message))


def _spawn(
    spec: Spec, copied: bool, control: socket.socket, connection: socket.socket, group: list[str]
) -> None:
    spawner = os.getpid()

    def be_process_1() -> NoReturn:
        control.close()
        status = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
        init.main(connection, spec, copied, status, spawner, _open_kills(group))

    try:
        _in_namespaces(spec, be_process_1, lambda error: _tell(connection, error), group)
    except OSError as error:
        _tell(connection, error)
    finally:
        connection.close()


def _tell(connection: socket.socket, error: OSError) -> None:
    try:
        connection.sendall(wire.pack({"error": str(error), "errno": error.errno}))
    except OSError:
        return


def _in_namespaces(
    spec: Spec,
    body: Callable[[], NoReturn],
    failed: Callable[[OSError], None],
    group: Collection[str] = (),
) -> None:
    """Run `body` as process 1 of new namespaces; returns when its user namespace has its map."""
    unshared, tell_unshared = os.pipe2(os.O_CLOEXEC)
    mapped, tell_mapped = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(unshared)
            os.close(tell_mapped)
            _join(group)  # before the namespaces, so that the group is the root of its own
            _enter_namespaces(spec, tell_unshared, mapped)
            if os.fork() == 0:
                body()
        except OSError as error:
            failed(error)
        finally:
            os._exit(0)
    os.close(tell_unshared)
    os.close(mapped)
    try:
        if os.read(unshared, 1) and spec.privileged:
            _write_maps(pid, f"0 0 1\n{USER} {spec.user} 1\n")
    finally:
        os.close(unshared)
        os.close(tell_mapped)


def _enter_namespaces(spec: Spec, tell_unshared: int, mapped: int) -> None:
    user, group = os.getuid(), os.getgid()
    _stand_behind_the_host()
    kernel.unshare(kernel.CLONE_NEWUSER)
    if not spec.privileged:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{USER} {user} 1\n")
        _write("/proc/self/gid_map", f"{USER} {group} 1\n")
    os.write(tell_unshared, b"1")
    os.read(mapped, 1)  # its end means that the maps are written
    kernel.unshare(_NAMESPACES)
    if spec.privileged:
        os.setgroups([])


def _stand_behind_the_host() -> None:
    try:
        _write("/proc/self/oom_score_adj", str(_STANDING))
    except OSError:
        return


def _join(group: Collection[str]) -> None:
    """Enter the directories of a control group. In a hierarchy of version 1, moving a single thread
    spares the kernel a lock that stops every fork of the machine."""
    for directory in group:
        tasks = f"{directory}/tasks"
        _write(tasks if os.path.exists(tasks) else f"{directory}/cgroup.procs", "0")


def _open_kills(group: Collection[str]) -> int:
    """The file in which the kernel counts its kills for the group's memory, by either version's name."""
    for directory in group:
        for name in ("memory.events", "memory.oom_control"):
            try:
                return os.open(f"{directory}/{name}", os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
    return -1


def _write_maps(pid: int, text: str) -> None:
    _write(f"/proc/{pid}/uid_map", text)
    _write(f"/proc/{pid}/gid_map", text)


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


# ── what this machine offers ──────────────────────────────────────────────────────────────────────


def _probe(spec: Spec) -> bool:
    """Whether sandboxes can share the layer; raises `OSError` if none can be made at all."""
    reader, writer = os.pipe2(os.O_CLOEXEC)

    def answer() -> NoReturn:
        try:
            os.write(writer, b"1" if root.overlay_works(spec) else b"0")
        except OSError as error:
            os.write(writer, f"{error.errno} {error.strerror}".encode())
        os._exit(0)

    def failed(error: OSError) -> None:
        os.write(writer, f"{error.errno} {error.strerror}".encode())

    _in_namespaces(spec, answer, failed)
    os.close(writer)
    with open(reader, "rb") as result:
        text = result.read().decode()
    if text in ("0", "1"):
        return text == "1"
    number, _, message = text.partition(" ")
    raise OSError(int(number or 5), message or "the probe did not answer")


def _own_layer(spec: Spec) -> None:
    """Cover the layer, in a mount namespace of the spawner's, with a view in which it is the commands'."""
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    owner = os.stat(spec.tree)
    if owner.st_uid == spec.user:
        return
    try:
        namespace = _user_namespace(f"{owner.st_uid} {spec.user} 1\n", f"{owner.st_gid} {spec.user} 1\n")
        view = kernel.clone_tree(spec.tree, 0)
        kernel.translate_owners(view, namespace)
        kernel.attach(view, spec.tree)
        os.close(namespace)
    except OSError:
        return  # not every file system can: the probe will see it and the tree be copied


def _user_namespace(users: str, groups: str) -> int:
    unshared, tell_unshared = os.pipe2(os.O_CLOEXEC)
    finished, tell_finished = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        os.close(tell_finished)
        kernel.unshare(kernel.CLONE_NEWUSER)
        os.write(tell_unshared, b"1")
        os.read(finished, 1)
        os._exit(0)
    os.close(tell_unshared)
    os.close(finished)
    try:
        os.read(unshared, 1)
        _write(f"/proc/{pid}/uid_map", users)
        _write(f"/proc/{pid}/gid_map", groups)
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(unshared)
        os.close(tell_finished)
