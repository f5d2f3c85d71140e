"""What is kept for an evaluation: a list that generation and datasets obey.

A list is a text file, one entry a line:

    # a comment
    shop/cart.py                 a module, and every function in it
    shop/prices/                 every module below a directory
    shop/cart.py:Cart.add        one function; only the last part of its name counts, as a diff tells no more
    @before COMMIT shop          and of that repository nothing that is newer than COMMIT, see `history`

One that is written by sera says at its top that it has an end: what was cut off would be trained on.
"""

from collections.abc import Iterable
from pathlib import Path

from sera.errors import ConfigError, boundary
from sera.records import Function

_ENDS, _END = "# It ends with the line `# end`.", "# end"


def ends_with_mark(entries: Iterable[str]) -> str:
    """The lines of a list that shows where it was cut off."""
    return "".join(f"{line}\n" for line in (_ENDS, *entries, _END))


def read_held_out(file: Path) -> tuple[str, ...]:
    """The entries of a list; `ConfigError` if it cannot be read, has none or is cut off."""
    with boundary(ConfigError, f"held-out list {file}", OSError, UnicodeDecodeError):
        text = file.read_text("utf-8")
    if _ENDS in text and text.split("\n")[-2:] != [_END, ""]:
        raise ConfigError(
            f"held-out list {file} is cut off, and what is lost would be trained on: `sera tasks build` with "
            "the command that made it writes it again"
        )
    lines = tuple(line for raw in text.splitlines() if (line := raw.strip()) and not line.startswith("#"))
    if not lines:
        raise ConfigError(f"held-out list {file} has no entry: write one `path` or `path:function` a line")
    return lines


def held_out_among(functions: Iterable[Function], entries: Iterable[str]) -> set[str]:
    """Ids of those functions that a list names."""
    named = {entry for entry in entries if ":" not in entry}
    folders = tuple(entry for entry in named if entry.endswith("/"))
    single = {
        (path, name.rpartition(".")[2])
        for path, colon, name in (entry.rpartition(":") for entry in entries)
        if colon
    }
    return {
        one.id
        for one in functions
        if one.path in named
        or one.path.startswith(folders)
        or (one.path, one.name.rpartition(".")[2]) in single
    }
