"""Names of weights as the student had them, whatever a trainer has wrapped around its layers.

Checkpointing, compiling and distributing wrap layers, and some trainers save the wrappers' names. No server
finds such weights: it leaves layers as they are drawn at random, mostly without a word. Files are
safetensors: a length, a header in JSON, then data; only the header is written anew.
"""

import json
import shutil
import struct
from pathlib import Path

import msgspec

from sera.errors import TrainError, boundary
from sera.training.folder import replace

WRAPPERS = (
    "_checkpoint_wrapped_module.",
    "_fsdp_wrapped_module.",
    "_orig_mod.",
    "base_model.model.",
    "module.",
)
_INDEX = "model.safetensors.index.json"


def plain(name: str) -> str:
    """The name without wrappers."""
    for wrapper in WRAPPERS:
        while name.startswith(wrapper):
            name = name.removeprefix(wrapper)
        name = name.replace(f".{wrapper}", ".")
    return name


def weight_names(folder: Path) -> list[str]:
    """Names of all weights in a folder, as they stand there."""
    return [name for file in _files(folder) for name in _header(file)[0] if name != "__metadata__"]


def repair_names(folder: Path) -> list[str]:
    """Rename wrapped weights, in files written anew; the names that were wrapped.

    Raises `TrainError` if two weights would get one name, or a file is damaged.
    """
    names = weight_names(folder)
    wrapped = [name for name in names if plain(name) != name]
    if len({plain(name) for name in names}) < len(names):
        raise TrainError(f"the weights in {folder} are there twice, wrapped and plain: remove one of both")
    if not wrapped:
        return []
    for file in _files(folder):
        _rename(file)
    index = folder / _INDEX
    if index.is_file():
        read = json.loads(index.read_text("utf-8"))
        read["weight_map"] = {plain(name): file for name, file in read["weight_map"].items()}
        replace(index, json.dumps(read, indent=2).encode())
    return wrapped


def refuse_missing(folder: Path, needed: set[str], known: set[str]) -> None:
    """Raises `TrainError` unless the folder has the weights that a student of its kind needs, and no others
    than those that are known."""
    names = set(weight_names(folder))
    if needed - names or names - known:
        missing, odd = sorted(needed - names), sorted(names - known)
        told = "; ".join(
            f"{word}: {', '.join(some[:3])}{' …' if len(some) > 3 else ''}"
            for word, some in (("missing", missing), ("unknown", odd))
            if some
        )
        raise TrainError(f"the weights in {folder} are not the student's ({told}): they cannot be served")


def _files(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.safetensors"))
    if not found:
        raise TrainError(f"there are no weights in {folder}: no *.safetensors")
    return found


def _header(file: Path) -> tuple[dict[str, msgspec.Raw], int]:
    """The header, and where the data begins."""
    with boundary(TrainError, f"weights {file} are damaged", OSError, struct.error, msgspec.DecodeError):
        with file.open("rb") as opened:
            (size,) = struct.unpack("<Q", opened.read(8))
            return msgspec.json.decode(opened.read(size), type=dict[str, msgspec.Raw]), 8 + size


def _rename(file: Path) -> None:
    header, start = _header(file)
    text = msgspec.json.encode({plain(name): entry for name, entry in header.items()})
    text += b" " * (-len(text) % 8)
    new = file.with_suffix(".new")
    with boundary(TrainError, f"weights {file} cannot be renamed"), file.open("rb") as old:
        with new.open("wb") as opened:
            opened.write(struct.pack("<Q", len(text)) + text)
            old.seek(start)
            shutil.copyfileobj(old, opened, 1 << 20)
        new.replace(file)
