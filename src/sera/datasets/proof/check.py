"""Checking a dataset: all proofs on all rows, streamed, on all cores.

Rows are read in small batches, each tokenised at once, in as many processes as there are cores; what is
kept of a row is a few bytes. Results come in the order of the rows, so the first fault is the same however
many processes there are.
"""

import os
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from time import perf_counter

import msgspec

from sera.datasets.manifest import ROWS, Manifest
from sera.datasets.proof.case import Setting, guess_format
from sera.datasets.proof.fault import Fault
from sera.datasets.proof.folder import Together, files_are_whole, read_manifest, student_fits
from sera.datasets.proof.proofs import promises
from sera.datasets.proof.rows import Checked, check_lines
from sera.datasets.rendering.student import Student, load_student
from sera.errors import DatasetError, boundary
from sera.records import Record

_BATCH = 8
"""Rows tokenised at once."""
_SMALL = 8 * 1024 * 1024
"""Bytes of rows below which other processes are not worth their start."""
_TOLD = 50
"""Faults that a report holds; the others are counted."""


class StudentNames(msgspec.Struct, frozen=True, kw_only=True):
    """What `load_student` is given, as text, so that other processes can load the same one."""

    student: str = ""
    tokenizer: str = ""
    template: str = ""

    def load(self) -> Student:
        """The student."""
        return load_student(self.student, self.tokenizer, self.template)


class Report(Record, frozen=True, kw_only=True):
    """What a check has shown."""

    rows: int
    tokens: int
    trained: int
    """Tokens in the loss."""
    seconds: float
    student: str
    template: str
    format: str
    passed: dict[str, int]
    """Proof → rows that passed it."""
    counts: dict[str, int]
    """Kind of fault → how often it was found."""
    faults: tuple[Fault, ...]
    """The first of them, those of the folder first."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.counts


def check_dataset(folder: Path, names: StudentNames, workers: int = 0, files: bool = True) -> Report:
    """Prove the rows in a folder for a student. `workers`: processes, 0 for one for each core.

    `files` says whether the files are compared with their checksums.
    Raises `DatasetError` if there are no rows to check; what is wrong with rows is in the report.
    """
    begun = perf_counter()
    manifest, student, source = read_manifest(folder), names.load(), folder / ROWS
    setting = _setting(manifest, student, source)
    faults = [
        *(files_are_whole(folder, manifest) if manifest and files else ()),
        *student_fits(student, manifest),
    ]
    counts = Counter(fault.kind for fault in faults)
    together, passed = Together(manifest), Counter({name: 0 for name, _ in promises()})
    rows = tokens = trained = 0
    for checked in _results(source, names, student, setting, workers):
        rows, tokens, trained = rows + 1, tokens + checked.tokens, trained + checked.trained
        passed.update(name for name in passed if name not in checked.failed)
        found = [*together.see(checked.id, checked.tools), *checked.faults]
        counts.update(fault.kind for fault in found)
        faults += found[: max(_TOLD - len(faults), 0)]
    last = list(together.end())
    counts.update(fault.kind for fault in last)
    return Report(
        rows=rows,
        tokens=tokens,
        trained=trained,
        seconds=round(perf_counter() - begun, 3),
        student=student.name,
        template=student.template.name,
        format=setting.format,
        passed=dict(passed),
        counts={str(kind): number for kind, number in counts.items()},
        faults=(*faults, *last),
    )


def _setting(manifest: Manifest | None, student: Student, source: Path) -> Setting:
    """What the rows are held to: what the manifest says, and what the first row looks like without one."""
    if manifest is None:
        return Setting(format=_first_format(source))
    settings = manifest.settings
    same = manifest.tokenizer == student.tokenizer_sha256 and manifest.template == student.template.sha256
    return Setting(
        format=settings["format"],
        runs=frozenset(one.run for one in manifest.sources),
        max_tokens=settings.get("max_tokens"),
        counted=same,
    )


def _first_format(source: Path) -> str:
    with boundary(DatasetError, f"rows {source}", OSError, msgspec.DecodeError, KeyError, TypeError):
        with source.open("rb") as opened:
            return guess_format(msgspec.json.decode(opened.readline()))


def _results(
    source: Path, names: StudentNames, student: Student, setting: Setting, workers: int
) -> Iterator[Checked]:
    with boundary(DatasetError, f"rows {source}"), source.open("rb") as opened:
        batches = iter(lambda: list(islice(opened, _BATCH)), [])
        processes = workers or os.cpu_count() or 1
        if processes == 1 or source.stat().st_size < _SMALL:
            for batch in batches:
                yield from check_lines(batch, student, setting)
        else:
            yield from _in_processes(batches, names, setting, processes)


def _in_processes(
    batches: Iterator[list[bytes]], names: StudentNames, setting: Setting, processes: int
) -> Iterator[Checked]:
    """Results in order; only a few batches are under way at any time."""
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, context, _prepare, (names, setting)) as pool:
        under_way: deque[Future[list[Checked]]] = deque()
        for batch in batches:
            under_way.append(pool.submit(_work, batch))
            if len(under_way) > 4 * processes:
                yield from under_way.popleft().result()
        while under_way:
            yield from under_way.popleft().result()


class _Worker:
    """What a worker process has loaded."""

    student: Student
    setting: Setting


def _prepare(names: StudentNames, setting: Setting) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    Thread(target=_end_with_parent, daemon=True).start()
    _Worker.student, _Worker.setting = names.load(), setting


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    if parent := parent_process():
        parent.join()
        os._exit(1)


def _work(lines: Sequence[bytes]) -> list[Checked]:
    return check_lines(lines, _Worker.student, _Worker.setting)
