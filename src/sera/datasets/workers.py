"""Sharing the work of deciding samples among processes, with results in the order of the samples.

Every process is `python -m sera.datasets.worker`, is told the settings once, and then answers one batch at a
time over its pipes. It ends when its input does, so none outlives the process that started it, however
that ends. A set that is too small to be worth their start is decided here, with the tokenizer's own threads.
"""

import os
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain
from queue import SimpleQueue
from typing import IO

import msgspec

from sera.datasets.config import DatasetConfig
from sera.datasets.decide import Decider, Outcome
from sera.datasets.recipe import Part
from sera.datasets.sample import Sample, Source
from sera.errors import DatasetError
from sera.records import Record

Batch = Sequence[bytes]
"""Samples as `encode_sample` gives them."""
_SMALL = 1_000_000
"""Bytes of samples that are not worth starting processes for."""
_AHEAD = 2
"""Batches under way for each process: one at work, one waiting."""
_LENGTH = struct.Struct(">Q")
encode_sample = msgspec.msgpack.Encoder().encode
decode_sample = msgspec.msgpack.Decoder(Sample).decode


class Order(Record, frozen=True):
    """What a worker is told first."""

    config: DatasetConfig
    parts: tuple[Part, ...]
    sources: tuple[Source, ...]


class Answer(Record, frozen=True):
    """What it answers: outcomes, or the sentence of an error."""

    outcomes: tuple[Outcome, ...] = ()
    problem: str = ""


def decide_all(
    batches: Iterable[Batch], config: DatasetConfig, parts: Sequence[Part], sources: Sequence[Source]
) -> Generator[Sequence[Outcome], None, None]:
    """The outcomes of each batch, in order. Raises the first `SeraError` that deciding raises. Closing
    it ends the processes."""
    count = config.workers or len(os.sched_getaffinity(0))
    given = iter(batches)
    first: list[Batch] = []
    while count > 1 and sum(map(_size, first)) <= _SMALL:
        if not (batch := next(given, None)):
            count = 1
        else:
            first.append(batch)
    if count == 1:
        decider = Decider(config, parts, sources)
        for batch in chain(first, given):
            yield decider.decide([decode_sample(sample) for sample in batch])
    else:
        order = Order(config=config, parts=tuple(parts), sources=tuple(sources))
        with _pool(count, order) as pool:
            yield from pool.results(chain(first, given))


def _size(batch: Batch) -> int:
    return sum(map(len, batch))


class _Worker:
    """The near end of one process."""

    def __init__(self, order: Order) -> None:
        environment = os.environ | {"TOKENIZERS_PARALLELISM": "false"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sera.datasets.worker", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        assert self.process.stdin
        assert self.process.stdout
        self._input, self._output = self.process.stdin, self.process.stdout
        send(self._input, msgspec.msgpack.encode(order))

    def ask(self, batch: Batch) -> Answer:
        """Its answer to one batch."""
        try:
            send(self._input, msgspec.msgpack.encode(batch))
            answer = receive(self._output)
        except OSError:
            answer = None
        if answer is None:
            raise DatasetError(
                f"a process that renders samples ended unexpectedly (exit code {self.process.wait()}); "
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

    def results(self, batches: Iterable[Batch]) -> Iterator[Sequence[Outcome]]:
        waiting: deque[Future[Answer]] = deque()
        for batch in batches:
            waiting.append(self._threads.submit(self._ask, batch))
            if len(waiting) >= _AHEAD * self._count:
                yield _outcomes(waiting.popleft())
        while waiting:
            yield _outcomes(waiting.popleft())

    def _ask(self, batch: Batch) -> Answer:
        worker = self._free.get()
        try:
            return worker.ask(batch)
        finally:
            self._free.put(worker)


@contextmanager
def _pool(count: int, order: Order) -> Iterator[_Pool]:
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


def _outcomes(answer: "Future[Answer]") -> Sequence[Outcome]:
    if problem := answer.result().problem:
        raise DatasetError(problem)
    return answer.result().outcomes


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
