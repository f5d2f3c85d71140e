"""Read, write and list for the host, with the rights of a command and the paths a command would see.

Each operation runs in a child that has become a command, and has `_SECONDS`: a path that never
answers costs that child, not the sandbox. What is not a regular file is neither read nor written.
Being the editor of the agent, they say what is wrong in the words of `OSError`.
"""

import errno
import json
import os
import stat
import time
from collections.abc import Callable
from typing import Any

from . import processes, wire
from .spec import Spec
from .watch import Watch

_SECONDS = 20.0
_ENTRIES = 1000
_SPECIAL = os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

Reply = tuple[dict[str, Any], bytes]


def read(path: str, spec: Spec) -> bytes:
    """The content of a regular file no larger than the limit."""
    descriptor = os.open(path, os.O_RDONLY | _SPECIAL)
    _check_regular(descriptor, path)
    parts = []
    left = spec.read_bytes + 1
    while left and (part := os.read(descriptor, min(left, 1 << 20))):
        parts.append(part)
        left -= len(part)
    if not left:
        raise OSError(errno.EFBIG, f"File is larger than {spec.read_bytes} bytes", path)
    return b"".join(parts)


def write(path: str, content: bytes, tree: str) -> str:
    """Replace the content of a file, or make it; room is claimed before the old content goes. Where it lies
    below the directory `tree`, links resolved; empty if it lies elsewhere."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | _SPECIAL, 0o644)
    _check_regular(descriptor, path)
    if content:
        os.posix_fallocate(descriptor, 0, len(content))
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.ftruncate(descriptor, len(content))
    place, top = os.path.realpath(path), os.path.realpath(tree) + "/"
    return place.removeprefix(top) if place.startswith(top) else ""


def _check_regular(descriptor: int, path: str) -> None:
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "Is a directory", path)
    if not stat.S_ISREG(mode):
        raise PermissionError(errno.EPERM, "Not a regular file", path)


def listing(path: str, depth: int) -> list[tuple[str, bool]]:
    """Names below a directory and whether each is one; hidden ones left out, links not followed."""
    found: list[tuple[str, bool]] = []
    waiting = [("", depth)]
    while waiting:
        below, levels = waiting.pop()
        try:
            entries = os.scandir(os.path.join(path, below) if below else path)
        except OSError:
            if not below:
                raise
            continue
        with entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                name = f"{below}/{entry.name}" if below else entry.name
                is_directory = entry.is_dir(follow_symlinks=False)
                found.append((name, is_directory))
                if is_directory and levels > 1:
                    waiting.append((name, levels - 1))
    return sorted((_text(name), is_directory) for name, is_directory in found)[:_ENTRIES]


def _text(name: str) -> str:
    """A name, or an error's text, as UTF-8 can carry it."""
    return os.fsencode(name).decode(errors="replace")


def serve(operation: Callable[[], Reply], spec: Spec, watch: Watch, directory: str = "") -> Reply:
    """Run an operation as a command would, in a directory or in the tree; an `OSError` of its becomes the
    reply."""
    watch.begin()
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _answer(operation, spec, directory or spec.workdir, writer)
    os.close(writer)
    watch.follow(pid)
    try:
        frame = _collect(reader, watch, time.monotonic() + _SECONDS)
    finally:
        processes.send(pid, 9)
        watch.forget(pid)
        os.close(reader)
    return _unpack(frame)


def _answer(operation: Callable[[], Reply], spec: Spec, directory: str, writer: int) -> None:
    try:
        processes.become_command(spec)
        os.chdir(directory)
        header, body = operation()
    except OSError as error:
        header, body = failure(error), b""
    except (ValueError, RecursionError, MemoryError) as error:
        header, body = failure(OSError(errno.EINVAL, str(error))), b""
    try:
        rest = memoryview(wire.pack(header, body))
        while rest:
            rest = rest[os.write(writer, rest) :]
    finally:
        os._exit(0)


def failure(error: OSError) -> dict[str, Any]:
    """An `OSError` as a header."""
    return {"errno": error.errno or errno.EIO, "message": _text(error.strerror or str(error))}


def _collect(reader: int, watch: Watch, until: float) -> bytes:
    parts: list[bytes] = []
    while time.monotonic() < until:
        if reader in watch.wait((reader,), until):
            part = os.read(reader, 1 << 20)
            if not part:
                return b"".join(parts)
            parts.append(part)
    return wire.pack(failure(OSError(errno.ETIMEDOUT, "The file system does not answer")))


def _unpack(frame: bytes) -> Reply:
    size = wire.LENGTHS.size
    header, body = wire.LENGTHS.unpack_from(frame) if len(frame) >= size else (0, 0)
    if not header or len(frame) < size + header + body:
        return failure(OSError(errno.ECANCELED, "The operation was killed")), b""
    return json.loads(frame[size : size + header]), frame[size + header :]
