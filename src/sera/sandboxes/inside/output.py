"""What a command prints, kept within bounds: the beginning, the end, and a count of what fell out."""

import os
from collections import deque

_CHUNK = 1 << 16
_PIPE_FULL = 1 << 20  # more than any pipe holds: enough to empty one, and no endless writer is served


class Output:
    """Collects from a non-blocking pipe; at most `limit` bytes are held."""

    def __init__(self, limit: int) -> None:
        self._head = bytearray()
        self._head_limit = limit // 2
        self._tail: deque[bytes] = deque()
        self._tail_limit = limit - self._head_limit
        self._tail_size = 0
        self._dropped = 0

    def take(self, pipe: int) -> bool:
        """Read once; False when there is nothing (more)."""
        try:
            chunk = os.read(pipe, _CHUNK)
        except BlockingIOError:
            return False
        self._add(chunk)
        return bool(chunk)

    def drain(self, pipe: int) -> None:
        """Read what is in the pipe now."""
        for _ in range(_PIPE_FULL // _CHUNK):
            if not self.take(pipe):
                return

    def _add(self, chunk: bytes) -> None:
        room = self._head_limit - len(self._head)
        if room > 0:
            self._head += chunk[:room]
            chunk = chunk[room:]
        if not chunk:
            return
        self._tail.append(chunk)
        self._tail_size += len(chunk)
        while self._tail_size - len(self._tail[0]) >= self._tail_limit:
            gone = len(self._tail.popleft())
            self._tail_size -= gone
            self._dropped += gone

    def result(self) -> tuple[bytes, int]:
        """The bytes kept, and how many were dropped from their middle."""
        tail = b"".join(self._tail)
        surplus = max(0, len(tail) - self._tail_limit)
        return bytes(self._head) + tail[surplus:], self._dropped + surplus
