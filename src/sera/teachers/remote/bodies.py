"""What a server sends, read with a bound: bytes as they come, and bytes once they are unpacked.

Every body read from a server passes through here: answers, refusals, streams, lists of models. `identity` is
asked for, as answers are small; a gateway that packs them all the same may use gzip or deflate, once. Each
step unpacks at most `_STEP` bytes, so that no chunk explodes, and what is over the bound is never held. The
time of a body is bounded by whoever asks.
"""

import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator

import httpx2

MOST_BYTES = 64 << 20
"""Of one answer, unless the settings say otherwise. A streamed token takes some 300 bytes of events, and 500
where a filter of contents reports on each, so this holds 100,000 of them, and far more unstreamed ones."""
ASKED = {"accept-encoding": "identity"}
"""Header of every request."""
_STEP = 65_536
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
_PLAIN = ("", "identity", "none", "utf-8")
"""Encodings that pack nothing: some servers write those of the text here."""
_PACKED = ("gzip", "x-gzip", "deflate")


class Unbounded(httpx2.HTTPError):
    """The body is larger than it may be, or packed so that nobody can tell: it was not read on. One of the
    client's errors, so that whoever handles those handles it."""


async def pieces(response: httpx2.Response, most: int) -> AsyncIterator[bytes]:
    """The body in pieces, unpacked. Raises `Unbounded` before it has given more than `most` bytes, or read
    more than that many."""
    unpack = _unpacking(response.headers.get("content-encoding", ""))
    came = gave = 0
    async for raw in response.aiter_raw():
        came += len(raw)
        for piece in unpack(raw) if came <= most else ():
            gave += len(piece)
            if gave > most:
                break
            yield piece
        if max(came, gave) > most:
            raise Unbounded(f"the answer is longer than {most:,} bytes, the limit (teacher.answer_bytes)")


async def whole(response: httpx2.Response, most: int) -> bytes:
    """The body, unpacked. Raises `Unbounded` if it has more than `most` bytes."""
    body = bytearray()
    async for piece in pieces(response, most):
        body += piece
    return bytes(body)


async def beginning(response: httpx2.Response, most: int) -> tuple[bytes, bool]:
    """What of the body comes within `most` bytes, and whether that is all."""
    body = bytearray()
    try:
        async for piece in pieces(response, most):
            body += piece
    except Unbounded:
        return bytes(body), False
    return bytes(body), True


def _unpacking(told: str) -> Callable[[bytes], Iterable[bytes]]:
    kinds = [kind for kind in map(str.strip, told.lower().split(",")) if kind not in _PLAIN]
    if not kinds:
        return lambda raw: (raw,)
    if len(kinds) == 1 and kinds[0] in _PACKED:
        return _Packed()
    raise Unbounded(
        f"the answer is packed as {told[:40]!r}, which was not asked for: only gzip or deflate is read"
    )


class _Packed:
    """gzip or deflate, the latter with its frame or without, as servers disagree."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._began = False

    def __call__(self, raw: bytes) -> Iterator[bytes]:
        rest = raw
        while rest and not self._zlib.eof:
            yield self._step(rest)
            rest = self._zlib.unconsumed_tail

    def _step(self, raw: bytes) -> bytes:
        try:
            piece = self._zlib.decompress(raw, _STEP)
        except zlib.error as problem:
            if self._began:
                raise Unbounded(f"the answer cannot be unpacked: {problem}") from None
            self._zlib, self._began = zlib.decompressobj(-zlib.MAX_WBITS), True
            return self._step(raw)
        self._began = True
        return piece
