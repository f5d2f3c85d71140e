"""What is known of models and GPUs, from `models.toml` and `gpus.toml`, where the sources stand too."""

import tomllib
from importlib.resources import files
from typing import Literal, TypeVar

import msgspec

from sera.errors import UsageError
from sera.settings import Config

Engine = Literal["vllm", "sglang"]
T = TypeVar("T")


class Model(Config, frozen=True, kw_only=True):
    """One model as its authors publish it; the fields are explained in `models.toml`."""

    name: str
    """As it is served, and given to `--model`."""
    repository: str
    """On the hub, or a folder of this machine."""
    fp8: str
    """Repository of the FP8 variant, empty if there is none."""
    total: float
    active: float
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    context: int
    experts: int
    expert_width: int
    fp8_block: int
    mlp_width: int = 0
    """Of a dense model whose FP8 variant has blocks."""
    tools: dict[Engine, str]
    """Tool-call parser by engine; none if no parser fits."""
    reasoning: dict[Engine, str]
    """Reasoning parser by engine; none for a model that does not think."""
    note: str = ""
    source: str
    student: bool = False
    """Whether it is a folder of this machine, to be evaluated."""
    trained: int = 0
    """Tokens of the longest conversation that a checkpoint of `sera train` was trained with; 0 for others."""


class Gpu(Config, frozen=True):
    """One kind of GPU."""

    memory: float
    """GB (1e9 bytes)."""
    fp8: bool
    tflops: float
    """Peak in BF16, without sparsity."""


def models() -> dict[str, Model]:
    """All models by the name they are served under."""
    return {model.name: model for model in _read("models.toml", Model).values()}


def gpus() -> dict[str, Gpu]:
    """All kinds of GPU by name."""
    return _read("gpus.toml", Gpu)


def find_model(name: str) -> Model:
    """The model of that name, with or without its organisation and `-instruct`; `UsageError` lists them."""
    known = models()
    plain = name.rpartition("/")[2].lower().removesuffix("-fp8").removesuffix("-instruct")
    if plain not in known:
        raise UsageError(
            f"no verified facts about the model {name!r}, and it is no folder with a config.json: known are "
            f"{', '.join(known)}"
        )
    return known[plain]


def _read(file: str, kind: type[T]) -> dict[str, T]:
    text = files("sera.teachers.serving").joinpath(file).read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, kind])  # type: ignore[valid-type]
