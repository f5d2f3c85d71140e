"""Demonstrations: the issue texts whose tone, length and formatting a pull request imitates.

Only the style of a demonstration counts. The shipped ones (`issue_texts/*.md`) were written for this
project, about invented software; issues of your own project usually serve a specialised dataset better.
Your own come as a directory with `.md` and `.txt` files, or as a `.jsonl` file with one object per line:

    {"text": "…"}                                the text as it is
    {"number": 12, "title": "…", "body": "…"}    as `gh issue list --json number,title,body --jq '.[]'` prints

A demonstration is named after its file, or after the line's `name`, else its `number`, else the number
of the line. A task records that name, so names are unique within a set. Texts that are empty are
skipped; the order is by name in every case, so that it does not depend on the file system.
"""

from collections.abc import Iterator
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import msgspec

from sera.errors import ConfigError, boundary
from sera.records import Record

_SUFFIXES = (".md", ".txt")
_SHAPE = 'an object with "text", or with "title" and "body"'


class Demonstration(Record, frozen=True):
    """One issue text to imitate. `text` has no white space at its ends."""

    name: str
    text: str


class _Line(msgspec.Struct):
    """One line of a `.jsonl` file, in either of its shapes; other fields are ignored."""

    text: str | None = None
    title: str | None = None
    body: str | None = None
    name: str | None = None
    number: int | None = None


def load_demonstrations(source: Path | None) -> tuple[Demonstration, ...]:
    """Read the demonstrations at `source`, sorted by name; without a source the shipped ones.

    Raises `ConfigError` if the source cannot be read, a line is malformed, a name occurs twice, or no
    text is left. The message names the file, the line where there is one, and what to do.
    """
    if source is None:
        source = Path(str(files("sera.generation") / "issue_texts"))
    found = [demonstration for demonstration in _read(source) if demonstration.text]
    if not found:
        raise ConfigError(
            f"demonstrations {source}: no text in it; give a directory of .md or .txt files, "
            f"or a .jsonl file whose lines each hold {_SHAPE}"
        )
    ordered = sorted(found, key=lambda demonstration: demonstration.name)
    _refuse_namesakes(ordered, source)
    return tuple(ordered)


def _read(source: Path) -> Iterator[Demonstration]:
    if source.is_dir():
        return _read_directory(source)
    if source.suffix == ".jsonl":
        return _read_lines(source)
    problem = "cannot be used" if source.exists() else "does not exist"
    raise ConfigError(
        f"demonstrations {source}: {problem}; give a directory of .md or .txt files, or a .jsonl file"
    )


def _read_directory(folder: Path) -> Iterator[Demonstration]:
    with boundary(ConfigError, f"demonstrations {folder}: the directory must be readable"):
        paths = [path for path in folder.iterdir() if path.suffix in _SUFFIXES and path.is_file()]
    for path in paths:
        yield Demonstration(name=path.stem, text=_tidy(_read_text(path)))


def _read_lines(path: Path) -> Iterator[Demonstration]:
    for number, line in enumerate(_read_text(path).split("\n"), start=1):
        if line.strip():
            yield _parse(line, number, f"demonstrations {path}, line {number}")


def _parse(line: str, number: int, where: str) -> Demonstration:
    with boundary(ConfigError, f"{where}: must be {_SHAPE}", msgspec.DecodeError):
        entry = msgspec.json.decode(line, type=_Line)
    if entry.text is None and entry.title is None and entry.body is None:
        raise ConfigError(f'{where}: has no "text", "title" or "body"; it must be {_SHAPE}')
    text = f"{entry.title or ''}\n\n{entry.body or ''}" if entry.text is None else entry.text
    fallback = str(number if entry.number is None else entry.number)
    return Demonstration(name=entry.name or fallback, text=_tidy(text))


def _read_text(path: Path) -> str:
    with boundary(ConfigError, f"demonstrations {path}: must be readable UTF-8", OSError, UnicodeError):
        return path.read_text("utf-8-sig")


def _tidy(text: str) -> str:
    """One kind of line end (issues come from web forms, with `\\r\\n`), no white space at the ends."""
    return text.replace("\r\n", "\n").strip()


def _refuse_namesakes(ordered: list[Demonstration], source: Path) -> None:
    for one, other in pairwise(ordered):
        if one.name == other.name:
            raise ConfigError(
                f"demonstrations {source}: two texts are named {one.name!r}; a run records only the "
                "name, so rename one of them"
            )
