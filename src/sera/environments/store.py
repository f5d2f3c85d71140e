"""The cache of environments: who builds, what is whole, what is left over.

    <cache>/environments/<key>/    a virtual environment: `prefix`, and `installed.json`, written last
    <cache>/prepared/<tree hash>/<key>/    a snapshot with what its build made: `tree`, and
    `environment.json`, last
    …/<key>.log    what was done, kept when it failed too
    …/<key>.lock   held by the process that builds

A virtual environment knows its own path, so it is built where it will stay, not beside: it counts as there
when its record does. The lock is freed however the builder ends; whoever comes next clears
what a killed one has left, and builds anew.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from sera import locks
from sera.environments.records import Environment
from sera.errors import PrepareError, boundary
from sera.records import Record, content_id
from sera.settings import default_cache
from sera.untrusted import decode, remove

RECORD = "environment.json"
_SUM = "sum"
"""The field of a record that says whether the others are as they were written."""
R = TypeVar("R", bound="_Kept")


class _Kept(Protocol):
    """A record in the cache."""

    @property
    def key(self) -> str:
        """The name of the folder that it lies in."""
        ...


def place_of(cache: Path | None, *parts: str) -> Path:
    """Where something lies in the cache."""
    return (cache or default_cache()).expanduser().absolute().joinpath(*parts)


def log_of(place: Path) -> Path:
    """The log of what was built at `place`."""
    return place.with_name(place.name + ".log")


def read(place: Path, marker: str, kind: type[R]) -> R | None:
    """The record of what was built at `place`; None if it was not, or by another version of sera, or if the
    record is not as it was written, or of another place."""
    file = place / marker
    if not file.is_file():
        return None
    try:
        fields = decode(file.read_bytes(), dict[str, Any])
        told = fields.pop(_SUM, None)
        if told not in (None, content_id(fields)):
            return None
        found = msgspec.convert(fields, kind, dec_hook=_path)
        return found if found.key == place.absolute().name else None
    except (OSError, msgspec.DecodeError):
        return None


def write(place: Path, marker: str, record: Record) -> None:
    """Record that what is at `place` is whole."""
    beside = place / f".{marker}.new"
    fields = msgspec.json.decode(msgspec.json.encode(record, enc_hook=str))
    sealed = fields | {_SUM: content_id(fields)}
    beside.write_bytes(msgspec.json.format(msgspec.json.encode(sealed)))
    with beside.open("rb") as written:
        os.fsync(written.fileno())
    beside.replace(place / marker)


@contextmanager
def building(place: Path) -> Iterator[None]:
    """Build at `place`, alone. Left by an exception, nothing is left there but the log."""
    with boundary(PrepareError, f"cannot build in the cache {place.parent}"):
        remove(place)
        log_of(place).unlink(missing_ok=True)
        place.mkdir(parents=True)
        try:
            yield
        except BaseException:
            remove(place)
            raise


@contextmanager
def locked(place: Path) -> Iterator[None]:
    """Wait until nobody else builds at `place`, and keep others away meanwhile."""
    with boundary(PrepareError, f"cannot lock {place} in the cache"):
        place.parent.mkdir(parents=True, exist_ok=True)
    lock, busy = place.with_name(place.name + ".lock"), f"{place} is being built elsewhere"
    with locks.locked(lock, PrepareError, busy, wait=True):
        yield


def find(tree_hash: str, cache: Path | None = None) -> list[Environment]:
    """The environments prepared for a snapshot, the one asked for last first."""
    places = place_of(cache, "prepared", tree_hash)
    found = [(path, read(path.parent, RECORD, Environment)) for path in places.glob(f"*/{RECORD}")]
    whole = [(path.stat().st_mtime_ns, one) for path, one in found if one and is_there(one)]
    return [one for _, one in sorted(whole, key=lambda pair: -pair[0])]


def load(path: Path) -> Environment:
    """The environment whose record, or whose folder, is at `path`."""
    folder = path.parent if path.name == RECORD else path
    environment = read(folder, RECORD, Environment)
    if environment is None:
        raise PrepareError(
            f"{path} is no prepared environment, or its record is damaged: `sera prepare REPO` makes one and "
            "prints its path"
        )
    if not is_there(environment):
        raise PrepareError(
            f"the environment {path} is incomplete: run `sera prepare` on its repository again"
        )
    return environment


def is_there(environment: Environment) -> bool:
    """Whether what the record speaks of still exists, the interpreter included."""
    return (environment.tree / ".git").is_dir() and (environment.prefix / "bin" / "python").exists()


def _path(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise ValueError(f"expected {kind.__name__}")
