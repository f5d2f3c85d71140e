"""Frames on the socket between the host and process 1: a JSON header, and bytes that need no quoting.

A frame is two big-endian 32-bit lengths, the header, the body. Both sides refuse lengths above the
bounds they are given, so that neither can be made to buffer without end.
"""

import json
import os
import struct
from typing import Any, Protocol

LENGTHS = struct.Struct("!II")
HEADER_LIMIT = 16 << 20


class Closed(Exception):
    """The other side is gone, or does not keep to the frames."""


def pack(header: dict[str, Any], body: bytes = b"") -> bytes:
    """One frame, ready to send."""
    text = json.dumps(header).encode()
    return LENGTHS.pack(len(text), len(body)) + text + body


class Channel(Protocol):
    """One end of what frames travel on: a socket, or `Pipes`."""

    def fileno(self) -> int:
        """The descriptor whose end is the other side's end."""
        ...

    def recv(self, most: int, /) -> bytes:
        """Some bytes; none at the end."""
        ...

    def sendall(self, data: bytes, /) -> None:
        """Every byte, however long it takes."""
        ...


class Pipes:
    """A channel of two pipes."""

    def __init__(self, reader: int, writer: int) -> None:
        self._reader = reader
        self._writer = writer

    def fileno(self) -> int:
        return self._reader

    def recv(self, most: int, /) -> bytes:
        return os.read(self._reader, most)

    def sendall(self, data: bytes, /) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._writer, rest) :]


def receive(connection: Channel, body_limit: int) -> tuple[dict[str, Any], bytes]:
    """The next frame of a blocking socket; `Closed` at its end."""
    header_length, body_length = LENGTHS.unpack(_exactly(connection, LENGTHS.size))
    if header_length > HEADER_LIMIT or body_length > body_limit:
        raise Closed
    header = json.loads(_exactly(connection, header_length))
    return header, _exactly(connection, body_length)


def _exactly(connection: Channel, length: int) -> bytes:
    parts = []
    while length:
        part = connection.recv(min(length, 1 << 20))
        if not part:
            raise Closed
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
