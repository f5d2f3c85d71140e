"""The container backend: one container for each sandbox, whose process 1 is our own.

The engine's program stays attached to process 1's input and output, and what travels there are the frames of
the namespace backend: one lasting channel for each container, no `exec` for each command. The
container lives as long as that channel. When it closes, because the sandbox is left or because this
process was killed, process 1 ends, and the engine removes the container, as it was told to from the start.

The engine makes the walls: namespaces, control groups, its own seccomp filter. Ours come on top of them, for
commands: another user or none of root's capabilities, no new privileges, two more filters.
"""

import asyncio
import itertools
import os
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from sera.errors import SandboxError
from sera.leases import leased_folder, own_lease
from sera.sandboxes.connected import ConnectedSandbox, longest_answer
from sera.sandboxes.connection import Connection
from sera.sandboxes.containers.config import DockerConfig, PodmanConfig
from sera.sandboxes.containers.engine import LEASE, engine_of
from sera.sandboxes.containers.images import held_by
from sera.sandboxes.containers.options import bind_options, measure, order_for, pack, run_options
from sera.sandboxes.containers.toolbox import make_toolbox
from sera.sandboxes.contract import Layer, Sandbox
from sera.sandboxes.machine import raise_open_files

_CREATE_SECONDS = 120.0
_CLOSE_SECONDS = 30.0
_PYTHON_SECONDS = 30.0
_numbers = itertools.count(1)
Attached = subprocess.Popen[bytes]


class _Ready(NamedTuple):
    """What every container of a backend is made from."""

    command: list[str]
    """What follows the engine's `run` or `create`."""
    order: dict[str, Any]
    """The first frame to process 1."""
    folder: Path
    """Where the engine's program is at home: Podman's leaves notes there."""
    archive: Path | None
    """What is copied into a container, where nothing can be mounted."""


class Containers:
    """Makes sandboxes of one layer, as `Backend` promises."""

    def __init__(self, layer: Layer, config: DockerConfig | PodmanConfig) -> None:
        self._layer = layer
        self._config = config
        self._engine = engine_of(config)
        self._held = ExitStack()
        self._ready: _Ready | None = None

    @property
    def notice(self) -> str:
        if self._config.owns_tree:
            return "commands write to the image's own tree, and the engine does not limit how much"
        return ""

    async def __aenter__(self) -> "Containers":
        raise_open_files()
        config, tree = self._config, self._layer.tree.resolve()
        if not (tree / ".git").is_dir():
            raise SandboxError(f"{self._layer.tree} is no layer: it has no .git directory")
        image = await self._engine.image(config.image_name, config.pull, config.platform)
        try:
            self._ready = await self._make_ready(tree, image)
            await self._try_out()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._ready = None
        self._held.close()

    async def _make_ready(self, tree: Path, image: dict[str, Any]) -> _Ready:
        config = self._config
        mounted = config.transfer == "mount" or (
            config.transfer == "auto" and await self._engine.sees_this_machine()
        )
        toolbox = await asyncio.to_thread(make_toolbox)
        order = order_for(config, self._layer, toolbox, image)
        image_and_entry = [config.image_name, *toolbox.entry[1:]]
        size, files = (0, 0) if config.owns_tree else await asyncio.to_thread(measure, tree)
        options = run_options(config, size, files, mounted)
        folder = self._held.enter_context(leased_folder("container"))
        held = held_by(image)
        shown = [path for path in config.mounted if path not in held]
        if mounted:
            binds = bind_options(config, toolbox.folder, tree, shown)
            return _Ready([*options, *binds, *image_and_entry], order, folder, None)
        if shown:
            raise SandboxError(
                f"{shown[0]} cannot be mounted by an engine that does not see this machine's files: build an "
                "image that holds it (sera prepare --image), or set sandbox.transfer=mount if it does"
            )
        archive = folder / "all.tar"
        await asyncio.to_thread(pack, archive, toolbox.folder, tree)
        return _Ready([*options, *image_and_entry], order, folder, archive)

    async def _try_out(self) -> None:
        """The first sandbox: whether one can be made, and whether the image's tree is the layer."""
        config = self._config
        async with self.sandbox() as box:
            if config.python:
                tried = await box.execute([f"{config.python}/bin/python", "-c", ""], _PYTHON_SECONDS)
                if tried.exit_code:
                    raise SandboxError(
                        f"{config.python}/bin/python does not run in the image {config.image_name}: "
                        f"{tried.output.strip()[-300:]}. Prepare the environment with an interpreter that is "
                        "not the system's own, or build an image from it"
                    )
            patch = await box.patch() if config.owns_tree else ""
        if patch:
            count = sum(line.startswith("diff --git ") for line in patch.splitlines())
            raise SandboxError(
                f"{self._config.workdir} of the image {self._config.image_name} is not the repository given: "
                f"{count} files differ. Take the repository out of the image, or set sandbox.tree=layer"
            )

    def sandbox(self) -> AbstractAsyncContextManager[Sandbox]:
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Sandbox]:
        ready = self._ready
        if ready is None:
            raise SandboxError("the backend is not open")
        name = f"sera-{own_lease()}-{next(_numbers)}"
        with tempfile.TemporaryFile() as complaints:
            attached, connection = await self._start(ready, name, complaints)
            try:
                await self._greet(ready, connection, attached, complaints)
                yield ConnectedSandbox(connection, self._config.workdir, self._config.limits.read_bytes)
            finally:
                await self._close(name, attached, connection)

    # ── one container ─────────────────────────────────────────────────────────────────────────────

    async def _start(self, ready: _Ready, name: str, complaints: IO[bytes]) -> tuple[Attached, Connection]:
        """The engine's program, attached to a new container, and the channel it holds."""
        command = await self._prepare(ready, name)
        ours, theirs = socket.socketpair()
        largest = longest_answer(self._config.limits)
        attached = None
        with theirs:
            try:
                ours.setblocking(False)
                attached = subprocess.Popen(  # noqa: ASYNC220  (no pipes to wait for)
                    command,
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=complaints,
                    cwd=ready.folder,
                    start_new_session=True,
                )
                loop = asyncio.get_running_loop()
                _, connection = await loop.create_connection(lambda: Connection(largest), sock=ours)
            except FileNotFoundError as error:
                ours.close()
                raise SandboxError(f"there is no program {self._engine.program} here any more") from error
            except BaseException:
                ours.close()  # the container ends when its channel does
                raise
        return attached, connection

    async def _prepare(self, ready: _Ready, name: str) -> list[str]:
        """The command line that starts the container and stays attached to it."""
        engine, labels = self._engine, [f"--name={name}", f"--label={LEASE}={own_lease()}"]
        if ready.archive is None:
            return [engine.program, "run", "--interactive", *labels, *ready.command]
        try:
            await engine.call("create", "--interactive", *labels, *ready.command)
            await engine.call("cp", "-", f"{name}:/", feed=ready.archive)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(engine.remove, name))
            raise
        return [engine.program, "start", "--attach", "--interactive", name]

    async def _greet(
        self, ready: _Ready, connection: Connection, attached: Attached, complaints: IO[bytes]
    ) -> None:
        try:
            reply, _ = await connection.ask(ready.order, b"", _CREATE_SECONDS)
        except SandboxError as error:
            connection.abort()
            text = await asyncio.to_thread(_last_words, attached, complaints)
            raise SandboxError(self._engine.explain(text, "run") if text else str(error)) from error
        if reply.error:
            raise SandboxError(f"cannot make a sandbox in {self._config.image_name}: {reply.error}")

    async def _close(self, name: str, attached: Attached, connection: Connection) -> None:
        """Hang up and wait until the container is removed; if cancelled meanwhile, do not wait."""
        try:
            connection.hang_up()
            async with asyncio.timeout(_CLOSE_SECONDS):
                await _ended(attached)
        except TimeoutError:
            attached.kill()
            await asyncio.to_thread(self._engine.remove, name)
            attached.wait()
        finally:
            connection.abort()


async def _ended(process: Attached) -> None:
    if process.poll() is not None:
        return
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    descriptor = os.pidfd_open(process.pid)
    try:
        loop.add_reader(descriptor, ended.set)
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    process.wait()


def _last_words(attached: Attached, complaints: IO[bytes]) -> str:
    try:
        attached.wait(10)
    except subprocess.TimeoutExpired:
        return ""
    complaints.seek(0)
    return complaints.read(1 << 16).decode(errors="replace").strip()
