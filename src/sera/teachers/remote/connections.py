"""The connections to one endpoint, one for each request under way.

The client's own pool looks through all of its connections, and asks the kernel about each, for every request
that begins or ends: with hundreds under way that is most of what a request costs. Here each connection is a
pool by itself, and those that are idle wait on a stack: the last one used is taken first.
"""

import time
from collections import deque
from collections.abc import AsyncIterator, Callable

import httpx2

_IDLE = 4.0
"""Seconds an idle connection is kept: less than the five after which uvicorn (vLLM, SGLang) closes it, so
that no request is lost on a connection that is just being closed."""
_LIMITS = httpx2.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=_IDLE)


class Connections(httpx2.AsyncBaseTransport):
    """As many connections as there are requests under way, and those left idle for a moment."""

    def __init__(self) -> None:
        self._trusted = httpx2.create_ssl_context(trust_env=False)
        self._idle: deque[tuple[float, httpx2.AsyncHTTPTransport]] = deque()
        """Since when, oldest first."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await self._close_old()
        connection = self._idle.pop()[1] if self._idle else self._new()

        def give_back() -> None:
            self._idle.append((time.monotonic(), connection))

        try:
            response = await connection.handle_async_request(request)
        except BaseException:
            give_back()
            raise
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Watched(response.stream, give_back)
        return response

    async def aclose(self) -> None:
        while self._idle:
            await self._idle.pop()[1].aclose()

    def _new(self) -> httpx2.AsyncHTTPTransport:
        return httpx2.AsyncHTTPTransport(verify=self._trusted, limits=_LIMITS, trust_env=False)

    async def _close_old(self) -> None:
        while self._idle and time.monotonic() - self._idle[0][0] > _IDLE:
            await self._idle.popleft()[1].aclose()


class _Watched(httpx2.AsyncByteStream):
    """The body of an answer, which says when it is done with."""

    def __init__(self, stream: httpx2.AsyncByteStream, closed: Callable[[], None]) -> None:
        self._stream, self._closed = stream, closed

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            yield piece

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            self._closed()
