"""What is kept for an evaluation, and so must not be trained on: see `repositories.held_out` for the list."""

from pathlib import Path
from typing import NamedTuple

from sera.datasets.sample import Sample
from sera.datasets.selection.patches import Place, read_patch
from sera.repositories.held_out import read_held_out


class HeldOut(NamedTuple):
    """Paths and functions that a sample may neither start from nor change."""

    modules: frozenset[str]
    folders: tuple[str, ...]
    functions: frozenset[Place]
    """Path, and last part of the qualified name: a diff tells no more."""

    def touched_by(self, sample: Sample) -> bool:
        """Whether a sample starts from a function that is held out, or changes one."""
        patch = read_patch(sample.patch)
        places = patch.places | {(sample.path, sample.function.rpartition(".")[2])}
        return any(map(self._holds, patch.files | {sample.path})) or not self.functions.isdisjoint(places)

    def _holds(self, path: str) -> bool:
        return path in self.modules or path.startswith(self.folders)


def load_held_out(file: str) -> HeldOut:
    """Read a list; `ConfigError` if it cannot be read or has no entry."""
    lines = read_held_out(Path(file))
    functions = [line.rpartition(":") for line in lines if ":" in line]
    return HeldOut(
        modules=frozenset(line for line in lines if ":" not in line and not line.endswith("/")),
        folders=tuple(line for line in lines if line.endswith("/")),
        functions=frozenset((path, name.rpartition(".")[2]) for path, _, name in functions),
    )
