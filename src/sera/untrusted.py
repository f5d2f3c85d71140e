"""What strangers sent, read so that it fails in one way: JSON, such as arguments of tool calls or answers of
a sandbox, and folders."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

_MOST_PARTS, _TO_A_PART = 1_000_000, 6
"""Parts that a JSON text may have in any case, and bytes for each that a longer one has to have: code has
ten, and of brackets and commas alone 64 MiB come to 1.8 GB."""


def decode(text: str | bytes | memoryview, kind: Any = Any) -> Any:
    """The value of a JSON text. Raises `msgspec.DecodeError`, also for what is nested too deeply, or has so
    many parts that it would be many times as large as its text."""
    if len(text) > _MOST_PARTS and _swells(text):
        raise msgspec.DecodeError("it has too many parts")
    try:
        return msgspec.json.decode(text, type=kind)
    except RecursionError:
        raise msgspec.DecodeError("it is nested too deeply") from None
    except UnicodeError as problem:
        raise msgspec.DecodeError(f"it is no text: {problem}") from None


def _swells(text: str | bytes | memoryview) -> bool:
    """Whether a text has too many parts, by the marks that stand before them, in quotes or not."""
    content = text.encode(errors="replace") if isinstance(text, str) else bytes(text)
    return sum(map(content.count, (b"[", b"{", b","))) > max(_MOST_PARTS, len(content) // _TO_A_PART)


def below(folder: Path) -> Iterator[Path]:
    """Everything below a folder, at any depth and without recursion, in no order; links are not followed, and
    what may not be read is as good as empty."""
    waiting = [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                found = [(Path(entry.path), entry.is_dir(follow_symlinks=False)) for entry in entries]
        except OSError:
            continue
        for path, is_folder in found:
            yield path
            if is_folder:
                waiting.append(path)


def remove(folder: Path) -> None:
    """Take away a folder, as far as it can be: a package may have unpacked deeper than Python removes."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except RecursionError:
        subprocess.run(["rm", "-rf", "--", str(folder)], check=False)
