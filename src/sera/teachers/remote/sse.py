"""Server-sent events as language models send them: each `data:` line is one JSON object.

Tolerant: CRLF or LF, a byte order mark, comments (keep-alives), event names, empty lines, a missing space
after the colon, a last line without its end. `[DONE]` is told apart and may be missing. Bounded: a line in
bytes, a stream in events; the bytes of all of it are bounded by whoever reads them. The work is linear
however they are cut.
"""

from codecs import BOM_UTF8
from collections.abc import Iterator
from typing import Any

import msgspec

from sera.untrusted import decode

DONE = b"[DONE]"
LONGEST_LINE, MOST_EVENTS = 8 << 20, 1 << 18
"""Bytes of one line, and lines with data in one stream: a tool call may come in one event, and a token has
one."""


class EventReader:
    """Bytes in, as they come; objects out."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._events = 0
        self.done = False
        """Whether `[DONE]` has come."""

    def feed(self, piece: bytes) -> Iterator[dict[str, Any]]:
        """The objects that `piece` completes; `msgspec.DecodeError` for a line that is no object, and for
        more than a line or a stream may have."""
        *lines, rest = piece.split(b"\n")
        for line in lines:
            yield from self._read(bytes(self._rest) + line if self._rest else line)
            self._rest.clear()
        self._rest += rest
        if len(self._rest) > LONGEST_LINE:
            raise msgspec.DecodeError(f"a line is longer than {LONGEST_LINE:,} bytes, the limit")

    def finish(self) -> Iterator[dict[str, Any]]:
        """What the last line held, if the stream ended without its end."""
        yield from self._read(bytes(self._rest))

    def _read(self, line: bytes) -> Iterator[dict[str, Any]]:
        name, _, data = line.strip().removeprefix(BOM_UTF8).partition(b":")
        data = data.strip()
        if name != b"data" or not data:
            return
        self._events += 1
        if self._events > MOST_EVENTS:
            raise msgspec.DecodeError(f"it has more than {MOST_EVENTS:,} events, the limit")
        if data == DONE:
            self.done = True
        else:
            yield decode(data, dict[str, Any])
