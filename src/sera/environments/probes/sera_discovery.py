"""The tests of a repository as unittest discovers them."""

import unittest
from pathlib import Path
from typing import Any, Iterator, Optional, Tuple  # noqa: UP035  (as Python 3.7 has them)


def discover(start: Path) -> Iterator[Tuple[Any, Optional[str]]]:  # noqa: UP006, UP045
    """Every test below a directory; with one that stands for a file which cannot be read in, the reason."""
    for test in _flat(unittest.TestLoader().discover(str(start), "*test*.py", str(_top_of(start)))):
        broken = type(test).__name__ == "_FailedTest"
        yield test, str(getattr(test, "_exception", "")) if broken else None


def _flat(suite: Any) -> Iterator[Any]:
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from _flat(test)
        else:
            yield test


def _top_of(folder: Path) -> Path:
    """The directory from which the tests are imported: above the packages that they lie in."""
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder
