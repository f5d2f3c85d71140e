"""Sharing work on samples or rows among processes, with results in the order in which they were given.

Every process is `python -m sera.datasets.worker`, is told its job once, and then answers one batch at a
time over its pipes. It ends when its input does, so none outlives the process that started it, however
that ends. What is too little to be worth their start is done here.

Each process has one thread of the tokenizer's: what goes on around it is Python, so that processes fill the
cores better than many such threads, and both together would be too many. With the library's parallelism
off it would work in the calling thread, where it takes half as long again (`benchmarks/tokenising.py`).
"""

import os
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain
from queue import SimpleQueue
from typing import IO, Protocol, TypeVar

import msgspec

from sera.errors import DatasetError
from sera.processors import processors
from sera.records import Record

Batch = Sequence[bytes]
"""Samples or rows, each as bytes."""
_SMALL = 4_000_000
"""Bytes that are not worth starting processes for."""
_AHEAD = 2
"""Batches under way for each process: one at work, one waiting."""
_LENGTH = struct.Struct(">Q")
Result = TypeVar("Result")
ResultOut = TypeVar("ResultOut", covariant=True)


class Job(Protocol[ResultOut]):
    """What processes are told to do: a record, so that it can be sent."""

    def start(self) -> Callable[[Batch], Sequence[ResultOut]]:
        """Make ready, in the process that does the work; gives what answers a batch."""
        ...

    def read(self, answer: bytes) -> Sequence[ResultOut]:
        """Results that came over a pipe."""
        ...


class Answer(Record, frozen=True):
    """What a process answers: results, or the sentence of an error."""

    results: bytes = b""
    problem: str = ""


def share(
    job: Job[Result], batches: Iterable[Batch], workers: int
) -> Generator[Sequence[Result], None, None]:
    """The results of each batch, in order; `workers`: processes, 0 for one for each core if that is worth it.

    Raises the first `SeraError` that the work raises. Closing it ends the processes.
    """
    count, given = workers or processors(), iter(batches)
    first: list[Batch] = []
    while not workers and count > 1 and sum(map(_size, first)) <= _SMALL:
        if not (batch := next(given, None)):
            count = 1
        else:
            first.append(batch)
    if count == 1:
        yield from map(job.start(), chain(first, given))
    else:
        with _pool(count, msgspec.msgpack.encode(job)) as pool:
            yield from map(job.read, pool.answers(chain(first, given)))


def _size(batch: Batch) -> int:
    return sum(map(len, batch))


class _Worker:
    """The near end of one process."""

    def __init__(self, order: bytes) -> None:
        environment = os.environ | {"TOKENIZERS_PARALLELISM": "true", "RAYON_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sera.datasets.worker", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        assert self.process.stdin
        assert self.process.stdout
        self._input, self._output = self.process.stdin, self.process.stdout
        send(self._input, order)

    def ask(self, batch: Batch) -> Answer:
        """Its answer to one batch."""
        try:
            send(self._input, msgspec.msgpack.encode(batch))
            answer = receive(self._output)
        except OSError:
            answer = None
        if answer is None:
            raise DatasetError(
                f"a process that worked on samples ended unexpectedly (exit code {self.process.wait()}); "
                f"the same command goes on, and --workers 1 uses no others"
            )
        return msgspec.msgpack.decode(answer, type=Answer)

    def close(self) -> None:
        """See that it has ended, and give its pipes back."""
        self.process.kill()
        for pipe in (self._input, self._output):
            with suppress(BrokenPipeError):
                pipe.close()
        self.process.wait()


class _Pool:
    """Threads that each ask a free worker."""

    def __init__(self, workers: Sequence[_Worker], threads: ThreadPoolExecutor) -> None:
        self._count = len(workers)
        self._threads = threads
        self._free: SimpleQueue[_Worker] = SimpleQueue()
        for worker in workers:
            self._free.put(worker)

    def answers(self, batches: Iterable[Batch]) -> Iterator[bytes]:
        waiting: deque[Future[Answer]] = deque()
        for batch in batches:
            waiting.append(self._threads.submit(self._ask, batch))
            if len(waiting) >= _AHEAD * self._count:
                yield _results(waiting.popleft())
        while waiting:
            yield _results(waiting.popleft())

    def _ask(self, batch: Batch) -> Answer:
        worker = self._free.get()
        try:
            return worker.ask(batch)
        finally:
            self._free.put(worker)


@contextmanager
def _pool(count: int, order: bytes) -> Iterator[_Pool]:
    """Workers, and the threads that ask them. However it is left, the processes end first: only then do
    threads that wait for an answer."""
    with ExitStack() as stack:
        workers = []
        for _ in range(count):
            workers.append(_Worker(order))
            stack.callback(workers[-1].close)
        threads = stack.enter_context(ThreadPoolExecutor(count))
        for worker in workers:
            stack.callback(worker.process.kill)
        stack.callback(threads.shutdown, wait=False, cancel_futures=True)
        yield _Pool(workers, threads)


def _results(answer: "Future[Answer]") -> bytes:
    if problem := answer.result().problem:
        raise DatasetError(problem)
    return answer.result().results


def send(file: IO[bytes], message: bytes) -> None:
    """Write one message behind its length."""
    file.write(_LENGTH.pack(len(message)))
    file.write(message)
    file.flush()


def receive(file: IO[bytes]) -> bytes | None:
    """The next message, or None at the end, also where it comes in the middle of one."""
    head = file.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    message = file.read(length)
    return message if len(message) == length else None
