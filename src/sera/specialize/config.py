"""What `sera specialize` can be told: a table for each stage, handed to its command as `--set` pairs."""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from sera.datasets import DatasetConfig
from sera.environments import PrepareConfig
from sera.errors import ConfigError, UsageError
from sera.evaluation.config import EvaluateConfig
from sera.evaluation.models import SCRIPTED
from sera.evaluation.tasks.config import TasksConfig
from sera.generation.job import GenerateConfig
from sera.settings import Config, convert, load_config, to_tree
from sera.training.config import TrainConfig
from sera.training.recipes import find_recipe

C = TypeVar("C", bound=Config)
Table = dict[str, Any]
REHEARSAL = "rehearsal"
_TRIAL = files(__package__) / "trial.toml"
_BARE = re.compile(r"(?!(?:true|false|inf|nan)$)[A-Za-z][\w/.-]*")
"""Text that `--set` takes as text without quotes."""


class SpecializeConfig(Config, frozen=True):
    """Everything `sera specialize` can be told. What a stage's table leaves out is that command's default."""

    student: str = ""
    """The model that is trained: a name of `sera model list`, a folder, a GGUF file, or a name on the hub.
    Empty takes the settings of a trial below all others: the smallest student, on a processor."""
    recipe: str = ""
    """Settings of the training, as `sera train --recipe` takes them; the table `train` comes on top."""
    gguf: Literal["", "f16", "q8_0"] = ""
    """Write the trained student as GGUF too, and evaluate that: on a processor many times as quick."""
    base: str = ""
    """What is evaluated before the training. Empty: the student, on this machine; or the URL of a server that
    has it, or what else `sera evaluate --model` takes."""
    trained: str = ""
    """The same after it. Empty: the trained student, on this machine."""
    leave_out: tuple[str, ...] = ()
    """What every stage leaves out of its snapshot of the repository, as `sera generate` takes it."""
    prepare: Table = msgspec.field(default_factory=dict)
    """Settings of `sera prepare`."""
    tasks: Table = msgspec.field(default_factory=dict)
    """Settings of `sera tasks build`."""
    generate: Table = msgspec.field(default_factory=dict)
    """Settings of `sera generate`."""
    dataset: Table = msgspec.field(default_factory=dict)
    """Settings of `sera dataset build`."""
    train: Table = msgspec.field(default_factory=dict)
    """Settings of `sera train`."""
    evaluate: Table = msgspec.field(default_factory=dict)
    """Settings of `sera evaluate`, before and after alike."""


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that each stage will have, where another stage or the report needs to know."""

    tasks: TasksConfig
    generate: GenerateConfig
    dataset: DatasetConfig
    train: TrainConfig
    evaluate: EvaluateConfig


def load_settings(
    file: Path | None, pairs: Iterable[str], given: Mapping[str, object]
) -> tuple[SpecializeConfig, bool]:
    """The settings, and whether they are those of a trial: where no student is named, `trial.toml` fills in
    what the others leave out. `ConfigError` as of `load_config`."""
    config = load_config(SpecializeConfig, file, pairs, given)
    if config.student:
        return config, False
    trial = tomllib.loads(_TRIAL.read_text("utf-8"))
    own = {key: value for key, value in to_tree(config).items() if value}
    return convert(_over(trial, own), SpecializeConfig, "settings"), True


def _over(below: Table, above: Table) -> Table:
    """One table over another, key by key."""
    both = below.keys() & above.keys()
    inner = {key: _over(below[key], above[key]) for key in both if isinstance(below[key], dict)}
    return below | above | inner


def settle(config: SpecializeConfig) -> Settled:
    """Fill every stage's settings as its command will. `ConfigError` names table and key of what is wrong."""
    config = shared(config)
    if not config.student:
        raise UsageError("say which model is to be trained: --student NAME")
    _fill("prepare", config.prepare, PrepareConfig)
    return Settled(
        tasks=_fill("tasks", config.tasks, TasksConfig),
        generate=_fill("generate", config.generate, GenerateConfig),
        dataset=_fill("dataset", config.dataset, DatasetConfig),
        train=_fill(
            "train", config.train, TrainConfig, file=find_recipe(config.recipe) if config.recipe else None
        ),
        evaluate=_fill("evaluate", config.evaluate, EvaluateConfig, given=_asked(config)),
    )


def shared(config: SpecializeConfig) -> SpecializeConfig:
    """The settings with what several stages share in the table of each."""
    if not config.leave_out:
        return config
    one = {"leave_out": list(config.leave_out)}
    return msgspec.structs.replace(
        config,
        prepare={**one, **config.prepare},
        tasks={**one, **config.tasks},
        generate={**one, **config.generate},
    )


def pairs_of(table: Mapping[str, Any], above: str = "") -> list[str]:
    """A table as `key=value` pairs that `--set` reads back to the same values."""
    return list(_pairs(table, above))


def _fill(
    name: str,
    table: Table,
    kind: type[C],
    file: Path | None = None,
    given: Mapping[str, object] | None = None,
) -> C:
    try:
        return load_config(kind, file, pairs_of(table), given)
    except ConfigError as problem:
        raise ConfigError(f"the table {name}: {problem}") from problem


def _asked(config: SpecializeConfig) -> dict[str, object]:
    """The settings that `sera evaluate --model` will add, as far as they decide which others there may be."""
    model = config.base or config.student
    if model in SCRIPTED:
        return {"predictions": model}
    if model == REHEARSAL:
        return {"teacher.kind": REHEARSAL}
    if "://" in model:
        return {"teacher.kind": "chat", "teacher.base_url": model, "teacher.model": "any"}
    return {"teacher.kind": "local", "teacher.model": model}


def _pairs(table: Mapping[str, Any], above: str) -> Iterator[str]:
    for key, value in table.items():
        if isinstance(value, dict) and not any("." in inner for inner in value):
            yield from _pairs(value, f"{above}{key}.")
        else:
            yield f"{above}{key}={_written(value)}"


def _written(value: object, top: bool = True) -> str:
    """A value as TOML; text that cannot be taken for anything else without quotes."""
    match value:
        case str() if top and _BARE.fullmatch(value):
            return value
        case list() | tuple():
            return f"[{', '.join(_written(one, top=False) for one in value)}]"
        case dict():
            pairs = (f"{_written(key, top=False)} = {_written(one, top=False)}" for key, one in value.items())
            return f"{{ {', '.join(pairs)} }}"
        case _:
            return msgspec.json.encode(value).decode()
