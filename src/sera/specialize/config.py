"""What `sera specialize` can be told: a table for each stage, handed to its command as `--set` pairs."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from sera.datasets import DatasetConfig
from sera.environments import PrepareConfig
from sera.errors import ConfigError, UsageError
from sera.evaluation.config import EvaluateConfig
from sera.evaluation.models import SCRIPTED
from sera.evaluation.tasks.config import TasksConfig
from sera.generation.job import GenerateConfig
from sera.settings import Config, load_config
from sera.training.config import TrainConfig
from sera.training.recipes import find_recipe

Table = dict[str, Any]
_BARE = re.compile(r"(?!(?:true|false|inf|nan)$)[A-Za-z][\w/.-]*")
"""Text that `--set` takes as text without quotes."""


class SpecializeConfig(Config, frozen=True):
    """Everything `sera specialize` can be told. What a stage's table leaves out is that command's default."""

    student: str = ""
    """The model that is trained: a name of `sera model list`, a folder, a GGUF file, or a name on the hub."""
    recipe: str = ""
    """Settings of the training, as `sera train --recipe` takes them; the table `train` comes on top."""
    gguf: Literal["", "f16", "q8_0"] = ""
    """Write the trained student as GGUF too, and evaluate that: on a processor many times as quick."""
    base: str = ""
    """What is evaluated before the training. Empty: the student, on this machine; or the URL of a server that
    has it, or what else `sera evaluate --model` takes."""
    trained: str = ""
    """The same after it. Empty: the trained student, on this machine."""
    prepare: Table = {}
    """Settings of `sera prepare`."""
    tasks: Table = {}
    """Settings of `sera tasks build`."""
    generate: Table = {}
    """Settings of `sera generate`."""
    dataset: Table = {}
    """Settings of `sera dataset build`."""
    train: Table = {}
    """Settings of `sera train`."""
    evaluate: Table = {}
    """Settings of `sera evaluate`, before and after alike."""


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that each stage will have, where another stage or the report needs to know."""

    tasks: TasksConfig
    generate: GenerateConfig
    dataset: DatasetConfig
    train: TrainConfig
    evaluate: EvaluateConfig


def settle(config: SpecializeConfig) -> Settled:
    """Fill every stage's settings as its command will. `ConfigError` names table and key of what is wrong."""
    if not config.student:
        raise UsageError(
            "say which model is to be trained: --student NAME, e.g. --student smollm2-135m-instruct "
            "--recipe demo-loop to try it on any machine"
        )
    _fill("prepare", config.prepare, PrepareConfig)
    recipe = find_recipe(config.recipe) if config.recipe else None
    with _inside("train"):
        train = load_config(TrainConfig, recipe, pairs_of(config.train))
    return Settled(
        tasks=_fill("tasks", config.tasks, TasksConfig),
        generate=_fill("generate", config.generate, GenerateConfig),
        dataset=_fill("dataset", config.dataset, DatasetConfig),
        train=train,
        evaluate=_fill("evaluate", config.evaluate, EvaluateConfig, _asked(config)),
    )


def pairs_of(table: Mapping[str, Any], above: str = "") -> list[str]:
    """A table as `key=value` pairs that `--set` reads back to the same values."""
    return list(_pairs(table, above))
