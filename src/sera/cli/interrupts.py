"""Ctrl-C while something is at work: once lets the steps under way end, twice stops at once."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from sera.cli.common import complain

INTERRUPTED = "interrupted"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Haltable(Protocol):
    """Work that can be told to stop."""

    @property
    def halted(self) -> str: ...

    def halt(self, reason: str) -> None: ...


@contextmanager
def interruptible(work: Haltable) -> Iterator[None]:
    """Ctrl-C (or SIGTERM) tells `work` to stop; a second one cancels the task that entered this block."""
    loop, working = asyncio.get_running_loop(), asyncio.current_task()

    def interrupt() -> None:
        if work.halted and working:
            working.cancel()
            return
        work.halt(INTERRUPTED)
        complain(
            "finishing the steps under way; Ctrl-C once more stops at once and loses none of them either"
        )

    for number in _SIGNALS:
        loop.add_signal_handler(number, interrupt)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
