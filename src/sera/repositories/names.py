"""What a project is called where it is installed: the names it is imported by."""

import re
from pathlib import Path

_PLACES = (".", "src", "lib")
_NOT_INSTALLED = re.compile(
    r"benchmarks?|bin|build|conf|conftest|demos?|dist|docs?|examples?|fabfile|lib|manage|noxfile|scripts"
    r"|setup|src|tasks|testing|tests?|tools|utils|versioneer"
)


def import_names(tree: Path, name: str) -> tuple[str, ...]:
    """Top-level packages and modules of a tree and the normalised `name` of the project, sorted. Names that
    many a repository has beside its package, such as `tests` and `scripts`, are left out."""
    found = {re.sub(r"[-. ]+", "_", name).lower()}
    for place in _PLACES:
        for entry in (tree / place).iterdir() if (tree / place).is_dir() else ():
            if entry.suffix == ".py" or (entry / "__init__.py").is_file():
                found.add(entry.stem)
    return tuple(sorted(one for one in found if one.isidentifier() and not _NOT_INSTALLED.fullmatch(one)))
