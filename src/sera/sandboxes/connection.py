"""The host's end of the socket to process 1 of a sandbox: frames out, frames in, one at a time.

What arrives is not trusted: lengths are bounded, headers typed, and an answer nobody asked for ends
the connection. A request that is cancelled or not answered in time ends it too, since its answer
could no longer be told from the next.
"""

import asyncio
from typing import Any

import msgspec

from sera import untrusted
from sera.errors import SandboxLost
from sera.sandboxes.inside import wire


class Reply(msgspec.Struct, frozen=True):
    """The header of an answer; which fields are set depends on the request."""

    ready: bool = False
    error: str = ""
    errno: int | None = None
    message: str = ""
    exit_code: int | None = None
    dropped: int = 0
    timed_out: bool = False
    limit: str = ""
    restarted: str = ""
    """The directory of the new shell, where one had to be opened."""
    left_out: int = 0
    products: tuple[str, ...] = ()


class Connection(asyncio.Protocol):
    """Frames to and from one process 1."""

    def __init__(self, body_limit: int) -> None:
        self._limit = body_limit
        self._buffer = bytearray()
        self._wanted = wire.LENGTHS.size
        self._answer: asyncio.Future[tuple[Reply, bytes]] | None = None
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

    def _frame(self) -> tuple[Reply, bytes] | None:
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
        reply: Reply = untrusted.decode(view[start : start + header], Reply)
        content = bytes(view[start + header :])
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
            self._answer.set_exception(SandboxLost(why))
        self.abort()

    def abort(self) -> None:
        """Hang up at once."""
        if self._transport:
            self._transport.abort()

    def hang_up(self) -> None:
        """Let the other side finish: it kills everything, then closes."""
        if self._transport and not self._transport.is_closing():
            self._transport.write_eof()

    async def ask(self, request: dict[str, Any] | None, body: bytes, seconds: float) -> tuple[Reply, bytes]:
        """Send a request (None: only listen) and wait for its answer."""
        if self._transport is None or self._transport.is_closing():
            raise SandboxLost("the sandbox is closed")
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
            raise SandboxLost(f"the sandbox did not answer within {seconds:.0f} s") from None
        except asyncio.CancelledError:
            self.abort()
            raise
        finally:
            self._answer = None
