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
import tarfile
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from sera.errors import SandboxError
from sera.leases import leased_folder, own_lease
from sera.sandboxes.connected import ConnectedSandbox, longest_answer
from sera.sandboxes.connection import Connection
from sera.sandboxes.containers.config import ContainersConfig, DockerConfig, PodmanConfig
from sera.sandboxes.containers.engine import LEASE, engine_of
from sera.sandboxes.containers.images import CLOSED_HOME, held_by
from sera.sandboxes.containers.toolbox import SEEN, Toolbox, make_toolbox
from sera.sandboxes.contract import Layer, Limits, Sandbox
from sera.sandboxes.inside.contained import LAYER
from sera.sandboxes.inside.spec import HOME, Spec
from sera.sandboxes.machine import COMMON_ENVIRONMENT, PATCH_SECONDS, raise_open_files

_CREATE_SECONDS = 120.0
_CLOSE_SECONDS = 30.0
_PYTHON_SECONDS = 30.0
_UNCOUNTED = 1 << 30
"""A limit on processes that limits nothing: the kernel counts by user of the machine, the engine counts by
container."""
_SYSCTLS = (("kernel.msgmni", "64"), ("kernel.sem", "1000 32000 100 64"))
"""Queues and semaphores are the kernel's own memory."""
_MESSAGES = "/run/sandbox"
_OWN_PROCESSES = 8
_ULIMITS = (("core", 0), ("nofile", 4096), ("nproc", 32_768))
_OWN_BYTES = 128 << 20
_MESSAGE_BYTES = 32 << 20
_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETPCAP", "SETUID", "SYS_PTRACE")
"""What process 1 has: to own what it makes, to start and end commands, to see where a shell is."""
_SHARES = {
    "": (1 / 2, 7 / 8),
    "/tmp": (1 / 4, 1 / 16),
    HOME: (1 / 8, 1 / 32),
    "/var/tmp": (1 / 16, 1 / 64),
    "/dev/shm": (1 / 16, 1 / 64),
}
"""How the limits on bytes and files are divided; the tree comes first."""
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
        order = _order(config, self._layer, toolbox, image)
        image_and_entry = [config.image_name, *toolbox.entry[1:]]
        size, files = (0, 0) if config.owns_tree else await asyncio.to_thread(_measure, tree)
        options = _run_options(config, size, files, mounted)
        folder = self._held.enter_context(leased_folder("container"))
        held = held_by(image)
        shown = [path for path in config.mounted if path not in held]
        if mounted:
            binds = _bind_options(config, toolbox.folder, tree, shown)
            return _Ready([*options, *binds, *image_and_entry], order, folder, None)
        if shown:
            raise SandboxError(
                f"{shown[0]} cannot be mounted into a container of an engine that does not see this machine's "
                "files: build an image that holds it (sera prepare --image), or set sandbox.transfer=mount if "
                "the engine does"
            )
        archive = folder / "all.tar"
        await asyncio.to_thread(_pack, archive, toolbox.folder, tree)
        return _Ready([*options, *image_and_entry], order, folder, archive)

    async def _try_out(self) -> None:
        """The first sandbox: whether one can be made, and whether the image's tree is the layer."""
        config = self._config
        async with self.sandbox() as box:
            if config.python:
                tried = await box.execute(["python", "-c", ""], _PYTHON_SECONDS)
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


# ── what a container is told ──────────────────────────────────────────────────────────────────────


def _order(config: ContainersConfig, layer: Layer, toolbox: Toolbox, image: dict[str, Any]) -> dict[str, Any]:
    limits = config.limits
    spec = Spec(
        tree=LAYER,
        commit=layer.commit,
        workdir=config.workdir,
        prefixes=[],
        python="",
        environment=_environment(config, image),
        privileged=True,
        user=config.command_user,
        shared=False,
        memory_bytes=limits.memory_bytes,
        processes=_UNCOUNTED,
        disk_bytes=limits.disk_bytes,
        files=limits.files,
        output_bytes=limits.output_bytes,
        read_bytes=limits.read_bytes,
        patch_seconds=PATCH_SECONDS,
        inside_user=config.command_user,
    )
    return {"spec": spec._asdict(), "copy": not config.owns_tree, "git": toolbox.git}


def _environment(config: ContainersConfig, image: dict[str, Any]) -> dict[str, str]:
    """The image's variables, ours, the user's own."""
    own = dict(text.split("=", 1) for text in image["Config"].get("Env") or () if "=" in text)
    path = ":".join(
        [*config.search, own.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")]
    )
    home = {"HOME": "/root", "USER": "root", "LOGNAME": "root"} if config.command_user == 0 else {}
    return own | COMMON_ENVIRONMENT | home | {"PATH": path} | config.environment


def _run_options(config: ContainersConfig, size: int, files: int, mounted: bool) -> list[str]:
    """Options of the engine's `run`, up to the image; `size` and `files` are those of the copied tree."""
    limits = config.limits
    memory = limits.memory_bytes + 2 * limits.disk_bytes + size + _OWN_BYTES + _MESSAGE_BYTES
    return [
        "--rm",
        *(["--read-only"] if mounted and not config.owns_tree else []),
        "--pull=never",
        "--log-driver=none",
        "--no-healthcheck",
        "--hostname=sandbox",
        "--user=0:0",
        "--workdir=/",
        "--cap-drop=ALL",
        *(f"--cap-add={name}" for name in _CAPABILITIES),
        "--security-opt=no-new-privileges",
        f"--network={config.network}",
        f"--memory={memory}",
        f"--memory-swap={memory}",
        f"--pids-limit={limits.processes + _OWN_PROCESSES}",
        *((f"--cpus={limits.cpus}",) if limits.cpus else ()),
        *((f"--platform={config.platform}",) if config.platform else ()),
        *_engine_options(config),
        *(f"--sysctl={name}={value}" for name, value in _SYSCTLS),
        *_storage_options(config, size, files),
        *config.options,
        f"--entrypoint={SEEN}/so/loader",
    ]


def _engine_options(config: ContainersConfig) -> list[str]:
    """Where the engines differ."""
    if isinstance(config, PodmanConfig):  # raises limits unasked, which fails where it has no right to
        return [f"--ulimit={name}={most}:{most}" for name, most in _ULIMITS]
    return ["--dns=127.0.0.1", "--dns-search=."] if config.network == "none" else []


def _storage_options(config: ContainersConfig, size: int, files: int) -> list[str]:
    """File systems in memory for what commands write, and for process 1's own."""
    limits: Limits = config.limits
    podman = isinstance(config, PodmanConfig)  # knows no `nr_inodes`, and copies what it covers
    places = {_MESSAGES: f"size={_MESSAGE_BYTES + limits.disk_bytes},mode=0755"}
    for place, (of_bytes, of_files) in _SHARES.items():
        if place == "" and config.owns_tree:
            continue
        extra_bytes, extra_files = (size, files) if place == "" else (0, 0)
        mode = "0755" if place in ("", HOME) else "1777"
        places[place or config.workdir] = (
            f"size={int(limits.disk_bytes * of_bytes) + extra_bytes},mode={mode}"
            + ("" if podman else f",nr_inodes={int(limits.files * of_files) + extra_files + 16}")
        )
    no_copy = ",notmpcopyup" if podman else ""
    return [*(f"--tmpfs={place}:rw,exec,nosuid,nodev,{rest}{no_copy}" for place, rest in places.items())]


def _bind_options(config: ContainersConfig, toolbox: Path, tree: Path, shown: list[str]) -> list[str]:
    """What containers see of this machine; `shown` at its own path. Where such a path leads through the home
    of the image's root, which others may not enter, that home is covered."""
    binds = [(toolbox, SEEN), (tree, LAYER), *((Path(path).resolve(), path) for path in shown)]
    hidden = [path for path in config.hidden if any(path.is_relative_to(top) for top in shown)]
    closed = config.command_user != 0 and any(Path(path).is_relative_to(CLOSED_HOME) for path in shown)
    return [
        *((f"--tmpfs={CLOSED_HOME}:ro,mode=0755,size=64k",) if closed else ()),
        *(f"--mount=type=bind,source={source},target={target},readonly" for source, target in binds),
        *(f"--tmpfs={path}:ro,size=4k" for path in hidden if path.is_dir()),
    ]


def _measure(tree: Path) -> tuple[int, int]:
    """Bytes and files of a tree, as a file system in memory counts them."""
    page = os.sysconf("SC_PAGE_SIZE")
    size = files = 0
    for path in tree.rglob("*"):
        size += -(-path.lstat().st_size // page) * page + page
        files += 1
    return size, files


def _pack(archive: Path, toolbox: Path, tree: Path) -> None:
    """The toolbox and the layer, for engines that do not see this machine's files."""
    with tarfile.open(archive, "w") as tar:
        for source, target in ((toolbox, SEEN), (tree, LAYER)):
            tar.add(source, target.lstrip("/"))
