"""The far end of `workers`: one process that works on batches until there are no more.

standard input    a job, then batches              standard output    an answer to each batch
"""

import os
import signal
import sys
import time
from contextlib import suppress
from threading import Thread
from typing import IO

import msgspec

from sera.datasets.decide import Deciding
from sera.datasets.proof.rows import Proving
from sera.datasets.workers import Answer, receive, send
from sera.errors import SeraError

_GLANCE = 0.3
"""Seconds between looks at the parent."""


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Answer batches until the input ends. An expected error is an answer too."""
    job = msgspec.msgpack.decode(receive(requests) or b"", type=Deciding | Proving)
    work = None
    while (batch := receive(requests)) is not None:
        try:
            work = work or job.start()
            results = work(msgspec.msgpack.decode(batch, type=list[bytes]))
            answer = Answer(results=msgspec.msgpack.encode(results))
        except SeraError as problem:
            answer = Answer(problem=str(problem))
        send(answers, msgspec.msgpack.encode(answer))


def _end_with(parent: int) -> None:
    """In the middle of a batch, the end of the input would be noticed late."""
    while os.getppid() == parent:
        time.sleep(_GLANCE)
    os._exit(1)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with, args=(int(sys.argv[1]),), daemon=True).start()
    with suppress(BrokenPipeError):
        serve(sys.stdin.buffer, sys.stdout.buffer)
    os._exit(0)  # nobody reads any more, so what is left in the buffers must not be written
