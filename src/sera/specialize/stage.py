"""One stage: a command line of `sera`, what it reads, what is there when it is whole, and the record of it.

A stage's *key* is the hash of its command line and of what it reads: with the same key it is not done again.
Its *identity* is the part of that which its folder was begun with. While that stays, the command goes on with
the folder; when it changes, the folder is set aside and the stage begins anew.
"""

import shlex
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import msgspec

from sera.errors import RunError, boundary
from sera.records import SCHEMA, Record, content_id
from sera.redaction.addresses import shown
from sera.redaction.stored import stored
from sera.runs.folder import replace

RECORDS = "stages"


class Stage(Record, frozen=True, kw_only=True):
    """One step of the plan."""

    name: str
    why: str
    amount: str
    """How much it is asked for, in words."""
    argv: tuple[str, ...]
    """After `sera`."""
    out: Path
    """The folder or file that it makes."""
    results: tuple[Path, ...]
    """What is there when it is whole."""
    fixed: dict[str, str] = msgspec.field(default_factory=dict)
    """What it reads and its folder was begun with: name → hash, empty while it is not there."""
    fresh: dict[str, str] = msgspec.field(default_factory=dict)
    """What it reads and its command takes in anew in the same folder."""
    grows: tuple[str, ...] = ()
    """Options and settings, by how they begin, with which the folder goes on whatever they are."""
    needs: tuple[str, ...] = ()
    """Stages that it cannot be without."""

    @property
    def key(self) -> str:
        """The same for the same work."""
        return content_id(self.shown, self.fixed, self.fresh)

    @property
    def identity(self) -> str:
        """The same for the same folder."""
        return content_id(self._lasting(), self.fixed)

    @property
    def is_there(self) -> bool:
        """Whether its results are."""
        return all(path.exists() for path in self.results)

    @property
    def shown(self) -> tuple[str, ...]:
        """Its arguments without what is secret in them, as they are recorded, compared and printed: another
        token is no other work."""
        return without_secrets(self.argv)

    @property
    def line(self) -> str:
        """Its command line, for a shell."""
        return shlex.join(("sera", *self.shown))

    def _lasting(self) -> list[str]:
        """The command line without what may grow."""
        kept: list[str] = []
        for word in self.shown:
            if word.startswith(self.grows):
                if kept and kept[-1] == "--set":
                    kept.pop()
            else:
                kept.append(word)
        return kept


def without_secrets(words: Sequence[str]) -> tuple[str, ...]:
    """A command line as it may be shown: addresses, and the values of settings."""
    return tuple(
        _shown_pair(word) if before == "--set" else shown(word)
        for before, word in zip(("", *words), words, strict=False)
    )


def _shown_pair(pair: str) -> str:
    key, equals, value = pair.partition("=")
    return f"{key}{equals}{stored(value, tuple(key.split('.')))}"


class Done(Record, frozen=True, kw_only=True):
    """What became of a stage: `stages/NAME.json`. Written when it begins, and again when it ends."""

    stage: str
    argv: tuple[str, ...]
    """Without what was secret in it."""
    fixed: dict[str, str]
    fresh: dict[str, str]
    key: str
    identity: str
    code: int | None = None
    """Exit code; None: it has not ended, or its end was not seen."""
    began: float
    """When, in seconds since 1970; of a stage that was gone on with, the first time."""
    seconds: float = 0.0
    """That it has worked, every go counted."""
    schema: int = SCHEMA


class State(StrEnum):
    """How a stage stands."""

    DONE = "done"
    NEW = "to do"
    UNFINISHED = "goes on"
    CHANGED = "goes on, changed"
    ANEW = "anew"


def state_of(stage: Stage, done: Done | None) -> State:
    """How a stage stands by its record and what is there."""
    if done is None:
        return State.NEW
    if done.identity != stage.identity:
        return State.ANEW
    if done.key != stage.key:
        return State.CHANGED
    return State.DONE if done.code == 0 and stage.is_there else State.UNFINISHED


def differences(stage: Stage, done: Done) -> list[str]:
    """What is unlike the last time, in words."""
    now, before = stage.fixed | stage.fresh, done.fixed | done.fresh
    found = [name for name in now if now[name] != before.get(name)]
    found += [f"now {word}" for word in stage.shown if word not in done.argv and word != "--set"]
    found += [f"no more {word}" for word in done.argv if word not in stage.shown and word != "--set"]
    return found


def read_done(out: Path, name: str) -> Done | None:
    """The record of a stage, None if there is none; `RunError` if it is damaged."""
    file = out / RECORDS / f"{name}.json"
    if not file.is_file():
        return None
    with boundary(
        RunError, f"{file} cannot be read, remove it to do the stage again", OSError, msgspec.DecodeError
    ):
        return msgspec.json.decode(file.read_bytes(), type=Done)


def write_done(out: Path, done: Done) -> None:
    """Keep the record of a stage."""
    with boundary(RunError, f"cannot write into {out}"):
        (out / RECORDS).mkdir(parents=True, exist_ok=True)
    replace(out / RECORDS / f"{done.stage}.json", msgspec.json.format(msgspec.json.encode(done)) + b"\n")
