"""What is kept for an evaluation, and so must not be trained on.

A list is a text file, one entry a line:

    # a comment
    shop/cart.py                 a module, and every function in it
    shop/prices/                 every module below a directory
    shop/cart.py:Cart.add        one function, by its qualified name
"""

from pathlib import Path
from typing import NamedTuple

from sera.datasets.sample import Sample
from sera.datasets.selection.patches import Place, read_patch
from sera.errors import ConfigError, boundary


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
    with boundary(ConfigError, f"held-out list {file}", OSError, UnicodeDecodeError):
        text = Path(file).read_text("utf-8")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise ConfigError(f"held-out list {file} has no entry: write one `path` or `path:function` a line")
    functions = [line.rpartition(":") for line in lines if ":" in line]
    return HeldOut(
        modules=frozenset(line for line in lines if ":" not in line and not line.endswith("/")),
        folders=tuple(line for line in lines if line.endswith("/")),
        functions=frozenset((path, name.rpartition(".")[2]) for path, _, name in functions),
    )
