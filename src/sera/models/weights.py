"""Weights on this machine: a GGUF file, a folder in the Hugging Face form, or a name from `weights.toml`.

A name stands for one file of known content. It is looked for in the cache, then in the installed package
that carries it; `fetch` brings it. A path is taken as it is.
"""

import tomllib
from enum import StrEnum
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import msgspec

from sera.errors import ModelError
from sera.settings import convert, default_cache


class Kind(StrEnum):
    """How weights are stored."""

    GGUF = "gguf"
    FOLDER = "folder"


class Known(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Weights that packages carry."""

    about: str
    packages: list[str]
    """Requirements; `{n}` counts the parts."""
    members: list[str]
    """The file in each package."""
    parts: int = 1
    """How many pieces the file was cut into."""
    bytes: int
    sha256: str
    context: int
    """Longest conversation in tokens."""
    licence: str

    def pieces(self) -> list[tuple[str, str]]:
        """(requirement, member) of each piece, in order."""
        pairs = zip(self.packages, self.members, strict=True)
        return [(p.format(n=n), m.format(n=n)) for p, m in pairs for n in range(1, self.parts + 1)]


class Weights(msgspec.Struct, frozen=True):
    """Weights that are there."""

    name: str
    """As it was asked for, or the last part of its path."""
    path: Path
    kind: Kind


def known_weights() -> dict[str, Known]:
    """Every name that `weights.toml` knows."""
    text = files(__package__).joinpath("weights.toml").read_text("utf-8")
    return {
        name: convert(entry, Known, f"weights.toml: {name}") for name, entry in tomllib.loads(text).items()
    }


def cached_file(name: str, cache: Path | None = None) -> Path:
    """Where `fetch_weights` puts the file of that name."""
    return (cache or default_cache()).expanduser() / "models" / f"{name}.gguf"


def find_weights(model: str, cache: Path | None = None) -> Weights:
    """The weights of that name or path.

    Raises `ModelError` if they are not here, with what would bring them.
    """
    known = known_weights()
    if model in known:
        return Weights(model, _file_of(model, known[model], cache), Kind.GGUF)
    path = Path(model).expanduser()
    if path.is_dir() and (path / "config.json").is_file():
        return Weights(path.resolve().name, path, Kind.FOLDER)
    if path.is_file() and _begins_like_gguf(path):
        return Weights(path.stem, path, Kind.GGUF)
    raise ModelError(
        f"{_what_it_is(path, model)}. Give a GGUF file, a folder with config.json and weights, or one of: "
        f"{', '.join(known)}"
    )


def _file_of(name: str, known: Known, cache: Path | None) -> Path:
    cached = cached_file(name, cache)
    if cached.is_file():
        return cached
    for package in _installed(known):
        if package.is_file() and package.stat().st_size == known.bytes:
            return package
    raise ModelError(
        f"the weights of {name} ({known.bytes >> 20} MB) are not on this machine: run sera model fetch {name}"
    )


def _installed(known: Known) -> list[Path]:
    """The file in an installed package, which is found without being imported; not if it is in pieces."""
    if known.parts > 1:
        return []
    package, _, member = known.members[0].partition("/")
    spec = find_spec(package)
    return [Path(folder) / member for folder in spec.submodule_search_locations or ()] if spec else []


def _begins_like_gguf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"GGUF"


def _what_it_is(path: Path, model: str) -> str:
    if path.is_dir():
        return f"the folder {model} holds no model: there is no config.json in it"
    if path.is_file():
        return f"the file {model} is no GGUF"
    return f"there are no weights {model}"
