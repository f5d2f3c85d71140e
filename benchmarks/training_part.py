"""One measurement of `training.py`, in the process that was started for it: what is trained, how its weights
are held, and what it took."""

import argparse
import resource
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from training_sides import LIGER, SIDES, write_random_rows

from sera.errors import SeraError, TrainError, UsageError
from sera.models.shapes import Shape
from sera.settings import load_config
from sera.training import TrainConfig, forecast
from sera.training.trainers import find_trainer
from sera.training.trl.building import refuse_missing

WARM_UP = 2
FEWER = {"trl.optimizer": "adamw_8bit", "trl.weights": "bf16"}
HELD: list[dict[str, object]] = [{}, {"trl.optimizer": "adamw_8bit"}, FEWER]
"""From what learns best to what takes the least room."""
OFFLOAD = {**FEWER, "activation_offload": True}
"""The last resort of a GPU."""
FULL, LATE = "out of memory", "not through in"
"""Failures that are results."""


def qwen3(layers: int, hidden: int, width: int, heads: int, **other: Any) -> Shape:
    told = {"kv_heads": 8, "head_dim": 128, "vocabulary": 151_936, "context": 1 << 20, "tied": True, **other}
    return Shape(architecture="qwen3", layers=layers, hidden=hidden, width=width, heads=heads, **told)


SHAPES = {
    "qwen3-0.6b": qwen3(28, 1024, 3072, 16),
    "qwen3-1.7b": qwen3(28, 2048, 6144, 16),
    "qwen3-4b": qwen3(36, 2560, 9728, 32),
    "qwen3-8b": qwen3(36, 4096, 12_288, 32, tied=False),
    "smollm2-135m": Shape(
        architecture="llama", layers=30, hidden=576, width=1536, heads=9, kv_heads=3, head_dim=64,
        vocabulary=49_152, context=1 << 20, tied=True,
    ),
    "tiny": qwen3(2, 64, 128, 4, kv_heads=2, head_dim=16, vocabulary=512),
}  # fmt: skip


class About(NamedTuple):
    """What a measurement is of."""

    shape: str
    tokens: int
    side: str
    asked: tuple[str, ...]
    round: int


class Measured(msgspec.Struct, kw_only=True):
    """The steps of one process."""

    shape: str
    tokens: int
    side: str
    asked: tuple[str, ...] = ()
    """What was set by hand, for all sides."""
    round: int
    held: str = ""
    settings: tuple[str, ...] = ()
    """What sera was told beyond that."""
    device: str = ""
    peak_flops: float = 0.0
    """Of the device; 0 if nobody says it."""
    flops: float = 0.0
    """Of the model, in a step."""
    step_tokens: int = 0
    seconds: list[float] = []
    peak_gb: float = 0.0
    forecast_gb: float = 0.0
    failed: str = ""

    @property
    def about(self) -> About:
        """What it is of."""
        return About(self.shape, self.tokens, self.side, self.asked, self.round)

    @property
    def stands(self) -> bool:
        """Whether it would be the same if done again; a library that was lacking may be there next time."""
        return not self.failed or self.failed == FULL or self.failed.startswith(LATE)


def measure(options: argparse.Namespace) -> Measured:
    """In this process; what it cannot do for lack of memory or of a library is told in `failed`."""
    import torch

    name, tokens, side = options.shape[0], options.tokens[0], options.side[0]
    shape = SHAPES[name]
    config = settings_of(shape, tokens, options)
    device = forecast.find_device(config)
    found = Measured(
        shape=name,
        tokens=tokens,
        side=side,
        asked=tuple(options.set),
        round=options.round,
        held=held_in(config),
        settings=tuple(speed_of(options)) if side == "sera" else (),
        device=device.name if device.is_cpu else torch.cuda.get_device_name(),
        flops=forecast.arithmetic(shape, [tokens] * config.batch, adapter=config.lora is not None),
        step_tokens=config.batch * tokens,
        forecast_gb=needs(shape, config, tokens).needs_gb,
    )
    found.peak_flops = peak_flops(device, found.device)
    with tempfile.TemporaryDirectory() as folder:
        rows = write_random_rows(Path(folder), shape, tokens, config.batch)
        try:
            found.seconds = SIDES[side](shape, config, rows, options.steps + WARM_UP)[WARM_UP:]
        except (RuntimeError, SeraError) as problem:
            if not is_full(problem) and not isinstance(problem, SeraError):
                raise
            found.failed = FULL if is_full(problem) else said(str(problem))
    found.peak_gb = peak_gb(on_cpu=device.is_cpu)
    return found


def refuse_wrong(options: argparse.Namespace) -> None:
    """Raises `SeraError` for what no measurement could do anything about: settings, the device, a library."""
    for name in options.shape:
        for tokens in options.tokens:
            config = settings_of(SHAPES[name], tokens, options)
            if options.device != "cpu" and forecast.find_device(config).is_cpu:
                raise TrainError("torch sees no GPU here: --device cpu measures the processor")
            refuse_missing(config)
    if LIGER in options.side and not find_spec("liger_kernel"):
        raise UsageError(f"--side {LIGER} needs a library: pip install liger-kernel")


def is_full(problem: Exception) -> bool:
    """Whether the GPU's memory was too small: libraries of NVIDIA's and Triton say it in words alone."""
    return any(words in str(problem) for words in ("out of memory", "ALLOC_FAILED"))


def said(sentence: str) -> str:
    """As one cell of a table."""
    return " ".join(sentence.split())[:200].replace("|", "¦")


def peak_flops(device: forecast.Device, title: str) -> float:
    """Of the GPU by its own name; 0 if nobody knows it, or it is not the one that was named."""
    known = not device.is_cpu and device.name.split("-")[0] in title.lower()
    return device.flops if known else 0.0


def needs(shape: Shape, config: TrainConfig, tokens: int) -> Any:
    """Memory that sera would take."""
    cost = find_trainer("trl").bytes_of(config)
    return forecast.memory(shape, config, forecast.find_device(config), cost, tokens)


def settings_of(shape: Shape, tokens: int, options: argparse.Namespace) -> TrainConfig:
    """sera's settings, with the first way to hold weights that fits."""
    given = {
        "device.gpu": options.device,
        "batch": max(options.step_tokens // tokens, 1),
        "sequence": tokens,
        "warmup_steps": 1,
    }
    held = HELD if options.device == "cpu" else [*HELD, OFFLOAD]
    ways = [load_config(TrainConfig, None, speed_of(options), given | more) for more in held]
    memory = [needs(shape, config, tokens) for config in ways]
    fits = (config for config, told in zip(ways, memory, strict=True) if told.needs_gb <= told.has_gb)
    return next(fits, ways[-1])


def held_in(config: TrainConfig) -> str:
    """How weights are held, in words."""
    bits = "16" if config.trl.weights == "bf16" else "32"
    states = " in 8" if config.trl.optimizer == "adamw_8bit" else ""
    return f"{bits} bits, AdamW{states}{', offload' if config.activation_offload else ''}"


def speed_of(options: argparse.Namespace) -> list[str]:
    """What sera is told beyond how weights are held."""
    if options.set:
        return list(options.set)
    if options.device == "cpu":
        return ["trl.keep_attention=true"]
    liger = ["trl.liger=true"] if find_spec("liger_kernel") else []
    return ["trl.keep_attention=true", "trl.attention=cudnn", *liger]


def peak_gb(on_cpu: bool) -> float:
    """Of a GPU, what its blocks took; of a processor, what the process did."""
    import torch

    if on_cpu:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return torch.cuda.max_memory_allocated() / 1e9
