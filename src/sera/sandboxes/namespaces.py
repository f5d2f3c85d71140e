"""The default backend: sandboxes made of Linux namespaces, by root or by an ordinary user.

This side holds one socket per sandbox and nothing else; all work is done by process 1 of the
sandbox (see `inside`), which this side does not trust: what arrives is bounded in size, typed, and
never a path or a command here. One request is under way at a time; cancelling one closes the sandbox,
since its answer could no longer be told from the next.

Needs Linux 5.12 with user namespaces, and git and bash in the system's directories. Where
the kernel refuses an overlay, each sandbox copies the tree, and `notice` says so.
"""

import asyncio
import errno
import os
import resource
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from sera.errors import SandboxError, boundary
from sera.sandboxes.contract import CommandResult, Entry, Layer, Limits, Sandbox
from sera.sandboxes.inside import wire
from sera.sandboxes.inside.spec import COMMAND_LIMIT, HOME, LINKS, Spec

_COMMAND_USER = 61_000
"""User number of commands when the host process is root; free on systems that follow systemd's ranges."""
_CREATE_SECONDS = 60.0
_CLOSE_SECONDS = 5.0
_GRACE_SECONDS = 60.0
"""How much later than promised an answer may come before the sandbox counts as gone."""
_PATCH_SECONDS = 60.0
_OPEN_FILES = 8192
_PATH_LIMIT = 4096
_ARGUMENTS_LIMIT = 2 << 20
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64")
_SYSTEM_PATH = ("/usr/local/bin", "/usr/bin", "/bin")
_ENVIRONMENT = {
    "HOME": HOME,
    "USER": "user",
    "LOGNAME": "user",
    "SHELL": "/bin/bash",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "TZ": "UTC",
    "PAGER": "cat",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "GIT_PAGER": "cat",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": "user",
    "GIT_AUTHOR_EMAIL": "user@sandbox",
    "GIT_COMMITTER_NAME": "user",
    "GIT_COMMITTER_EMAIL": "user@sandbox",
}
_BOOT = "import sys; sys.path.append(sys.argv[1]); from inside.spawner import main; main(int(sys.argv[2]))"


class NamespacesConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How sandboxes of namespaces are made."""

    limits: Limits = Limits()
    workdir: str = "/testbed"
    """Where the working tree is seen inside."""
    python: Path | None = None
    """Prefix of the interpreter commands use: a virtual environment or an installation. None: the
    one this process runs on, without this process's virtual environment."""
    mounts: tuple[Path, ...] = ()
    """Further host directories, seen read-only at their own path."""
    environment: dict[str, str] = {}
    """Further variables for commands."""
    share_layer: bool = True
    """False: every sandbox copies the tree, as it must where the kernel refuses an overlay."""


# ── one connection ────────────────────────────────────────────────────────────────────────────────


class _Reply(msgspec.Struct, frozen=True):
    ready: bool = False
    error: str = ""
    errno: int | None = None
    message: str = ""
    exit_code: int | None = None
    dropped: int = 0
    timed_out: bool = False
    limit: str = ""
    restarted: bool = False


_decode = msgspec.json.Decoder(_Reply).decode
_decode_entries = msgspec.json.Decoder(list[tuple[str, bool]]).decode


class _Connection(asyncio.Protocol):
    """Frames to and from one process 1."""

    def __init__(self, body_limit: int) -> None:
        self._limit = body_limit
        self._buffer = bytearray()
        self._wanted = wire.LENGTHS.size
        self._answer: asyncio.Future[tuple[_Reply, bytes]] | None = None
        self._transport: asyncio.Transport | None = None
        self.gone = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=0)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) < self._wanted:
            return
        try:
            frame = self._frame()
        except (msgspec.MsgspecError, ValueError) as error:
            self._fail(f"the sandbox sent what is no answer: {error}")
            return
        if frame and self._answer and not self._answer.done():
            self._answer.set_result(frame)
        elif frame:
            self._fail("the sandbox answered unasked")

    def _frame(self) -> tuple[_Reply, bytes] | None:
        start = wire.LENGTHS.size
        header, body = wire.LENGTHS.unpack_from(self._buffer)
        if header > wire.HEADER_LIMIT or body > self._limit:
            raise ValueError("too long")
        self._wanted = start + header + body
        if len(self._buffer) < self._wanted:
            return None
        if len(self._buffer) > self._wanted:
            raise ValueError("more than one")
        view = memoryview(self._buffer)
        reply, content = _decode(view[start : start + header]), bytes(view[start + header :])
        view.release()
        self._buffer = bytearray()
        self._wanted = start
        return reply, content

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the sandbox is gone{f': {exc}' if exc else ''}")
        if not self.gone.done():
            self.gone.set_result(None)

    def _fail(self, why: str) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(SandboxError(why))
        self.abort()

    def abort(self) -> None:
        """Hang up at once."""
        if self._transport:
            self._transport.abort()

    def hang_up(self) -> None:
        """Let the other side finish: it kills everything, then closes."""
        if self._transport and not self._transport.is_closing():
            self._transport.write_eof()

    async def ask(self, request: dict[str, Any] | None, body: bytes, seconds: float) -> tuple[_Reply, bytes]:
        """Send a request (None: only listen) and wait for its answer."""
        if self._transport is None or self._transport.is_closing():
            raise SandboxError("the sandbox is closed")
        if self._answer is not None:
            raise RuntimeError("one request at a time")
        self._answer = asyncio.get_running_loop().create_future()
        try:
            if request is not None:
                self._transport.write(wire.pack(request, body))
            async with asyncio.timeout(seconds):
                return await self._answer
        except TimeoutError:
            self.abort()
            raise SandboxError(f"the sandbox did not answer within {seconds:.0f} s") from None
        except asyncio.CancelledError:
            self.abort()
            raise
        finally:
            self._answer = None


# ── one sandbox ───────────────────────────────────────────────────────────────────────────────────


class NamespaceSandbox:
    """One sandbox, as `Sandbox` promises."""

    def __init__(self, connection: _Connection, workdir: str, largest: int) -> None:
        self._connection = connection
        self._workdir = workdir
        self._largest = largest

    @property
    def workdir(self) -> str:
        return self._workdir

    async def run(self, command: str, timeout: float) -> CommandResult:
        # bash holds no NUL either; it drops them from a script, and so do we
        text = command.replace("\0", "").encode(errors="replace")
        if len(text) > COMMAND_LIMIT:
            return CommandResult(output=f"command is longer than {COMMAND_LIMIT} bytes\n", exit_code=126)
        return _result(*await self._ask({"op": "run", "seconds": timeout}, text, timeout))

    async def execute(
        self, argv: list[str], timeout: float, env: dict[str, str] | None = None
    ) -> CommandResult:
        if sum(map(len, argv)) + sum(map(len, (env or {}).values())) > _ARGUMENTS_LIMIT:
            return CommandResult(output="argument list too long\n", exit_code=126)
        request = {"op": "execute", "argv": argv, "env": env or {}, "seconds": timeout}
        return _result(*await self._ask(request, seconds=timeout))

    async def read(self, path: str) -> bytes:
        return (await self._ask_about(path, {"op": "read"}))[1]

    async def write(self, path: str, content: bytes) -> None:
        if len(content) > self._largest:
            raise OSError(errno.EFBIG, f"File would be larger than {self._largest} bytes", path)
        await self._ask_about(path, {"op": "write"}, content)

    async def list(self, path: str, depth: int) -> list[Entry]:
        _, body = await self._ask_about(path, {"op": "list", "depth": depth})
        with boundary(SandboxError, "the sandbox sent what is no listing", msgspec.MsgspecError):
            return [Entry(name, is_directory) for name, is_directory in _decode_entries(body)]

    async def patch(self) -> str:
        _, body = await self._ask({"op": "patch"}, seconds=3 * _PATCH_SECONDS)
        return body.decode(errors="replace")

    async def _ask_about(self, path: str, request: dict[str, Any], body: bytes = b"") -> tuple[_Reply, bytes]:
        if len(path) > _PATH_LIMIT:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), f"{path[:80]}…")
        reply, content = await self._ask({**request, "path": path}, body)
        if reply.errno is not None:
            raise OSError(reply.errno, reply.message, path)
        return reply, content

    async def _ask(
        self, request: dict[str, Any], body: bytes = b"", seconds: float = 0.0
    ) -> tuple[_Reply, bytes]:
        reply, content = await self._connection.ask(request, body, seconds + _GRACE_SECONDS)
        if reply.error:
            raise SandboxError(reply.error)
        return reply, content


def _result(reply: _Reply, output: bytes) -> CommandResult:
    return CommandResult(
        output=output.decode(errors="replace"),
        exit_code=reply.exit_code,
        dropped_bytes=reply.dropped,
        timed_out=reply.timed_out,
        limit=reply.limit,
        shell_restarted=reply.restarted,
    )


# ── the backend ───────────────────────────────────────────────────────────────────────────────────


class Namespaces:
    """Makes sandboxes of one layer, as `Backend` promises."""

    def __init__(self, layer: Layer, config: NamespacesConfig | None = None) -> None:
        self._layer = layer
        self._config = config or NamespacesConfig()
        self._spawner: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._notice = ""
        self._sending = asyncio.Lock()

    @property
    def notice(self) -> str:
        return self._notice

    async def __aenter__(self) -> "Namespaces":
        _raise_open_files()
        spec = _spec(self._layer, self._config)
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
            raise SandboxError(f"cannot make a sandbox: {reply['error']}. {_cure()}")
        self._notice = reply["notice"]

    async def __aexit__(self, *exc: object) -> None:
        if self._control:
            self._control.close()
            self._control = None
        if self._spawner:
            spawner, self._spawner = self._spawner, None
            try:
                await asyncio.shield(asyncio.to_thread(spawner.wait, _CLOSE_SECONDS))
            except subprocess.TimeoutExpired:
                spawner.kill()
                spawner.wait()

    def sandbox(self) -> AbstractAsyncContextManager[Sandbox]:
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Sandbox]:
        connection = await self._connect()
        try:
            reply, _ = await connection.ask(None, b"", _CREATE_SECONDS)
            if reply.error:
                raise SandboxError(f"cannot make a sandbox: {reply.error}. {_cure()}")
            yield NamespaceSandbox(connection, self._config.workdir, self._config.limits.read_bytes)
        finally:
            await _close(connection)

    async def _connect(self) -> _Connection:
        if self._control is None:
            raise SandboxError("the backend is not open")
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                ours.setblocking(False)
                async with self._sending:
                    await _send_descriptor(self._control, theirs.fileno())
                limit = max(self._config.limits.read_bytes, self._config.limits.output_bytes, 65 << 20)
                loop = asyncio.get_running_loop()
                _, connection = await loop.create_connection(lambda: _Connection(limit), sock=ours)
            except BaseException:
                ours.close()
                raise
        return connection


async def _send_descriptor(control: socket.socket, descriptor: int) -> None:
    while True:
        try:
            socket.send_fds(control, [b"1"], [descriptor])
            return
        except BlockingIOError:
            await asyncio.sleep(0.001)
        except OSError as error:
            raise SandboxError(f"the spawner of sandboxes is gone: {error}") from error


async def _close(connection: _Connection) -> None:
    """Hang up and wait until everything inside is dead; if cancelled meanwhile, do not wait."""
    try:
        connection.hang_up()
        async with asyncio.timeout(_CLOSE_SECONDS):
            await asyncio.shield(connection.gone)
    except TimeoutError:
        pass
    finally:
        connection.abort()


# ── what a sandbox needs of this machine ──────────────────────────────────────────────────────────


def _spec(layer: Layer, config: NamespacesConfig) -> Spec:
    tree = layer.tree.resolve()
    if not (tree / ".git").is_dir():
        raise SandboxError(f"{layer.tree} is no layer: it has no .git directory")
    prefixes = _prefixes(config.python or Path(sys.base_prefix))
    limits = config.limits
    return Spec(
        tree=str(tree),
        commit=layer.commit,
        workdir=config.workdir,
        prefixes=_mounted([*prefixes, *config.mounts]),
        python=_interpreter(prefixes),
        environment=_ENVIRONMENT | {"PATH": _path(prefixes)} | config.environment,
        privileged=os.geteuid() == 0,
        shared=config.share_layer,
        user=tree.stat().st_uid or _COMMAND_USER,
        memory_bytes=limits.memory_bytes,
        processes=limits.processes,
        disk_bytes=limits.disk_bytes,
        files=limits.files,
        output_bytes=limits.output_bytes,
        read_bytes=limits.read_bytes,
        patch_seconds=_PATCH_SECONDS,
    )


def _prefixes(prefix: Path) -> list[Path]:
    """The prefix, and for a virtual environment the installation it was made from."""
    found = [prefix]
    settings = prefix / "pyvenv.cfg"
    if settings.is_file():
        for line in settings.read_text().splitlines():
            key, _, value = line.partition("=")
            if key.strip() == "home":
                found.append(Path(value.strip()).parent)
    return found


def _interpreter(prefixes: list[Path]) -> str:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    candidates = [prefix / "bin" / name for prefix in prefixes for name in ("python", "python3", version)]
    return str(next((path for path in candidates if path.exists()), "/usr/bin/python3"))


def _is_system(path: Path) -> bool:
    return any(path == top or top in path.parents for top in map(Path, _SYSTEM))


def _mounted(paths: list[Path]) -> list[str]:
    """Each path and what it resolves to, unless the system's directories hold it already."""
    both = [candidate for path in paths for candidate in (path, path.resolve())]
    return list(dict.fromkeys(str(path) for path in both if not _is_system(path)))


def _path(prefixes: list[Path]) -> str:
    own = [str(prefix / "bin") for prefix in prefixes if not _is_system(prefix)]
    return ":".join([*own, LINKS, *_SYSTEM_PATH])


def _raise_open_files() -> None:
    """Each sandbox holds a descriptor here: use what the hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


_SWITCHES = (
    ("kernel/unprivileged_userns_clone", "0", "set it to 1"),
    ("user/max_user_namespaces", "0", "raise it"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "set it to 0, or give this Python a profile"),
)


def _cure() -> str:
    """What most likely forbids it here."""
    for name, forbidding, cure in _SWITCHES:
        switch = Path("/proc/sys") / name
        if switch.exists() and switch.read_text().strip() == forbidding:
            return f"User namespaces are forbidden here by sysctl {name.replace('/', '.')}: {cure}"
    if Path("/.dockerenv").exists():
        options = " ".join(
            f"--security-opt {name}=unconfined" for name in ("seccomp", "apparmor", "systempaths")
        )
        return f"Inside a container, user namespaces and a fresh /proc need {options}"
    return "Linux 5.12 or later with user namespaces is needed"
