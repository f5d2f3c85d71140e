"""What strangers sent, read so that it fails in one way: JSON, such as arguments of tool calls or answers of
a sandbox, and folders."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec


def decode(text: str | bytes | memoryview, kind: Any = Any) -> Any:
    """The value of a JSON text. Raises `msgspec.DecodeError`, also for what is nested too deeply."""
    try:
        return msgspec.json.decode(text, type=kind)
    except RecursionError:
        raise msgspec.DecodeError("it is nested too deeply") from None
    except UnicodeError as problem:
        raise msgspec.DecodeError(f"it is no text: {problem}") from None


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
