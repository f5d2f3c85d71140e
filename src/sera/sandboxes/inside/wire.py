"""Frames on the socket between the host and process 1: a JSON header, and bytes that need no quoting.

A frame is two big-endian 32-bit lengths, the header, the body. Both sides refuse lengths above the
bounds they are given, so that neither can be made to buffer without end.
"""

import json
import socket
import struct
from typing import Any

LENGTHS = struct.Struct("!II")
HEADER_LIMIT = 16 << 20


class Closed(Exception):
    """The other side is gone, or does not keep to the frames."""


def pack(header: dict[str, Any], body: bytes = b"") -> bytes:
    """One frame, ready to send."""
    text = json.dumps(header).encode()
    return LENGTHS.pack(len(text), len(body)) + text + body


def receive(connection: socket.socket, body_limit: int) -> tuple[dict[str, Any], bytes]:
    """The next frame of a blocking socket; `Closed` at its end."""
    header_length, body_length = LENGTHS.unpack(_exactly(connection, LENGTHS.size))
    if header_length > HEADER_LIMIT or body_length > body_limit:
        raise Closed
    header = json.loads(_exactly(connection, header_length))
    return header, _exactly(connection, body_length)


def _exactly(connection: socket.socket, length: int) -> bytes:
    parts = []
    while length:
        part = connection.recv(min(length, 1 << 20))
        if not part:
            raise Closed
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
