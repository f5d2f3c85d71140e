"""The default backend: sandboxes made of Linux namespaces, by root or by an ordinary user.

This side holds one socket per sandbox (`connected.py`) and nothing else; all work is done by process 1 of
the sandbox (see `inside`).

Needs Linux 5.12 with user namespaces, and git and bash in the system's directories. Where
the kernel refuses an overlay, each sandbox copies the tree, and `notice` says so.
"""

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from sera.errors import SandboxError, SandboxLost, boundary
from sera.sandboxes.cgroups import Groups, find_place
from sera.sandboxes.connected import ConnectedSandbox, longest_answer
from sera.sandboxes.connection import Connection
from sera.sandboxes.contract import Layer, Sandbox
from sera.sandboxes.inside.spec import Spec
from sera.sandboxes.machine import NamespacesConfig, cure, make_spec, raise_open_files
from sera.sandboxes.turns import Turns

__all__ = ["Namespaces", "NamespacesConfig"]

_CREATE_SECONDS = 60.0
_CLOSE_SECONDS = 5.0
_PAGE = 4096
_BOOT = "import sys; sys.path.append(sys.argv[1]); from inside.spawner import main; main(int(sys.argv[2]))"


class Namespaces:
    """Makes sandboxes of one layer, as `Backend` promises."""

    def __init__(self, layer: Layer, config: NamespacesConfig | None = None) -> None:
        self._layer = layer
        self._config = config or NamespacesConfig()
        self._spawner: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._notice = ""
        self._groups: Groups | None = None
        self._sending = asyncio.Lock()
        self._turns = Turns()

    @property
    def notice(self) -> str:
        return self._notice

    async def __aenter__(self) -> "Namespaces":
        raise_open_files()
        spec = make_spec(self._layer, self._config)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        inside = str(Path(__file__).parent)
        argv = [sys.executable, "-I", "-S", "-c", _BOOT, inside, str(theirs.fileno())]
        with theirs:
            self._spawner = subprocess.Popen(  # noqa: ASYNC220  (no pipes to wait for)
                argv,
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env={},
                cwd="/",
                start_new_session=True,
            )
        self._control = ours
        ours.setblocking(False)
        try:
            await self._introduce(ours, spec)
            self._groups = self._find_groups()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def _introduce(self, control: socket.socket, spec: Spec) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(control, msgspec.json.encode(spec._asdict()))
        try:
            async with asyncio.timeout(_CREATE_SECONDS):
                answer = await loop.sock_recv(control, 1 << 16)
        except TimeoutError:
            raise SandboxError("the spawner of sandboxes does not answer") from None
        if not answer:
            raise SandboxError("the spawner of sandboxes ended; its message is on stderr")
        reply = msgspec.json.decode(answer, type=dict[str, Any])
        if "error" in reply:
            raise SandboxError(f"cannot make a sandbox: {reply['error']}. {cure()}")
        self._notice = reply["notice"]

    def _find_groups(self) -> Groups | None:
        place = find_place() if self._config.cgroups else None
        if place is None or not place.parents:
            return None
        copied = _size_of(self._layer.tree) if self._notice else 0
        return Groups(place, self._config.limits, copied)

    async def __aexit__(self, *exc: object) -> None:
        if self._control:
            self._control.close()
            self._control = None
        try:
            await self._end_spawner()
        finally:
            await self._remove_groups()

    async def _end_spawner(self) -> None:
        if self._spawner:
            spawner, self._spawner = self._spawner, None
            try:
                await asyncio.shield(asyncio.to_thread(spawner.wait, _CLOSE_SECONDS))
            except subprocess.TimeoutExpired:
                spawner.kill()
                spawner.wait()

    async def _remove_groups(self) -> None:
        """Wait, not for ever, until the kernel has let go of the last group."""
        until = time.monotonic() + _CLOSE_SECONDS
        while self._groups and self._groups.ending and time.monotonic() < until:
            self._groups.remove(())
            await asyncio.sleep(0.002)

    def sandbox(self) -> AbstractAsyncContextManager[Sandbox]:
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Sandbox]:
        group = self._make_group()
        try:
            async with self._opened(group) as box:
                yield box
        finally:
            if self._groups:
                self._groups.remove(group)

    def _room(self, group: list[Path]) -> AbstractContextManager[None]:
        return self._groups.widened(group) if self._groups else nullcontext()

    def _make_group(self) -> list[Path]:
        with boundary(SandboxError, "cannot make a control group (sandbox.cgroups=false goes without)"):
            return self._groups.create() if self._groups else []

    @asynccontextmanager
    async def _opened(self, group: list[Path]) -> AsyncIterator[Sandbox]:
        connection = await self._start(group)
        try:
            largest = self._config.limits.read_bytes
            room = partial(self._room, group)
            yield ConnectedSandbox(connection, self._config.workdir, largest, room, self._turns.turn)
        finally:
            await _close(connection)

    async def _start(self, group: list[Path]) -> Connection:
        async with self._turns.turn():
            connection = await self._connect(group)
            try:
                reply, _ = await connection.ask(None, b"", _CREATE_SECONDS)
                if reply.error:
                    raise SandboxError(f"cannot make a sandbox: {reply.error}. {cure()}")
            except BaseException as problem:
                await _close(connection)
                if isinstance(problem, SandboxLost):  # nothing of a repository has run yet
                    raise SandboxError(f"cannot make a sandbox: {problem}") from problem
                raise
        return connection

    async def _connect(self, group: list[Path]) -> Connection:
        if self._control is None:
            raise SandboxError("the backend is not open")
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                ours.setblocking(False)
                async with self._sending:
                    await _send_descriptor(
                        self._control, json.dumps([*map(str, group)]).encode(), theirs.fileno()
                    )
                limit = longest_answer(self._config.limits)
                loop = asyncio.get_running_loop()
                _, connection = await loop.create_connection(lambda: Connection(limit), sock=ours)
            except BaseException:
                ours.close()
                raise
        return connection


def _size_of(tree: Path) -> int:
    """Bytes that a copy of the tree takes in memory."""
    return sum(path.lstat().st_size + _PAGE for path in tree.rglob("*"))


async def _send_descriptor(control: socket.socket, message: bytes, descriptor: int) -> None:
    while True:
        try:
            socket.send_fds(control, [message], [descriptor])
            return
        except BlockingIOError:
            await asyncio.sleep(0.001)
        except OSError as error:
            raise SandboxError(f"the spawner of sandboxes is gone: {error}") from error


async def _close(connection: Connection) -> None:
    """Hang up and wait until everything inside is dead; if cancelled meanwhile, do not wait."""
    try:
        connection.hang_up()
        async with asyncio.timeout(_CLOSE_SECONDS):
            await asyncio.shield(connection.gone)
    except TimeoutError:
        pass
    finally:
        connection.abort()
