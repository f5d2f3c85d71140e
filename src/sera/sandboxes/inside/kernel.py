"""System calls that Python does not offer, each raising `OSError` with the call's name.

The mount calls are the descriptor-based ones (Linux 5.12 and later): a mount gets its flags before
anything can see it, and a source stays reachable after its path has been covered. Numbers of the
calls without a libc wrapper are the same on all architectures.
"""

import ctypes
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterable

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_PRIVATE = 1 << 18
MS_REC = 1 << 14
MNT_DETACH = 2

RDONLY = 0x1
NOSUID = 0x2
NODEV = 0x4
NOEXEC = 0x8
_IDMAP = 0x00100000

_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_FSOPEN = 430
_SYS_FSCONFIG = 431
_SYS_FSMOUNT = 432
_SYS_OPENAT2 = 437
_SYS_MOUNT_SETATTR = 442
_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_CLOEXEC = os.O_CLOEXEC

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_KEEPCAPS = 8
_PR_SET_NAME = 15
_PR_SET_SECCOMP = 22
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
CAP_BLOCK_SUSPEND = 36
"""Means something in the first namespace of users alone."""
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(name: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def _syscall(name: str, number: int, *arguments: int | bytes | None) -> int:
    converted = [ctypes.c_long(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in arguments]
    return _checked(name, _libc.syscall(ctypes.c_long(number), *converted))


# ── namespaces and rights ─────────────────────────────────────────────────────────────────────────


def unshare(flags: int) -> None:
    """Leave the named namespaces of the parent for new ones."""
    _checked("unshare", _libc.unshare(ctypes.c_int(flags)))


def _prctl(option: int, *values: int) -> None:
    padded = (*values, 0, 0, 0, 0)[:4]
    _checked(f"prctl {option}", _libc.prctl(ctypes.c_int(option), *map(ctypes.c_ulong, padded)))


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send this process a signal when its parent ends."""
    _prctl(_PR_SET_PDEATHSIG, signal_number)


def leave_session_keyring() -> None:
    """Start an empty one: the session's may hold tickets and keys, and is inherited otherwise."""
    join = 1
    number = {"x86_64": 250, "aarch64": 219}.get(os.uname().machine)
    if number is None:
        return
    try:
        _syscall("keyctl", number, join, None)
    except OSError:
        return  # a kernel without keyrings


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def forbid_inspection(forbidden: bool = True) -> None:
    """Let no process without this one's capabilities trace it or read its memory."""
    _prctl(_PR_SET_DUMPABLE, int(not forbidden))


def forbid_new_privileges() -> None:
    """Make set-user-id programs ordinary ones, for this process and all it starts."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def filter_calls(program: bytes) -> None:
    """Have a program of the kernel's packet filter decide on every system call from now on, for
    this process and all it starts."""
    by_filter, step = 2, 8
    memory = ctypes.create_string_buffer(program, len(program))
    description = struct.pack("HP", len(program) // step, ctypes.addressof(memory))
    described = ctypes.create_string_buffer(description, len(description))
    _prctl(_PR_SET_SECCOMP, by_filter, ctypes.addressof(described))


def keep_capabilities_across_user_change(keep: bool) -> None:
    """Whether leaving user 0 shall leave the permitted capabilities as they are."""
    _prctl(_PR_SET_KEEPCAPS, int(keep))


def drop_bounding_set(keep: Iterable[int] = ()) -> None:
    """Bar all capabilities but `keep` from programs this process starts."""
    for capability in range(64):
        if capability in keep:
            continue
        try:
            _prctl(_PR_CAPBSET_DROP, capability)
        except OSError:  # above the last one this kernel knows
            return


def set_capabilities(keep: Iterable[int] = ()) -> None:
    """Give up all capabilities but `keep`, which programs started from here keep too."""
    mask = sum(1 << capability for capability in keep)
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    data = struct.pack("6I", low, low, low, high, high, high)
    _checked("capset", _libc.capset(header, data))
    for capability in keep:
        _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)


def hide_arguments(name: bytes) -> None:
    """Overwrite this process's command line, which shows host paths, and its name with `name`."""
    with open("/proc/self/stat", "rb") as stat:
        fields = stat.read().rpartition(b") ")[2].split()
    start, end = int(fields[45]), int(fields[46])
    ctypes.memset(start, 0, end - start)
    ctypes.memmove(start, name, min(len(name), end - start - 1))
    called = ctypes.create_string_buffer(name)
    _prctl(_PR_SET_NAME, ctypes.addressof(called))


def raise_loopback() -> None:
    """Bring up `lo`, so that a command can talk to a server of its own."""
    siocsifflags, up_and_running = 0x8914, 0x41
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, siocsifflags, struct.pack("16sH14s", b"lo", up_and_running, b""))


# ── mounts ────────────────────────────────────────────────────────────────────────────────────────


def mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    """The classical mount call."""
    texts = (os.fsencode(source), os.fsencode(target), kind.encode() or None)
    result = _libc.mount(*texts, ctypes.c_ulong(flags), data.encode() or None)
    _checked(f"mount {kind or 'flags'} at {target}", result)


def unmount(target: str) -> None:
    """Take a mount out of sight; it ends when its last user does."""
    _checked(f"umount {target}", _libc.umount2(os.fsencode(target), ctypes.c_int(MNT_DETACH)))


def pivot_root() -> None:
    """Make the working directory, a mount, the root of the file system, and drop the old root."""
    _checked("pivot_root", _libc.pivot_root(b".", b"."))
    unmount(".")


def tmpfs(options: dict[str, str], attributes: int) -> int:
    """A new file system in memory, not attached anywhere yet."""
    set_string, create = 1, 6
    context = _syscall("fsopen", _SYS_FSOPEN, b"tmpfs", 1)
    try:
        for key, value in options.items():
            arguments = (set_string, key.encode(), value.encode(), 0)
            _syscall(f"fsconfig {key}", _SYS_FSCONFIG, context, *arguments)
        _syscall("fsconfig", _SYS_FSCONFIG, context, create, None, None, 0)
        return _syscall("fsmount", _SYS_FSMOUNT, context, 1, attributes)
    finally:
        os.close(context)


def clone_tree(path: str, attributes: int) -> int:
    """A second view of `path` and all mounts below it, with more restrictive flags, not attached."""
    clone = 1
    flags = clone | _CLOEXEC | _AT_RECURSIVE
    tree = _syscall(f"open_tree {path}", _SYS_OPEN_TREE, _AT_FDCWD, os.fsencode(path), flags)
    try:
        set_attributes(tree, attributes)
    except OSError:
        os.close(tree)
        raise
    return tree


def set_attributes(mount_descriptor: int, attributes: int, recursive: bool = True) -> None:
    """Restrict a mount and, unless told otherwise, those below it."""
    _set_attributes(mount_descriptor, attributes, 0, recursive)


def translate_owners(mount_descriptor: int, user_namespace: int) -> None:
    """Show a mount's files with their owners mapped as the user namespace maps them."""
    _set_attributes(mount_descriptor, _IDMAP, user_namespace, recursive=False)


def _set_attributes(mount_descriptor: int, attributes: int, user_namespace: int, recursive: bool) -> None:
    request = struct.pack("4Q", attributes, 0, 0, user_namespace)
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    arguments = (mount_descriptor, b"", flags, request, len(request))
    _syscall("mount_setattr", _SYS_MOUNT_SETATTR, *arguments)


def attach(mount_descriptor: int, target: str | int) -> None:
    """Attach a mount at a path, or upon what a descriptor has open, and close the mount's descriptor."""
    from_empty_path, to_empty_path = 4, 64
    place, path = (_AT_FDCWD, target) if isinstance(target, str) else (target, "")
    flags = from_empty_path | (0 if path else to_empty_path)
    try:
        _syscall(
            f"move_mount {target}", _SYS_MOVE_MOUNT, mount_descriptor, b"", place, os.fsencode(path), flags
        )
    finally:
        os.close(mount_descriptor)


# ── files ─────────────────────────────────────────────────────────────────────────────────────────


def open_beneath(folder: int, path: str, flags: int) -> int:
    """Open what lies below a directory, following no link on the way there nor at its end."""
    flags |= os.O_CLOEXEC | os.O_NOFOLLOW
    no_links, beneath = 4, 8
    how = struct.pack("3Q", flags, 0, no_links | beneath)
    try:
        return _syscall(f"openat2 {path}", _SYS_OPENAT2, folder, os.fsencode(path), how, len(how))
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):  # which a container's own filter may say
            raise
    return _open_by_parts(folder, path.split("/"), flags)


def _open_by_parts(folder: int, parts: list[str], flags: int) -> int:
    step = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    here = os.dup(folder)
    for number, part in enumerate(parts, 1):
        try:
            inner = os.open(part, flags if number == len(parts) else step, dir_fd=here)
        finally:
            os.close(here)
        here = inner
    return here
