"""One sandbox at the far end of a connection, whatever it is built of.

All work is done by process 1 of the sandbox (see `inside`), which this side does not trust: what arrives is
bounded in size, typed, and never a path or a command here. One request is under way at a time; cancelling
one closes the sandbox, since its answer could no longer be told from the next.
"""

import errno
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from typing import Any

import msgspec

from sera import untrusted
from sera.errors import SandboxError, SandboxLost, boundary
from sera.sandboxes.connection import Connection, Reply
from sera.sandboxes.contract import CommandResult, Entry, Limits, Taken
from sera.sandboxes.inside.spec import COMMAND_LIMIT, NAMED_PRODUCTS, PATCH_BYTES
from sera.sandboxes.machine import PATCH_SECONDS

_GRACE_SECONDS = 60.0
"""How much later than promised an answer may come before the sandbox counts as gone."""
_PATH_LIMIT = 4096
_ARGUMENTS_LIMIT = 2 << 20


def longest_answer(limits: Limits) -> int:
    """The most bytes that any answer of a sandbox may have."""
    return max(limits.read_bytes, limits.output_bytes, PATCH_BYTES)


class ConnectedSandbox:
    """One sandbox, as `Sandbox` promises."""

    def __init__(
        self,
        connection: Connection,
        workdir: str,
        largest: int,
        room: Callable[[], AbstractContextManager[None]] = nullcontext,
        turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> None:
        """`room` gives the sandbox more memory while it is held; `turn` is held for every request."""
        self._connection = connection
        self._room = room
        self._turn = turn
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
            entries: list[tuple[str, bool]] = untrusted.decode(body, list[tuple[str, bool]])
            return [Entry(name, is_directory) for name, is_directory in entries]

    async def patch(self) -> str:
        return (await self.take_patch()).patch

    async def take_patch(self) -> Taken:
        with self._room():
            reply, body = await self._ask({"op": "patch"}, seconds=3 * PATCH_SECONDS)
        return Taken(
            patch=body.decode(errors="replace"),
            left_out=max(0, reply.left_out),
            products=tuple(name[:_PATH_LIMIT] for name in reply.products[:NAMED_PRODUCTS]),
        )

    async def state(self, like: str = "") -> str:
        reply, body = await self._ask({"op": "state", "like": like})
        if reply.errno is not None:
            raise SandboxError(f"the tree could not be looked at: {reply.message}")
        return body.decode(errors="replace")

    async def _ask_about(self, path: str, request: dict[str, Any], body: bytes = b"") -> tuple[Reply, bytes]:
        if len(path) > _PATH_LIMIT:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), f"{path[:80]}…")
        reply, content = await self._ask({**request, "path": path}, body)
        if reply.errno is not None:
            raise OSError(reply.errno, reply.message, path)
        return reply, content

    async def _ask(
        self, request: dict[str, Any], body: bytes = b"", seconds: float = 0.0
    ) -> tuple[Reply, bytes]:
        async with self._turn():
            reply, content = await self._connection.ask(request, body, seconds + _GRACE_SECONDS)
        if reply.error:
            raise SandboxLost(reply.error)
        return reply, content


def _result(reply: Reply, output: bytes) -> CommandResult:
    return CommandResult(
        output=output.decode(errors="replace"),
        exit_code=reply.exit_code,
        dropped_bytes=reply.dropped,
        timed_out=reply.timed_out,
        limit=reply.limit,
        shell_restarted=bool(reply.restarted),
        directory=reply.restarted,
    )
