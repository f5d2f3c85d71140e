"""What is kept for an evaluation, and so must not be trained on: see `repositories.held_out` for the list."""

from pathlib import Path
from typing import NamedTuple

from sera.datasets.sample import Sample, Source
from sera.datasets.selection.patches import Place, read_patch
from sera.repositories.held_out import read_held_out
from sera.repositories.history import Bound, bounds_among


class HeldOut(NamedTuple):
    """Paths and functions that a sample may neither start from nor change."""

    modules: frozenset[str]
    folders: tuple[str, ...]
    functions: frozenset[Place]
    """Path, and last part of the qualified name: a diff tells no more."""

    bounds: tuple[Bound, ...] = ()

    def touched_by(self, sample: Sample) -> bool:
        """Whether a sample is of files newer than allowed, starts from a function that is held out, or may
        have changed one: where its patch does not tell which function of a file it changes, any counts."""
        patch = read_patch(sample.patch)
        if self._is_later(sample.source) or (sample.patch.strip() and not patch.files):
            return True
        places = patch.places | {(sample.path, sample.function.rpartition(".")[2])}
        return (
            any(map(self._holds, patch.files | {sample.path}))
            or not self.functions.isdisjoint(places)
            or any(path in patch.unplaced for path, _ in self.functions)
        )

    def _is_later(self, source: Source) -> bool:
        """What a run has not recorded as seen counts as newer."""
        allowed = {source.commit, *source.before}
        return any(one.is_of(source.repository) and one.commit not in allowed for one in self.bounds)

    def _holds(self, path: str) -> bool:
        return path in self.modules or path.startswith(self.folders)


def load_held_out(file: str) -> HeldOut:
    """Read a list; `ConfigError` if it cannot be read or has no entry."""
    lines = read_held_out(Path(file))
    named = [line for line in lines if not line.startswith("@")]
    functions = [line.rpartition(":") for line in named if ":" in line]
    return HeldOut(
        modules=frozenset(line for line in named if ":" not in line and not line.endswith("/")),
        folders=tuple(line for line in named if line.endswith("/")),
        functions=frozenset((path, name.rpartition(".")[2]) for path, _, name in functions),
        bounds=bounds_among(lines),
    )
