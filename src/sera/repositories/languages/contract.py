"""What the index asks of a language, and the one reason that is not the files' fault."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from sera.records import Function

MISSING = 'needs pip install "sera[languages]"'
"""Reason for which a file is not read while the grammar of its language is not installed."""


class Language(Protocol):
    """A language functions are read from. One instance each, without state; see `LANGUAGES`."""

    @property
    def name(self) -> str:
        """As `Function.language` has it, e.g. `typescript`."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Ends of its files' names; no other language has them."""

    def available(self) -> bool:
        """Whether what it is read with is installed."""

    def skip(self, path: str) -> str:
        """Why a file is not worth reading, by its path alone; empty to read it."""

    def read(self, path: str, content: bytes) -> Any | str:
        """The file as `functions` takes it, or the reason why it is not to be had. Never raises for what
        a file contains."""

    def functions(self, files: Sequence[Any]) -> Iterable[tuple[Function, str]]:
        """Every function of all files read, by file and line, with why no task starts from it: empty if
        nothing but its length may speak against it, which the index judges alike for all languages."""
