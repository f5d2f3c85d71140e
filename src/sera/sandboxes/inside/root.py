"""The file system a sandbox sees, built by process 1 before it gives up the host's.

Two file systems in memory hold what is not a mount of the host. The *skeleton* has the directories,
links and constructed files, and is read-only once it stands. The *store* is limited in bytes and
files and has everything a command can write: the overlay's upper directory, the home, /tmp,
/var/tmp and /dev/shm; the limits on disk are its size, and nothing is left to delete when it goes.

Of the host there are only: the system's directories, a few files of /etc that name no person and
no secret, six devices, and the prefixes asked for, all read-only. Sources are taken hold of before
the skeleton covers /tmp, as they may lie there.
"""

import os
import shutil
import stat
from collections.abc import Iterable
from typing import NamedTuple

from . import kernel
from .spec import BASE, CLOSED, COMMAND, HOME, LINKS, PROCESSES, SCRATCH, USER, Spec

_NEW = "/tmp"  # any directory that every host has: the new root is put together on top of it
_STORE = "/mnt"
_EMPTY = "var/empty"

_SYSTEM = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr")
_ETC = (
    "alternatives",
    "ca-certificates",
    "crypto-policies",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "magic",
    "mime.types",
    "pki/ca-trust/extracted",
    "pki/tls/certs",
    "pki/tls/cert.pem",
    "protocols",
    "services",
    "ssl/cert.pem",
    "ssl/certs",
    "ssl/openssl.cnf",
)
_WRITTEN = {
    "etc/passwd": (
        f"root:x:0:0:root:/:/bin/false\nuser:x:{USER}:{USER}:user:{HOME}:/bin/bash\n"
        "nobody:x:65534:65534:nobody:/:/bin/false\n"
    ),
    "etc/group": f"root:x:0:\ntty:x:5:\nuser:x:{USER}:\nnogroup:x:65534:\n",
    "etc/hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    "etc/hostname": "sandbox\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n",
}
_DIRECTORIES = ("etc", "dev/pts", "dev/shm", "proc", "run/sandbox", "tmp", "var/tmp", _EMPTY, "mnt", "root")
_DEVICES = ("null", "zero", "full", "random", "urandom")
_DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
_HIDDEN_FILES = (
    "cmdline",
    "config.gz",
    "interrupts",
    "kallsyms",
    "kcore",
    "key-users",
    "keys",
    "kmsg",
    "latency_stats",
    "modules",
    "sched_debug",
    "timer_list",
)
"""In /proc: what tells of the machine, its users or its kernel, and what programs do without."""
_HIDDEN_FOLDERS = ("acpi", "asound", "bus", "driver", "fs", "scsi")
_TERMINALS = 64
"""Pseudo-terminals of one sandbox; all of the machine share 4,096."""

_READ_ONLY = kernel.RDONLY | kernel.NOSUID | kernel.NODEV
_WRITABLE = kernel.NOSUID | kernel.NODEV


class Root(NamedTuple):
    """What process 1 keeps in hand of the file system it lives in, out of reach of any path."""

    store: int
    """Descriptor of the store."""
    messages: int
    """Descriptor of the directory that commands see, read-only, as /run/sandbox."""
    shared: bool
    """Whether the tree is an overlay, so that `changed` in the store has all that was changed."""


class _Bind(NamedTuple):
    tree: int
    target: str
    is_directory: bool


# ── before the sources are covered ────────────────────────────────────────────────────────────────


def _hold(source: str, target: str, attributes: int) -> _Bind:
    tree = kernel.clone_tree(source, attributes)
    return _Bind(tree, target, stat.S_ISDIR(os.fstat(tree).st_mode))


def _hold_all(spec: Spec) -> list[_Bind]:
    binds = []
    for name in _SYSTEM:
        if os.path.isdir(f"/{name}") and not os.path.islink(f"/{name}"):
            binds.append(_hold(f"/{name}", name, _READ_ONLY))
    for name in _ETC:
        if os.path.exists(f"/etc/{name}"):
            binds.append(_hold(f"/etc/{name}", f"etc/{name}", _READ_ONLY))
    for name in _DEVICES:
        binds.append(_hold(f"/dev/{name}", f"dev/{name}", kernel.NOSUID | kernel.NOEXEC))
    for prefix in spec.prefixes:
        binds.append(_hold(os.path.realpath(prefix), prefix.lstrip("/"), _READ_ONLY))
    binds.append(_hold(f"{spec.tree}/.git", BASE.lstrip("/"), _READ_ONLY))
    return binds


# ── the skeleton ──────────────────────────────────────────────────────────────────────────────────


def _make_skeleton(spec: Spec) -> None:
    kernel.attach(kernel.tmpfs({"size": "4m", "nr_inodes": "4096", "mode": "0755"}, _WRITABLE), _NEW)
    os.chdir(_NEW)
    for name in (*_DIRECTORIES, HOME, LINKS):
        os.makedirs(name.lstrip("/"), exist_ok=True)
    for name, content in _WRITTEN.items():
        _write(name, content)
    for name, target in _DEVICE_LINKS.items():
        os.symlink(target, f"dev/{name}")
    os.symlink("/run", "var/run")
    for name in ("python", "python3"):
        os.symlink(spec.python, f"{LINKS.lstrip('/')}/{name}")
    os.symlink("/proc/self/mounts", "etc/mtab")


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _link_system(links: dict[str, str]) -> None:
    for name, target in links.items():
        os.symlink(target, name)


def _system_links() -> dict[str, str]:
    return {name: os.readlink(f"/{name}") for name in _SYSTEM if os.path.islink(f"/{name}")}


def _attach_all(binds: list[_Bind]) -> None:
    for bind in binds:
        if bind.is_directory:
            os.makedirs(bind.target, exist_ok=True)
        elif not os.path.exists(bind.target):
            os.makedirs(os.path.dirname(bind.target), exist_ok=True)
            os.close(os.open(bind.target, os.O_CREAT | os.O_WRONLY, 0o644))
        kernel.attach(bind.tree, bind.target)


def _hide(paths: Iterable[str]) -> None:
    """Cover directories of the host, so that they are seen empty."""
    for path in paths:
        place = os.path.realpath(path).lstrip("/")  # as on the host, whose links the skeleton repeats
        if os.path.isdir(place):
            kernel.attach(kernel.tmpfs({"size": "4k", "mode": "0755"}, _READ_ONLY), place)


def _make_messages() -> int:
    """The directory only process 1 can write: commands get a read-only view of the same files."""
    place = "run/sandbox"
    kernel.attach(kernel.tmpfs({"size": "16m", "nr_inodes": "64", "mode": "0755"}, _WRITABLE), place)
    messages = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    view = kernel.clone_tree(place, _READ_ONLY)  # while attached: before Linux 6.15 it must be
    kernel.unmount(place)
    kernel.attach(view, place)
    for name in (BASE, SCRATCH):
        os.mkdir(os.path.basename(name), dir_fd=messages)
    closed = os.path.basename(CLOSED)
    os.mkdir(closed, 0, dir_fd=messages)
    for name in (SCRATCH, PROCESSES):
        os.mkdir(f"{closed}/{os.path.basename(name)}", dir_fd=messages)
    os.close(os.open(os.path.basename(COMMAND), os.O_CREAT | os.O_WRONLY, 0o644, dir_fd=messages))
    return messages


# ── the store and the tree ────────────────────────────────────────────────────────────────────────


def _make_store(spec: Spec, extra_bytes: int, extra_files: int) -> None:
    options = {
        "size": str(spec.disk_bytes + extra_bytes),
        "nr_inodes": str(spec.files + extra_files + 16),
        "mode": "0755",
    }
    store = f"{_NEW}{_STORE}"
    kernel.attach(kernel.tmpfs(options, _WRITABLE), store)
    modes = {"changed": 0o755, "work": 0o755, "home": 0o755, "tmp": 0o1777, "vartmp": 0o1777, "shm": 0o1777}
    for name, mode in modes.items():
        os.mkdir(f"{store}/{name}")
        os.chmod(f"{store}/{name}", mode)
        if spec.privileged:
            os.chown(f"{store}/{name}", USER, USER)
    for name, target in (("home", HOME), ("tmp", "/tmp"), ("vartmp", "/var/tmp"), ("shm", "/dev/shm")):
        kernel.attach(kernel.clone_tree(f"{store}/{name}", _WRITABLE), f"{_NEW}{target}")


def _mount_overlay(layer: int, target: str, lower: str = ".") -> None:
    store = f"{_NEW}{_STORE}"
    os.fchdir(layer)  # a relative lower directory keeps the host's path out of the mount table
    data = f"lowerdir={lower},upperdir={store}/changed,workdir={store}/work,userxattr"
    kernel.mount("overlay", target, "overlay", kernel.MS_NOSUID | kernel.MS_NODEV, data)


def _measure(layer: int) -> tuple[int, int]:
    size = files = 0
    for _, directories, names, descriptor in os.fwalk(".", dir_fd=layer):
        files += len(directories) + len(names)
        size += 4096 * len(directories)
        size += sum(os.lstat(name, dir_fd=descriptor).st_size + 4096 for name in names)
    return size, files


def copy_tree(layer: int, target: str, spec: Spec) -> None:
    for path, directories, names, descriptor in os.fwalk(".", dir_fd=layer):
        for name in (".", *directories, *names):
            copy = os.path.join(target, path, name)
            state = os.lstat(name, dir_fd=descriptor)
            if stat.S_ISLNK(state.st_mode):
                os.symlink(os.readlink(name, dir_fd=descriptor), copy)
            elif stat.S_ISDIR(state.st_mode):
                os.makedirs(copy, exist_ok=True)
                os.chmod(copy, state.st_mode & 0o777 | 0o700)
            elif stat.S_ISREG(state.st_mode):
                _copy_file(os.open(name, os.O_RDONLY, dir_fd=descriptor), copy, state.st_mode & 0o777)
            if spec.privileged:
                os.lchown(copy, spec.inside_user, spec.inside_user)
            if not stat.S_ISDIR(state.st_mode):
                os.utime(copy, ns=(state.st_atime_ns, state.st_mtime_ns), follow_symlinks=False)


def _copy_file(source: int, copy: str, mode: int) -> None:
    with open(source, "rb") as reader, open(copy, "wb") as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)
        os.fchmod(writer.fileno(), mode)


# ── putting it together ───────────────────────────────────────────────────────────────────────────


def build(spec: Spec, copied: bool) -> Root:
    """Build the file system and move into it. Runs in fresh user, mount and pid namespaces."""
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    layer = os.open(spec.tree, os.O_PATH | os.O_DIRECTORY)
    readable = os.open(spec.tree, os.O_RDONLY | os.O_DIRECTORY) if copied else -1
    binds = _hold_all(spec)
    links = _system_links()
    _make_skeleton(spec)
    _link_system(links)
    messages = _make_messages()
    _make_store(spec, *(_measure(readable) if copied else (0, 0)))
    _attach_all(binds)
    _hide(spec.hidden)
    tree = f"{_NEW}{spec.workdir}"
    os.makedirs(tree, exist_ok=True)
    if copied:
        copy_tree(readable, f"{_NEW}{_STORE}/changed", spec)
        kernel.attach(kernel.clone_tree(f"{_NEW}{_STORE}/changed", _WRITABLE), tree)
        os.close(readable)
    else:
        _mount_overlay(layer, tree)
    os.close(layer)
    _enter()
    store = os.open(_STORE, os.O_RDONLY | os.O_DIRECTORY)
    kernel.unmount(_STORE)
    return Root(store, messages, shared=not copied)


def _enter() -> None:
    os.chdir(_NEW)
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    kernel.mount("proc", "proc", "proc", flags | kernel.MS_RDONLY, "hidepid=2")
    kernel.mount("proc", PROCESSES.lstrip("/"), "proc", flags)
    for names, cover in ((_HIDDEN_FILES, "dev/null"), (_HIDDEN_FOLDERS, _EMPTY)):
        for name in names:
            if os.path.exists(f"proc/{name}"):
                kernel.attach(kernel.clone_tree(cover, kernel.RDONLY), f"proc/{name}")
    pts = kernel.MS_NOSUID | kernel.MS_NOEXEC
    kernel.mount("devpts", "dev/pts", "devpts", pts, f"newinstance,ptmxmode=0666,mode=620,max={_TERMINALS}")
    root = os.open(".", os.O_PATH)
    kernel.set_attributes(root, kernel.RDONLY, recursive=False)
    os.close(root)
    kernel.pivot_root()
    os.chdir("/")


def overlay_works(spec: Spec) -> bool:
    """Try an overlay of this layer in memory as commands will use it. Runs where `build` would.

    Kernels before 5.11 refuse the mount; before 6.6 a file system in memory cannot keep the mark of
    a directory that was removed and made again, whose old content would shine through.
    """
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    layer = os.open(spec.tree, os.O_PATH | os.O_DIRECTORY)
    kernel.attach(kernel.tmpfs({"mode": "0755"}, _WRITABLE), _NEW)
    for name in ("mnt", "tree", HOME, "tmp", "var/tmp", "dev/shm"):
        os.makedirs(f"{_NEW}/{name.lstrip('/')}")
    sample = "sera-overlay-probe"
    try:
        _make_store(spec, 0, 0)
        os.makedirs(f"{_NEW}/lower/{sample}/old")
        _write(f"{_NEW}/lower/{sample}/file", "old")
        _mount_overlay(layer, f"{_NEW}/tree", f"{_NEW}/lower:.")
        os.chdir(f"{_NEW}/tree/{sample}")
        _write("file", "new")
        os.rmdir("old")
        os.mkdir("old")
        os.unlink("file")
        os.chdir("..")
        shutil.rmtree(sample)
        os.mkdir(sample)
        os.stat(".git")
        return os.listdir(sample) == [] and _owner_fits(spec)
    except OSError:
        return False


def _owner_fits(spec: Spec) -> bool:
    return os.stat(".git").st_uid == USER or not spec.privileged
