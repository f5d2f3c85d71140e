"""What a dataset is built from: runs of ours, and imported ones, in the order in which they are given."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from sera.datasets.exchange.imported import is_import, read_import
from sera.datasets.exchange.imported import read_samples as read_imported
from sera.datasets.from_runs import read_samples, source_of
from sera.datasets.sample import Sample, Source
from sera.runs import read_run


class Inputs(NamedTuple):
    """Samples, read when they are asked for, and where they come from."""

    samples: Iterator[Sample]
    sources: list[Source]


def open_inputs(folders: Sequence[Path], told: Callable[[list[str]], None] = lambda _: None) -> Inputs:
    """Open run directories and imported runs; `RunError` names a folder that is neither. `told` which lines
    of a run are damaged, and how many tasks it owes."""
    opened = [_open(folder, told) for folder in folders]
    return Inputs(
        samples=chain.from_iterable(one.samples for one in opened),
        sources=[source for one in opened for source in one.sources],
    )


def _open(folder: Path, told: Callable[[list[str]], None]) -> Inputs:
    if is_import(folder):
        return Inputs(read_imported(folder), list(read_import(folder).sources))
    run = read_run(folder)
    owed = len(run.owed())
    waiting = f"{folder}: {owed} of {len(run.tasks)} tasks are owed: `sera generate` goes on with them"
    told([*(f"{folder}/{flaw}" for flaw in run.flaws), *([waiting] if owed else [])])
    return Inputs(read_samples([run]), [source_of(run)])
