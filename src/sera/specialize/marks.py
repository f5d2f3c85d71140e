"""Marks of what a stage reads: equal for equal content, so that a stage is done again when it has changed."""

import hashlib
from pathlib import Path

import msgspec

from sera.errors import RunError, boundary
from sera.training.recipes import find_recipe


def mark(file: Path) -> str:
    """SHA-256 of a file; empty if there is none."""
    if not file.is_file():
        return ""
    with boundary(RunError, f"cannot read {file}"), file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


class _Prepared(msgspec.Struct):
    path: Path
    digest: str


class _Environments(msgspec.Struct):
    environments: list[_Prepared]


def _read_environments(file: Path) -> list[_Prepared]:
    if not file.is_file():
        return []
    with boundary(RunError, f"{file} cannot be read: remove it", OSError, msgspec.MsgspecError):
        decoded = msgspec.json.decode(file.read_bytes())
        return msgspec.convert(decoded, _Environments, dec_hook=lambda kind, text: kind(text)).environments


def environments(file: Path) -> tuple[Path, ...]:
    """Where the environments lie that a list names."""
    return tuple(one.path for one in _read_environments(file))


def environment_mark(file: Path) -> str:
    """Equal for equal environments."""
    return ",".join(one.digest for one in _read_environments(file))


def student_marks(student: str) -> dict[str, str]:
    """Of a student's folder, by how it was trained or else by its shape; nothing for one that is named or a
    GGUF file."""
    found = mark(Path(student) / "sera.json") or mark(Path(student) / "config.json")
    return {"the student": found} if found else {}


def recipe_marks(recipe: str) -> dict[str, str]:
    """Of a recipe, which can be a file of one's own; nothing without one."""
    return {"the recipe": mark(find_recipe(recipe))} if recipe else {}
