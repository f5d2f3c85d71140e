"""Checking a dataset: all proofs on all rows, streamed, on all cores.

Rows are read in small batches, each tokenised at once, in as many processes as there are cores; what is
kept of a row is a few bytes. Results come in the order of the rows, so the first fault is the same however
many processes there are.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from time import perf_counter

import msgspec

from sera.datasets.manifest import MANIFEST, Manifest, read_manifest, rows_of
from sera.datasets.proof.case import Setting, guess_format
from sera.datasets.proof.fault import Fault
from sera.datasets.proof.folder import Together, files_are_whole, student_fits
from sera.datasets.proof.proofs import promises
from sera.datasets.proof.rows import Checked, Proving
from sera.datasets.rendering.student import Student, StudentNames
from sera.datasets.workers import share
from sera.errors import DatasetError, boundary
from sera.records import Record

_BATCH = 8
"""Rows tokenised at once."""
_TOLD = 50
"""Faults that a report holds; the others are counted."""


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
    altered: int = 0
    """Rows whose text the tokenizer changes before it reads it, such as by composing accents."""
    alteration: str = ""
    """The first of these changes."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.counts


def check_dataset(
    folder: Path,
    names: StudentNames,
    workers: int = 0,
    files: bool = True,
    tell: Callable[[int, Fault], None] | None = None,
) -> Report:
    """Prove the rows in a folder for a student. `workers`: processes, 0 for one for each core.

    `files` says whether the files are compared with their checksums. `tell` gets the number of each row that
    something is wrong with, from 0, and its first fault.
    Raises `DatasetError` if there are no rows to check; what is wrong with rows is in the report.
    """
    begun = perf_counter()
    source, student = rows_of(folder), names.load()
    manifest = read_manifest(folder) if (folder / MANIFEST).is_file() else None  # rows of somebody else's
    setting = _setting(manifest, student, source)
    faults = [
        *(files_are_whole(folder, manifest) if manifest and files else ()),
        *student_fits(student, manifest),
    ]
    counts = Counter(fault.kind for fault in faults)
    together, passed = Together(manifest), Counter({name: 0 for name, _ in promises()})
    rows = tokens = trained = altered = 0
    alteration = ""
    for checked in _results(source, Proving(names=names, setting=setting), workers):
        rows, tokens, trained = rows + 1, tokens + checked.tokens, trained + checked.trained
        passed.update(name for name in passed if name not in checked.failed)
        found = [*together.see(checked.id, checked.tools), *checked.faults]
        counts.update(fault.kind for fault in found)
        if found and tell:
            tell(rows - 1, found[0])
        altered, alteration = altered + bool(checked.altered), alteration or checked.altered
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
        altered=altered,
        alteration=alteration,
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
        max_tokens=settings["max_tokens"],
        counted=same,
    )


def _first_format(source: Path) -> str:
    with boundary(DatasetError, f"rows {source}", OSError, msgspec.DecodeError, KeyError, TypeError):
        with source.open("rb") as opened:
            return guess_format(msgspec.json.decode(opened.readline()))


def _results(source: Path, job: Proving, workers: int) -> Iterator[Checked]:
    with boundary(DatasetError, f"rows {source}"), source.open("rb") as opened:
        batches = iter(lambda: list(islice(opened, _BATCH)), [])
        with closing(share(job, batches, workers)) as results:
            yield from chain.from_iterable(results)
