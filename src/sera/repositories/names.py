"""What a project is called where it is installed: the names it is imported by."""

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

_PLACES = (".", "src", "lib")
_NOT_INSTALLED = re.compile(
    r"benchmarks?|bin|build|conf|conftest|demos?|dist|docs?|examples?|fabfile|lib|manage|noxfile|scripts"
    r"|setup|src|tasks|testing|tests?|tools|utils|versioneer"
)
_ROOT_FILES = frozenset({"pyproject.toml", "setup.py", "setup.cfg"})
_DEEPEST = 3
"""Directories above the root of a package of a monorepo."""
_ROOTS = 200


def project_names(tree: Path, name: str) -> tuple[str, ...]:
    """The import names of a repository with all the packages in it, each of which has a root of its own in a
    monorepo."""
    found = {one for root in islice(_roots(tree), _ROOTS) for one in import_names(root, "")}
    return tuple(sorted({*import_names(tree, name), *found}))


def _roots(tree: Path) -> Iterator[Path]:
    """Directories below that say how they are installed."""
    for directory, below, names in os.walk(tree):
        depth = len(Path(directory).relative_to(tree).parts)
        below[:] = sorted(name for name in below if not name.startswith(".")) if depth < _DEEPEST else []
        if depth and not _ROOT_FILES.isdisjoint(names):
            yield Path(directory)


def import_names(tree: Path, name: str) -> tuple[str, ...]:
    """Top-level packages and modules of a tree and the normalised `name` of the project, sorted. Names that
    many a repository has beside its package, such as `tests` and `scripts`, are left out."""
    found = {re.sub(r"[-. ]+", "_", name).lower()}
    for place in _PLACES:
        for entry in (tree / place).iterdir() if (tree / place).is_dir() else ():
            if entry.suffix == ".py" or (entry / "__init__.py").is_file():
                found.add(entry.stem)
    return tuple(sorted(one for one in found if one.isidentifier() and not _NOT_INSTALLED.fullmatch(one)))
