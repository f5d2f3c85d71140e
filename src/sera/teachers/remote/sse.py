"""Server-sent events as language models send them: each `data:` line is one JSON object.

Tolerant: CRLF or LF, comments (keep-alives), event names, empty lines, a missing space after the colon,
a last line without its end. `[DONE]` is told apart and may be missing.
"""

from collections.abc import Iterator
from typing import Any

from sera.untrusted import decode

DONE = b"[DONE]"


class EventReader:
    """Bytes in, as they come; objects out."""

    def __init__(self) -> None:
        self._rest = b""
        self.done = False
        """Whether `[DONE]` has come."""

    def feed(self, piece: bytes) -> Iterator[dict[str, Any]]:
        """The objects that `piece` completes; `msgspec.DecodeError` for a line that is no object."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            yield from self._read(line)

    def finish(self) -> Iterator[dict[str, Any]]:
        """What the last line held, if the stream ended without its end."""
        yield from self._read(self._rest)

    def _read(self, line: bytes) -> Iterator[dict[str, Any]]:
        name, _, data = line.strip().partition(b":")
        data = data.strip()
        if name != b"data" or not data:
            return
        if data == DONE:
            self.done = True
        else:
            yield decode(data, dict[str, Any])
